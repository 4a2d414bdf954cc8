//! The built-in envelope: made by clients, read by everybody.

use bytes::{BufMut, Bytes, BytesMut};
use probity_core::crypto::{Context, Digest, Domain, Keypair, PublicKey, Signature, hash, verify};
use probity_core::limits::TRANSACTION_BYTES_MAX;

use super::{TransactionFault, check_size};

/// The version of the envelope's layout: its first byte.
pub const ENVELOPE_VERSION: u8 = 1;

/// Bytes before the body: version, network, namespace, sender, idempotency key, expiry, length.
const HEAD_BYTES: usize = 1 + 32 + 4 + 32 + 16 + 8 + 4;
const SIGNATURE_BYTES: usize = 64;

/// Bytes of the greatest body that fits a transaction.
pub const BODY_BYTES_MAX: usize = TRANSACTION_BYTES_MAX - HEAD_BYTES - SIGNATURE_BYTES;

/// A transaction before its sender signs it.
///
/// ```
/// use probity::{Envelope, SignedTransaction};
/// use probity_core::crypto::{Digest, Keypair};
///
/// let keypair = Keypair::from_seed(&[7; 32]);
/// let envelope = Envelope {
///     network: Digest::ZERO, // the chain id of the network's first epoch
///     namespace: 0,
///     idempotency_key: [1; 16],
///     expires_ms: 1_700_000_000_000,
///     body: b"pay bob 5",
/// };
/// let bytes = envelope.sign(&keypair);
/// let transaction = SignedTransaction::parse(&bytes)?;
/// assert_eq!(transaction.body(), b"pay bob 5");
/// transaction.verify()?;
/// # Ok::<(), probity::TransactionFault>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Envelope<'a> {
    /// Chain id of the first epoch of the network it is meant for: it is worthless anywhere else.
    pub network: Digest,
    /// Which application it is for, where several share a network.
    pub namespace: u32,
    /// Chosen by the sender; a retry repeats it, an intended repetition does not.
    pub idempotency_key: [u8; 16],
    /// The last moment it may be committed, in milliseconds since 1970; at most 60 s ahead.
    pub expires_ms: u64,
    /// What the application understands; at most [`BODY_BYTES_MAX`] bytes are accepted.
    pub body: &'a [u8],
}

impl Envelope<'_> {
    /// The transaction's bytes, signed with `sender`.
    ///
    /// # Panics
    /// When the body has 4 GiB or more. A body above [`BODY_BYTES_MAX`] is signed, and refused
    /// wherever it is submitted.
    #[must_use]
    pub fn sign(&self, sender: &Keypair) -> Bytes {
        let body_bytes = u32::try_from(self.body.len()).expect("a body is below 4 GiB");
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + self.body.len() + SIGNATURE_BYTES);
        bytes.put_u8(ENVELOPE_VERSION);
        bytes.put_slice(self.network.as_bytes());
        bytes.put_u32_le(self.namespace);
        bytes.put_slice(sender.public().as_bytes());
        bytes.put_slice(&self.idempotency_key);
        bytes.put_u64_le(self.expires_ms);
        bytes.put_u32_le(body_bytes);
        bytes.put_slice(self.body);
        let id = hash(Context::Transaction, &[&bytes]);
        bytes.put_slice(&sender.sign(&signed_message(&id)).0);
        bytes.freeze()
    }
}

/// A transaction's bytes, taken apart. The signature is not checked yet: see
/// [`verify`](Self::verify).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedTransaction<'a> {
    /// Everything but the signature.
    content: &'a [u8],
    network: Digest,
    namespace: u32,
    sender: [u8; 32],
    idempotency_key: [u8; 16],
    expires_ms: u64,
    body: &'a [u8],
    signature: Signature,
}

impl<'a> SignedTransaction<'a> {
    /// Takes the bytes apart; they have one reading or none.
    ///
    /// # Errors
    /// When they are none or too many, of another version, cut short or followed by more.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TransactionFault> {
        const SHORT: TransactionFault = TransactionFault::Malformed("cut short");
        check_size(bytes)?;
        let (content, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or(SHORT)?;
        let (version, rest) = content.split_first().ok_or(SHORT)?;
        if *version != ENVELOPE_VERSION {
            return Err(TransactionFault::Malformed("unknown version"));
        }
        let (network, rest) = rest.split_first_chunk::<32>().ok_or(SHORT)?;
        let (namespace, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (sender, rest) = rest.split_first_chunk::<32>().ok_or(SHORT)?;
        let (idempotency_key, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
        let (expires_ms, rest) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
        let (body_bytes, body) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        if usize::try_from(u32::from_le_bytes(*body_bytes)) != Ok(body.len()) {
            return Err(TransactionFault::Malformed(
                "the body has another length than stated",
            ));
        }
        Ok(Self {
            content,
            network: Digest(*network),
            namespace: u32::from_le_bytes(*namespace),
            sender: *sender,
            idempotency_key: *idempotency_key,
            expires_ms: u64::from_le_bytes(*expires_ms),
            body,
            signature: Signature(*signature),
        })
    }

    /// The digest of everything but the signature. Costs a hash.
    #[must_use]
    pub fn id(&self) -> Digest {
        hash(Context::Transaction, &[self.content])
    }

    /// Chain id of the first epoch of the network it is meant for.
    #[must_use]
    pub fn network(&self) -> &Digest {
        &self.network
    }

    /// Which application it is for.
    #[must_use]
    pub fn namespace(&self) -> u32 {
        self.namespace
    }

    /// The bytes of the sender's public key.
    #[must_use]
    pub fn sender(&self) -> &[u8; 32] {
        &self.sender
    }

    /// What makes it different from another one of the same content.
    #[must_use]
    pub fn idempotency_key(&self) -> &[u8; 16] {
        &self.idempotency_key
    }

    /// The last moment it may be committed, in milliseconds since 1970.
    #[must_use]
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// What the application understands.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The sender's signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Checks the sender's key and signature. Many are checked faster together, by
    /// [`SignedEnvelope`](super::SignedEnvelope).
    ///
    /// # Errors
    /// [`TransactionFault::BadKey`] or [`TransactionFault::BadSignature`].
    pub fn verify(&self) -> Result<(), TransactionFault> {
        let key = PublicKey::client(&self.sender).map_err(|_| TransactionFault::BadKey)?;
        if verify(&key, &self.signed_message(), &self.signature) {
            Ok(())
        } else {
            Err(TransactionFault::BadSignature)
        }
    }

    /// What the sender signed.
    pub(super) fn signed_message(&self) -> [u8; 64] {
        signed_message(&self.id())
    }
}

/// `Domain::Transaction ‖ id`.
fn signed_message(id: &Digest) -> [u8; 64] {
    let mut message = [0; 64];
    let (tag, rest) = message.split_at_mut(32);
    tag.copy_from_slice(Domain::Transaction.tag());
    rest.copy_from_slice(id.as_bytes());
    message
}

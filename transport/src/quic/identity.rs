//! Keys: ours, kept secret, and those of peers, checked against the list. No certificates.
//!
//! Both sides show a raw Ed25519 public key (RFC 7250) and sign the handshake with it. A key is
//! accepted when it is listed; nothing else about a peer is believed.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use zeroize::Zeroize;

use crate::PeerId;

/// DER prefix of an Ed25519 SubjectPublicKeyInfo (RFC 8410); the 32 key bytes follow.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A node's secret Ed25519 network key. Wiped from memory on drop; never printed.
///
/// It is not the key that signs blocks, so that signing can move to another device.
pub struct NetworkKey {
    secret: Arc<SigningKey>,
}

impl NetworkKey {
    /// The key made from 32 secret random bytes. The caller wipes its own copy.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let secret = Arc::new(SigningKey::from_bytes(&seed));
        seed.zeroize();
        Self { secret }
    }

    /// The identity that peers list.
    #[must_use]
    pub fn public(&self) -> PeerId {
        PeerId::new(self.secret.verifying_key().to_bytes())
    }

    /// A secret for another purpose, which reveals nothing about this key.
    pub(super) fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, self.secret.as_bytes())
    }
}

/// Shows the public half only.
impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkKey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

/// Decides which keys may connect.
pub(super) trait KeyCheck: Send + Sync + 'static {
    /// Whether a server with this key may be talked to.
    fn accepts_server(&self, peer: PeerId) -> bool;
    /// Whether a client with this key may connect.
    fn accepts_client(&self, peer: PeerId) -> bool;
}

/// The TLS halves of both roles.
pub(super) struct TlsConfigs {
    pub(super) server: QuicServerConfig,
    pub(super) client: QuicClientConfig,
}

/// TLS 1.3 with raw keys on both sides: no tickets, no resumption, no early data, no server name.
pub(super) fn tls_configs(
    key: &NetworkKey,
    alpn: Vec<u8>,
    check: Arc<dyn KeyCheck>,
) -> Result<TlsConfigs, Error> {
    let provider = Arc::new(provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(RawKeyVerifier { check, algorithms });
    let own_key = Arc::new(certified_key(key));

    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
            Arc::clone(&own_key),
        )));
    server.alpn_protocols = vec![alpn.clone()];
    server.max_early_data_size = 0;
    server.send_tls13_tickets = 0;

    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own_key)));
    client.alpn_protocols = vec![alpn];
    client.resumption = Resumption::disabled();
    client.enable_sni = false;

    let no_suite = |_| Error::General("the QUIC initial cipher suite is missing".into());
    Ok(TlsConfigs {
        server: QuicServerConfig::try_from(server).map_err(no_suite)?,
        client: QuicClientConfig::try_from(client).map_err(no_suite)?,
    })
}

/// The key that the other side of a finished handshake has proved.
pub(super) fn proved_peer(connection: &quinn::Connection) -> Option<PeerId> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    peer_of_spki(chain.first()?)
}

/// AES-128-GCM first, because QUIC's own first packets need it anyway and it is the fastest; key
/// exchange with ML-KEM against recorded traffic, and X25519 alone for those who lack it.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..default_provider()
    }
}

fn certified_key(key: &NetworkKey) -> CertifiedKey {
    let spki = spki_of_peer(key.public());
    let signer = HandshakeKey {
        secret: Arc::clone(&key.secret),
        spki: spki.clone(),
    };
    CertifiedKey::new(vec![CertificateDer::from(spki)], Arc::new(signer))
}

fn spki_of_peer(peer: PeerId) -> Vec<u8> {
    [&SPKI_PREFIX[..], peer.as_bytes()].concat()
}

fn peer_of_spki(spki: &[u8]) -> Option<PeerId> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    Some(PeerId::new(key.try_into().ok()?))
}

/// The network key in the role of TLS signer. Shares the one copy of the secret instead of handing
/// the TLS library another in PKCS#8, which nobody would wipe.
#[derive(Clone)]
struct HandshakeKey {
    secret: Arc<SigningKey>,
    spki: Vec<u8>,
}

impl fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeKey").finish_non_exhaustive()
    }
}

impl rustls::sign::SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        if !offered.contains(&SignatureScheme::ED25519) {
            return None;
        }
        Some(Box::new(self.clone()))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(&self.spki[..]))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl rustls::sign::Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.secret.sign(message).to_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Judges the key that the other side shows, before any signature is checked.
struct RawKeyVerifier {
    check: Arc<dyn KeyCheck>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl RawKeyVerifier {
    fn verify_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(Error::InvalidCertificate(CertificateError::BadSignature));
        }
        let spki = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.algorithms)
    }
}

/// The one Ed25519 key shown.
fn shown_peer(shown: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<PeerId, Error> {
    match (peer_of_spki(shown), others.is_empty()) {
        (Some(peer), true) => Ok(peer),
        _ => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
    }
}

fn not_listed() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
}

impl fmt::Debug for RawKeyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawKeyVerifier").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for RawKeyVerifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let peer = shown_peer(shown, others)?;
        if !self.check.accepts_server(peer) {
            return Err(not_listed());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let peer = shown_peer(shown, others)?;
        if !self.check.accepts_client(peer) {
            return Err(not_listed());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_survives_its_encoding() {
        let peer = NetworkKey::from_seed([3; 32]).public();
        let spki = spki_of_peer(peer);
        assert_eq!(peer_of_spki(&spki), Some(peer));
        assert_eq!(peer_of_spki(&spki[..43]), None);
        assert_eq!(peer_of_spki(&[spki, vec![0]].concat()), None);
    }

    #[test]
    fn a_key_prints_only_its_public_half() {
        let seed = [0x5a; 32];
        let text = format!("{:?}", NetworkKey::from_seed(seed));
        assert!(!text.contains("5a5a"), "{text}");
    }

    #[test]
    fn the_hybrid_key_exchange_comes_first_and_only_tls_1_3_suites_are_offered() {
        let provider = provider();
        let groups: Vec<_> = provider
            .kx_groups
            .iter()
            .map(|group| group.name())
            .collect();
        let [hybrid, classic] = [
            rustls::NamedGroup::X25519MLKEM768,
            rustls::NamedGroup::X25519,
        ];
        assert_eq!(groups, [hybrid, classic]);
        assert!(
            provider
                .cipher_suites
                .iter()
                .all(|suite| suite.tls13().is_some())
        );
    }
}

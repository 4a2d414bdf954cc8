/// What a signature is about: the first 32 bytes of every signed message.
///
/// A signed message is `tag ‖ fields of fixed width`, so a signature made for one use is worthless
/// for any other. The tags are frozen: a changed tag is a new protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A validator's block (R3): tag, chain, epoch, round, author, header digest.
    Block,
    /// A client's transaction: tag, transaction id.
    Transaction,
    /// A validator's answer to one that lost its memory (R37): nonce, epoch, the asker's latest
    /// signed header.
    RecoveryAnswer,
}

impl Domain {
    /// Every domain, in declaration order.
    pub const ALL: [Self; 3] = [Self::Block, Self::Transaction, Self::RecoveryAnswer];

    /// The tag: ASCII, padded with zero bytes. All domains' tags differ.
    pub const fn tag(self) -> &'static [u8; 32] {
        match self {
            Self::Block => const { &padded(b"probity/v1/block") },
            Self::Transaction => const { &padded(b"probity/v1/transaction") },
            Self::RecoveryAnswer => const { &padded(b"probity/v1/recovery-answer") },
        }
    }
}

/// `text` followed by zero bytes. A text over 31 bytes does not compile, so every tag ends in at
/// least one zero and none is another's prefix.
const fn padded(text: &[u8]) -> [u8; 32] {
    assert!(text.len() < 32, "a domain tag has at most 31 characters");
    let mut tag = [0; 32];
    let mut i = 0;
    while i < text.len() {
        assert!(
            text[i].is_ascii_graphic(),
            "a domain tag is printable ASCII"
        );
        tag[i] = text[i];
        i += 1;
    }
    tag
}

// `RecoveryAnswer` is kept last, so that a domain added above it and left out of `ALL` does not
// compile.
const _: () = assert!(Domain::ALL.len() == Domain::RecoveryAnswer as usize + 1);

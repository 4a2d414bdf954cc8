//! One verdict for each signature: alone, in every batch, and by a second library.

use arbitrary::{Result, Unstructured};
use probity_core::crypto::{
    Claim, Context, PublicKey, Signature, hash, verify, verify_batch, verify_each,
};

mod crafted;

use crafted::Crafted;

/// Draws some strange signatures from `data`, puts them among honest ones, and has them all judged.
///
/// - `verify` says what ed25519-zebra says, which has the same rule (ZIP-215) and other code.
/// - `verify_each` says it of each member of a batch, whatever its neighbours are.
/// - `verify_batch` says whether all are valid.
/// - A crafted signature that keeps ZIP-215 is accepted: its parts of small order do not matter.
///
/// # Panics
/// When one of these promises is broken.
pub fn signatures(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let [chance, ..] = hash(Context::Params, &[data]).0;
    let Ok(judged) = Batch::draw(&mut input, chance) else {
        return;
    };
    judged.check();
}

/// Signatures whose single verdict is known.
struct Batch {
    members: Vec<(Crafted, PublicKey, bool)>,
    form: Form,
}

/// Which question is asked of the batch.
#[derive(Clone, Copy)]
enum Form {
    Each,
    All,
}

impl Batch {
    fn draw(input: &mut Unstructured<'_>, chance: u8) -> Result<Self> {
        let mut members = Vec::new();
        // A failed batch of several groups costs thirty verifications. A fuzzer that could choose it would do so most
        // of the time, so a hash chooses.
        let size = match chance {
            0..=2 => BATCH_MAX,
            small => 1 + usize::from(small) % BATCH_USUAL,
        };
        let form = if input.arbitrary()? {
            Form::Each
        } else {
            Form::All
        };
        let strange_max = input.int_in_range(1..=STRANGE_MAX)?;
        let mut strange = 0;
        for _ in 0..size {
            let honest = strange == strange_max || input.ratio(3_u8, 5_u8)?;
            if honest {
                let (honest, key) = crafted::honest(input.arbitrary::<u8>()?);
                members.push((honest.clone(), *key, true));
                continue;
            }
            strange += 1;
            let crafted = Crafted::draw(input)?;
            if let Some((key, verdict)) = single_verdict(&crafted) {
                members.push((crafted, key, verdict));
            }
        }
        Ok(Self { members, form })
    }

    fn check(&self) {
        let claims: Vec<Claim<'_>> = self
            .members
            .iter()
            .map(|(crafted, key, _)| Claim {
                key,
                message: &crafted.message,
                signature: &crafted.signature,
            })
            .collect();
        let expected: Vec<bool> = self
            .members
            .iter()
            .map(|(_, _, verdict)| *verdict)
            .collect();
        match self.form {
            Form::Each => assert_eq!(verify_each(&claims), expected, "a batch changes a verdict"),
            Form::All => {
                let all = expected.iter().all(|valid| *valid);
                assert_eq!(
                    verify_batch(&claims),
                    all,
                    "a batch is as good as its members"
                );
            }
        }
    }
}

/// The key, if it is one at all, and the verdict that both libraries share.
fn single_verdict(crafted: &Crafted) -> Option<(PublicKey, bool)> {
    let zebra = ed25519_zebra::VerificationKey::try_from(crafted.key);
    let Ok(key) = PublicKey::unchecked(&crafted.key) else {
        assert!(zebra.is_err(), "a key for one library only");
        return None;
    };
    let zebra = zebra.expect("a key for one library only");
    let Signature(bytes) = crafted.signature;
    let verdict = verify(&key, &crafted.message, &crafted.signature);
    let second = zebra.verify(&bytes.into(), &crafted.message).is_ok();
    assert_eq!(verdict, second, "two libraries disagree about {crafted:?}");
    assert!(
        verdict || !crafted.keeps_the_rule,
        "a valid signature was refused: {crafted:?}"
    );
    if crafted.checks_doors {
        check_doors(&crafted.key);
    }
    Some((key, verdict))
}

/// A committee's key is a client's key, and has one encoding.
fn check_doors(bytes: &[u8; 32]) {
    let client = PublicKey::client(bytes);
    if let Ok(key) = PublicKey::committee(bytes) {
        assert_eq!(client, Ok(key), "a committee's key is good for a client");
    }
}

/// Enough for one group of the batch to fail and another to hold.
const BATCH_MAX: usize = 34;
const BATCH_USUAL: usize = 3;
/// Strange ones cost two single verifications each.
const STRANGE_MAX: usize = 2;

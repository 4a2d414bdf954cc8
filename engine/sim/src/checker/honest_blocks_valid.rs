//! The verdict about a block is the same everywhere: what a correct validator sends is never refused (R4).

use super::{Checker, Observation, Scene};

pub(super) struct HonestBlocksValid;

impl Checker for HonestBlocksValid {
    fn promise(&self) -> &'static str {
        "nothing that a correct validator sends is refused"
    }

    fn look(&mut self, _: &Scene<'_>, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::RefusedHonest(how) => Err(how.clone()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HonestBlocksValid;
    use crate::checker::Observation;
    use crate::checker::stage::Stage;

    #[test]
    fn a_refusal_is_seen() {
        let stage = Stage::full_dag(1);
        let seen = Observation::RefusedHonest("wrong signature".to_owned());
        let how = stage.look(&mut HonestBlocksValid, 0, &seen);
        assert_eq!(how, Err("wrong signature".to_owned()));
    }
}

//! Clients' public keys, kept ready for verification.

use std::collections::HashMap;

use parking_lot::RwLock;
use probity_core::crypto::PublicKey;

/// Keys of one generation. Two are kept, so at most 65,536 keys, about 16 MiB.
const GENERATION_KEYS_MAX: usize = 32_768;

/// A bounded memory of parsed keys: finding a key's point costs a fifth of a verification.
///
/// When the young generation is full it becomes the old one, and the old one is forgotten: no
/// bookkeeping on a hit, and a key in use is parsed again once in a generation. Only keys under
/// which a signature was valid should be remembered, so that filling the cache has a price.
#[derive(Default)]
pub(super) struct KeyCache {
    generations: RwLock<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<[u8; 32], PublicKey>,
    old: HashMap<[u8; 32], PublicKey>,
}

impl KeyCache {
    /// The known ones among `keys`, in their order.
    pub(super) fn lookup<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8; 32]>,
    ) -> Vec<Option<PublicKey>> {
        let generations = self.generations.read();
        keys.map(|bytes| {
            generations
                .young
                .get(bytes)
                .or_else(|| generations.old.get(bytes))
                .copied()
        })
        .collect()
    }

    /// Keeps keys for the next [`lookup`](Self::lookup).
    pub(super) fn remember(&self, keys: &[PublicKey]) {
        if keys.is_empty() {
            return;
        }
        let mut generations = self.generations.write();
        for key in keys {
            if generations.young.len() >= GENERATION_KEYS_MAX {
                generations.old = std::mem::take(&mut generations.young);
            }
            generations.young.insert(*key.as_bytes(), *key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_core::crypto::Keypair;

    #[test]
    fn the_cache_is_bounded_and_forgets_the_oldest() {
        let cache = KeyCache::default();
        let key = Keypair::from_seed(&[1; 32]).public();
        cache.remember(&[key]);
        assert_eq!(cache.lookup([key.as_bytes()].into_iter()), [Some(key)]);
        assert_eq!(cache.lookup([&[9; 32]].into_iter()), [None]);
        // Stands in for thousands of clients: what counts is the number of entries.
        for round in 0..2u8 {
            let mut generations = cache.generations.write();
            for n in 0..u32::try_from(GENERATION_KEYS_MAX).unwrap() {
                let mut bytes = [round; 32];
                bytes[..4].copy_from_slice(&n.to_le_bytes());
                generations.young.insert(bytes, key);
            }
            drop(generations);
            cache.remember(&[Keypair::from_seed(&[round + 2; 32]).public()]);
        }
        assert_eq!(cache.lookup([key.as_bytes()].into_iter()), [None]);
        assert!(cache.generations.read().old.len() <= GENERATION_KEYS_MAX + 1);
    }
}

//! Which of its parent's posts a job is.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Tells a post of a job from all its other posts, and is the same in every attempt
/// that takes the same path: it is made of the post's place among the posts of the
/// attempt, and of all that was asked for. A parent that runs again gets the children
/// that it has, and new ones only where it asks for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChildKey([u8; Self::BYTES]);

impl ChildKey {
    /// How long a key is. The children of one job are too few for two of them to have
    /// the same 128 bits.
    pub const BYTES: usize = 16;

    /// The key of a post, made of its parts in order.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With its length, so that no part can pass for the end of another.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut key = [0; Self::BYTES];
        for (to, from) in key.iter_mut().zip(digest) {
            *to = from;
        }
        Self(key)
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for ChildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = |parts: &[&[u8]]| ChildKey::of(parts.iter().copied());
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
        assert_eq!(key(&[b"ab"]).to_string().len(), 32);
    }
}

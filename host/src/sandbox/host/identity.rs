//! What makes the posts and the stored data of an attempt the same in the next one: a
//! job that runs again gets the children that it has, and writes over its own data.

use sha2::{Digest as _, Sha256};

use super::RunningJob;
use crate::job::ChildKey;
use crate::sandbox::bindings::queue::{PostOptions, PostRequest};

/// How many posts and generated keys an attempt of a function has made so far. One that
/// failed does not count: perhaps it was carried out, and then the next one must be the
/// same.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Ordinals {
    pub(super) posts: u64,
    pub(super) keys: u64,
}

impl RunningJob {
    /// The key of the post that comes after `others` more of the attempt.
    pub(super) fn child_key(&self, others: usize, post: &PostRequest) -> ChildKey {
        let ordinal = self.ordinals.posts + others as u64;
        let options = encode(&post.options);
        let message = &post.message;
        let place = (self.place as u64).to_le_bytes();
        ChildKey::of([
            &place[..],
            &ordinal.to_le_bytes(),
            &options,
            message.content_type.as_bytes(),
            &message.data,
        ])
    }

    /// A key for data that was stored without one: it names the job, so that no other
    /// has it, and the content, so that another path of the job does not meet it.
    pub(super) fn data_key(&self, data: &[u8]) -> String {
        let ordinal = self.ordinals.keys;
        let digest = hex::encode(Sha256::digest(data));
        let digest = digest.get(..16).unwrap_or(&digest);
        format!("job-{}-{}-{ordinal}-{digest}", self.token.id, self.place)
    }
}

/// The options in one piece: each with its length or its presence, so that no two sets
/// of options read alike.
fn encode(options: &PostOptions) -> Vec<u8> {
    let PostOptions {
        functions,
        delay_ms,
        priority,
        idempotency_key,
        max_attempts,
        timeout_ms,
        retention_s,
        callback,
    } = options;
    let mut bytes = Vec::with_capacity(64);
    let mut text = |text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    text(&functions.len().to_string());
    functions.iter().for_each(|name| text(name));
    for option in [idempotency_key, callback] {
        text(if option.is_some() { "+" } else { "-" });
        text(option.as_deref().unwrap_or_default());
    }
    let numbers = [
        *delay_ms,
        priority.map(u64::from),
        max_attempts.map(u64::from),
        *timeout_ms,
        *retention_s,
    ];
    for number in numbers {
        text(&number.map_or_else(String::new, |number| number.to_string()));
    }
    bytes
}

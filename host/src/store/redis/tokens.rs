//! Access tokens: few, and asked for with every request, so that this process knows them
//! all and asks Redis only whether they are still the same.
//!
//! It asks at most once in [`TOKENS_FRESH`], and for a token that it does not know,
//! whoever shows one, once in [`PAUSE`]: all who do so meanwhile wait for the same
//! answer. Nothing depends on events being heard, so that a host which hears none lets
//! nobody in for longer than that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use uuid::Uuid;

use crate::access::{AccessTokens, MAX_TOKENS, StoredToken, TokenId};
use crate::store::tokens::{decode_token, encode_token};
use crate::store::{Result, TOKENS_FRESH};

use super::reply::{self, Reply};
use super::{RedisStore, script};

/// How often unknown tokens have Redis asked again: twenty times a second are nothing to
/// it, and a token that was made on another host is known here as soon as it is shown.
const PAUSE: Duration = Duration::from_millis(50);

/// A version that no store has.
const NONE: &str = "-";

/// What this process knows of the tokens.
#[derive(Default)]
pub(super) struct TokenCache {
    known: Mutex<Option<Known>>,
    /// Held by whoever asks Redis.
    asking: tokio::sync::Mutex<()>,
    /// Counts the changes that this process has made.
    changes: AtomicU64,
}

#[derive(Clone)]
struct Known {
    version: String,
    tokens: Arc<AccessTokens>,
    /// Not after the moment at which they were so.
    asked: Instant,
}

impl TokenCache {
    /// No thread panics while it holds this lock; if one did, the data would be whole.
    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tokens, if they are known as they were at that moment or later.
    fn since(&self, moment: Instant) -> Option<Arc<AccessTokens>> {
        let known = self.lock();
        let known = known.as_ref().filter(|known| known.asked >= moment)?;
        Some(known.tokens.clone())
    }

    /// Forgets them: this process has changed them.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        *self.lock() = None;
    }
}

impl RedisStore {
    /// See [`crate::store::Store::tokens`].
    pub(super) async fn fresh_tokens(&self) -> Result<Arc<AccessTokens>> {
        let now = Instant::now();
        let moment = now.checked_sub(TOKENS_FRESH).unwrap_or(now);
        self.tokens_since(moment).await
    }

    /// The tokens as they were at that moment or later.
    pub(super) async fn tokens_since(&self, moment: Instant) -> Result<Arc<AccessTokens>> {
        let cache = &self.shared.tokens;
        if let Some(tokens) = cache.since(moment) {
            return Ok(tokens);
        }
        let _turn = cache.asking.lock().await;
        loop {
            // Whoever had the turn before may have asked for us too.
            if let Some(tokens) = cache.since(moment) {
                return Ok(tokens);
            }
            let known = cache.lock().clone();
            if let Some(known) = &known {
                sleep(PAUSE.saturating_sub(known.asked.elapsed())).await;
            }
            let changes = cache.changes.load(Ordering::SeqCst);
            let asked = Instant::now();
            let (version, tokens) = self.ask_for_tokens(known).await?;
            let mut known = cache.lock();
            if cache.changes.load(Ordering::SeqCst) == changes {
                *known = Some(Known {
                    version,
                    tokens: tokens.clone(),
                    asked,
                });
                return Ok(tokens);
            }
        }
    }

    async fn ask_for_tokens(&self, known: Option<Known>) -> Result<(String, Arc<AccessTokens>)> {
        let mut command = self.link.command(script::TOKENS);
        command.arg(known.as_ref().map_or(NONE, |known| &known.version));
        let mut answer = Reply::new(self.link.run(script::TOKENS, &command).await?)?;
        let version = answer.text()?;
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok((version, known.tokens));
        }
        let mut tokens = Vec::new();
        while !answer.is_empty() {
            let (id, value) = (answer.text()?, answer.bytes()?);
            match (id.parse(), value.splitn(3, |byte| *byte == b':').nth(2)) {
                (Ok(id), Some(record)) => tokens.extend(decode_token(id, record)),
                _ => tracing::error!(id, "a token does not count, since it cannot be read"),
            }
        }
        Ok((version, Arc::new(tokens.into_iter().collect())))
    }

    /// See [`crate::store::Store::put_token`].
    pub(super) async fn keep_token(&self, stored: &StoredToken) -> Result<bool> {
        let token = &stored.token;
        let mut command = self.link.command(script::PUT_TOKEN);
        command
            .arg(token.id.to_string())
            .arg(token.reach.to_string())
            .arg(token.expires_at_ms.unwrap_or_default())
            .arg(encode_token(stored)?)
            .arg(Uuid::new_v4().to_string())
            .arg(MAX_TOKENS);
        let kept = self.link.run(script::PUT_TOKEN, &command).await;
        // Also if the answer was lost.
        self.shared.tokens.changed();
        Ok(reply::number(kept?)? > 0)
    }

    /// See [`crate::store::Store::revoke_token`].
    pub(super) async fn forget_token(&self, id: TokenId) -> Result<bool> {
        let mut command = self.link.command(script::REVOKE_TOKEN);
        command.arg(id.to_string()).arg(Uuid::new_v4().to_string());
        let forgotten = self.link.run(script::REVOKE_TOKEN, &command).await;
        self.shared.tokens.changed();
        Ok(reply::number(forgotten?)? > 0)
    }
}

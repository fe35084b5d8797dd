//! The flags about callbacks, of `serve` and `worker`.

use std::time::Duration;

use super::{duration, failure::Failure};
use crate::callback::{Allowed, CallbackOptions, CallbackPolicy, Secret};

/// How callbacks are sent.
#[derive(Debug, clap::Args)]
pub(super) struct CallbackArgs {
    /// Where callbacks may go beside the public internet: addresses, networks or host
    /// names, as in 10.0.0.0/8,hooks.internal:8080; none for nowhere
    /// [default: loopback, if this host listens on loopback only; a worker sends no
    /// callbacks unless this is given]
    #[arg(
        long,
        value_name = "WHERE",
        env = "SKEP_CALLBACK_ALLOW",
        value_delimiter = ','
    )]
    callback_allow: Option<Vec<Allowed>>,
    /// Sign callbacks, with whsec_ and 24 to 64 bytes in base64 (Standard Webhooks); two,
    /// separated by a comma, while one replaces the other. Put it into
    /// SKEP_CALLBACK_SECRET, where `ps` does not show it
    #[arg(
        long,
        value_name = "SECRET",
        env = "SKEP_CALLBACK_SECRET",
        hide_env_values = true,
        value_delimiter = ','
    )]
    callback_secret: Vec<String>,
    /// Leave callbacks to the other hosts of the store, as one that cannot reach the
    /// receivers does
    #[arg(long)]
    no_callbacks: bool,
    /// The pause before a callback is tried again; for tests
    #[arg(long, value_name = "TIME", hide = true, value_parser = duration::parse)]
    callback_pause: Option<Duration>,
    /// How long a receiver may take to answer; for tests
    #[arg(long, value_name = "TIME", hide = true, value_parser = duration::parse)]
    callback_timeout: Option<Duration>,
}

impl CallbackArgs {
    /// The options; `otherwise` says where callbacks may go unless a flag does. With
    /// neither, none are sent.
    pub(super) fn options(
        &self,
        otherwise: Option<CallbackPolicy>,
    ) -> Result<CallbackOptions, Failure> {
        // Read here, since clap would show a secret that it cannot read.
        let secrets = self.callback_secret.iter().map(|text| text.parse());
        let secrets = secrets
            .collect::<Result<Vec<Secret>, String>>()
            .map_err(|error| Failure::usage(format!("--callback-secret: {error}")))?;
        let usual = CallbackOptions::default();
        let allowed = self.callback_allow.clone().map(CallbackPolicy::allowing);
        let policy = allowed.or(otherwise);
        Ok(CallbackOptions {
            send: policy.is_some() && !self.no_callbacks,
            policy: policy.unwrap_or_default(),
            secrets,
            first_pause: self.callback_pause.unwrap_or(usual.first_pause),
            timeout: self.callback_timeout.unwrap_or(usual.timeout),
        })
    }
}

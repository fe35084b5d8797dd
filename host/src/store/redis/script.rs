//! The scripts, each in a file of its own under `scripts/`, behind a common prelude
//! and parts that some have in common (`gates.lua`, `claims.lua`, `blobs.lua`).

use std::sync::LazyLock;

/// A script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    /// The whole text.
    pub(super) text: &'static str,
    hash: fn() -> &'static str,
}

impl Script {
    /// The name under which Redis knows it once it is loaded.
    pub(super) fn hash(&self) -> &'static str {
        (self.hash)()
    }
}

macro_rules! scripts {
    ($($const:ident = $name:literal $(with $part:literal)*),+ $(,)?) => {
        $(pub(super) const $const: Script = {
            const TEXT: &str = concat!(
                include_str!("scripts/prelude.lua"),
                $(include_str!(concat!("scripts/", $part, ".lua")),)*
                include_str!(concat!("scripts/", $name, ".lua")),
            );
            fn hash() -> &'static str {
                static HASH: LazyLock<String> =
                    LazyLock::new(|| redis::Script::new(TEXT).get_hash().to_owned());
                &HASH
            }
            Script { text: TEXT, hash }
        };)+
    };
}

scripts! {
    ASIDE = "aside" with "gates",
    CALLED = "called",
    CANCEL = "cancel",
    CYCLE = "cycle" with "gates" with "claims",
    DEPLOY = "deploy" with "gates" with "blobs",
    ENDS = "ends",
    FORGET = "forget",
    FUNCTIONS = "functions",
    GREET = "greet",
    JOB = "job",
    LET_GO = "let_go",
    LEAVE = "leave",
    LIMIT = "limit",
    LIST = "list",
    LOG = "log",
    MODELS = "models",
    MODEL_VERSIONS = "model_versions",
    OUTBOX = "outbox",
    OUTCOMES = "outcomes",
    OVERVIEW = "overview",
    PARK = "park" with "gates",
    PAUSE = "pause",
    PURGE = "purge",
    PUT_CHUNK = "put_chunk",
    PUT_MODEL = "put_model" with "blobs",
    PUT_TOKEN = "put_token",
    REAP = "reap",
    REGISTER = "register",
    REMOVE_MODEL = "remove_model" with "blobs",
    RENEW = "renew",
    REPORT = "report",
    RETAKE = "retake" with "gates" with "claims",
    RETRY = "retry",
    REVOKE_TOKEN = "revoke_token",
    REZERO = "rezero",
    SEIZE = "seize",
    STATUS = "status",
    SUBMIT = "submit" with "gates" with "claims",
    SWEEP = "sweep",
    TOKENS = "tokens",
    UNDEPLOY = "undeploy" with "gates",
    UNPARK = "unpark" with "gates",
    VERSIONS = "versions",
    VOID = "void",
    WAITING = "waiting",
    WATCH = "watch",
}

//! `skep doctor`: looks whether skep can work here, and says what to mend.

mod guest;
mod inference;
mod machine;
mod server;
mod store;

use serde::Serialize;

use super::engines::EngineArgs;
use super::hosting::Places;
use super::{Global, colors::paint, config, failure::Failure, output};

/// Check that skep can work here, and say what to mend
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep doctor\n  skep doctor --store redis://127.0.0.1:6379/0 --url https://skep.example.com\n\nLooks at the server (--url), the store that a server here would use (--store), this machine, a guest of its own, and the engines that would run models (--onnxruntime). The exit code is 1 if a check fails; a warning is none. With --json: {\"ok\": true, \"checks\": [{\"name\", \"status\", \"said\", \"mend\"}]}, where the status is ok, warn or fail."
)]
pub(super) struct Args {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    pub(super) engines: EngineArgs,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// A check that was made.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    said: String,
    /// What to do about it.
    mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, said: impl Into<String>) -> Self {
        let said = said.into();
        let status = Status::Ok;
        Self {
            name,
            status,
            said,
            mend: None,
        }
    }

    fn warn(name: &'static str, said: impl Into<String>, mend: impl Into<String>) -> Self {
        let (said, mend) = (said.into(), Some(mend.into()));
        let status = Status::Warn;
        Self {
            name,
            status,
            said,
            mend,
        }
    }

    fn fail(name: &'static str, said: impl Into<String>, mend: impl Into<String>) -> Self {
        let (said, mend) = (said.into(), Some(mend.into()));
        let status = Status::Fail;
        Self {
            name,
            status,
            said,
            mend,
        }
    }

    /// A check whose error says what is wrong and how to mend it.
    fn failure(name: &'static str, failure: Failure) -> Self {
        let said = match failure {
            Failure::Usage(text) | Failure::Failed(text) | Failure::Away(text) => text,
            Failure::Interrupted | Failure::Unread => "it was interrupted".to_owned(),
        };
        Self {
            name,
            status: Status::Fail,
            said,
            mend: None,
        }
    }

    fn print(&self) -> Result<(), Failure> {
        let (word, color) = match self.status {
            Status::Ok => ("ok  ", 32),
            Status::Warn => ("warn", 33),
            Status::Fail => ("FAIL", 31),
        };
        let word = paint(word, Some(color));
        let said = output::indented(&self.said);
        output::bytes(format!("{word}  {:9}  {said}\n", self.name).as_bytes())?;
        match &self.mend {
            Some(mend) => output::line(&format!("      {:9}  -> {}", "", output::indented(mend))),
            None => Ok(()),
        }
    }
}

/// Makes all checks; prints each as it is made.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let mut made = Vec::new();
    let mut tell = |checks: Vec<Check>| {
        if !global.json {
            checks.iter().try_for_each(Check::print)?;
        }
        made.extend(checks);
        Ok::<_, Failure>(())
    };
    tell(vec![version(), configuration(global)])?;
    tell(server::look(global).await)?;
    tell(store::look(&args.places.store).await)?;
    tell(vec![machine::cache(&args.places)])?;
    tell(machine::limits())?;
    tell(vec![guest::run().await])?;
    tell(inference::look(&args.engines.options().engines))?;
    let failed = made.iter().filter(|check| check.status == Status::Fail);
    let failed = failed.count();
    if global.json {
        output::json(&serde_json::json!({"ok": failed == 0, "checks": made}))?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed("1 check failed")),
        _ => Err(Failure::failed(format!("{failed} checks failed"))),
    }
}

fn version() -> Check {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    Check::ok(
        "version",
        format!("skep {} for {os} on {arch}", env!("CARGO_PKG_VERSION")),
    )
}

fn configuration(global: &Global) -> Check {
    // It was read before, or else this would not run.
    match global.config.clone().or_else(config::usual) {
        Some(path) => Check::ok("config", format!("from {}", path.display())),
        None => Check::ok("config", "no skep.toml here or in ~/.config/skep"),
    }
}

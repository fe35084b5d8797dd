//! `skep run`: one job in this process, without a server, and nothing left
//! behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::follow::{Display, Jobs, Listener, verdict};
use super::hosting::this_binary;
use super::output::{note, plain};
use super::{Global, failure::Failure, message, output};
use crate::callback::CallbackOptions;
use crate::deploy::Grant;
use crate::following::{Cursor, Following};
use crate::host::{Host, HostOptions, MAX_PARKED};
use crate::intake::PostRequest;
use crate::job::{FunctionName, JobId, Limits, Namespace, Payload};
use crate::sandbox::CHILD_CPU_S;
use crate::store::{Deployment, Outcome, Store, StoreUrl};
use crate::traces::Traces;

/// Enough for a handler that posts jobs of its own and waits for them.
const WORKERS: usize = 2;

/// How long the host may take to stop: its only job has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Run one job here, without a server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep run multiply.wasm --function multiply --msg '{\"arg1\": 6, \"arg2\": 3}'\n  skep run thumbnail.wasm --data photo.jpg --out small.png"
)]
pub(super) struct Args {
    /// The component, a .wasm file built against wit/
    file: PathBuf,
    /// The function to run; needed when the component has several
    #[arg(long, value_name = "NAME")]
    function: Option<FunctionName>,
    /// The message, as JSON text; - reads it from stdin
    #[arg(long, value_name = "JSON", required_unless_present = "data")]
    msg: Option<String>,
    /// Use this file's bytes as the message
    #[arg(long, value_name = "FILE", conflicts_with = "msg")]
    data: Option<PathBuf>,
    /// The media type of --data [default: by the file's name]
    #[arg(long, value_name = "TYPE", requires = "data")]
    content_type: Option<String>,
    /// Write the result to this file
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the job in a host of its own.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let component = message::read(&args.file)?;
    let message = match (&args.msg, &args.data) {
        (_, Some(path)) => message::file(path, args.content_type.as_deref())?,
        (given, None) => message::json(given.as_deref().unwrap_or_default())?,
    };
    let directory = tempfile::tempdir().map_err(|error| {
        Failure::failed(format!("cannot make a directory for the run: {error}"))
    })?;
    let store = StoreUrl::Embedded(directory.path().join("store"));
    let options = HostOptions {
        cache_dir: directory.path().to_owned(),
        workers: WORKERS,
        max_parked: MAX_PARKED,
        binary: this_binary()?,
        compile_cpu_s: CHILD_CPU_S,
        callbacks: CallbackOptions {
            send: false,
            ..CallbackOptions::default()
        },
        traces: Traces::default(),
    };
    let store = store
        .open()
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    let host = Host::start(store, options)?;
    let namespace = &global.namespace();
    let job = job(&host, namespace, component, args.function.as_ref(), message);
    // Whoever interrupts the run should not find its directory left behind.
    let done = tokio::select! {
        done = job => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    host.stop(GRACE).await;
    output::result("this run", &done?, args.out.as_deref())
}

async fn job(
    host: &Host,
    namespace: &Namespace,
    component: Vec<u8>,
    function: Option<&FunctionName>,
    message: Payload,
) -> Result<Payload, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let deployed = host
        .deployer
        .deploy(
            namespace,
            component.into(),
            None,
            Limits::default(),
            Grant::Narrower,
        )
        .await
        .map_err(|error| failed(&error))?;
    let function = choose(&deployed, function)?;
    let request = PostRequest::new(message, vec![function.to_string()]);
    let ids = host.intake.accept(namespace, vec![request]).await;
    let ids = ids.map_err(|error| failed(&error))?;
    let id = ids
        .first()
        .copied()
        .ok_or_else(|| failed(&"the job has no id"))?;
    let local = Local {
        store: Arc::clone(&host.store),
        namespace,
    };
    let ended = Display::new(1).follow(&local, id).await?;
    if let Err(failure) = verdict(&ended) {
        local.show_log(id).await;
        return Err(failure);
    }
    match host.store.outcome(namespace, id).await {
        Ok(Outcome::Completed(output)) => Ok(output.result),
        Ok(_) => Err(failed(&"the result is gone")),
        Err(error) => Err(failed(&error)),
    }
}

/// The function to run. The others are deployed as well: it may post jobs to them.
fn choose<'a>(
    deployed: &'a [Arc<Deployment>],
    wanted: Option<&'a FunctionName>,
) -> Result<&'a FunctionName, Failure> {
    let mut functions = deployed.iter().map(|one| &one.function);
    match (wanted, deployed) {
        (None, [only]) => return Ok(&only.function),
        (Some(name), _) if functions.any(|function| function == name) => return Ok(name),
        _ => {}
    }
    let names: Vec<_> = deployed.iter().map(|one| one.function.as_str()).collect();
    let names = names.join(", ");
    Err(Failure::usage(match wanted {
        None => {
            format!("the component has several functions; choose one with --function: {names}")
        }
        Some(name) => format!("the component does not offer `{name}`; it offers: {names}"),
    }))
}

/// The host in this process, as a place to look at jobs.
struct Local<'n> {
    store: Arc<dyn Store>,
    namespace: &'n Namespace,
}

impl Local<'_> {
    /// Shows what the guest logged: the cause alone seldom tells why.
    async fn show_log(&self, id: JobId) {
        let lines = self.store.log(self.namespace, id).await;
        for line in lines.unwrap_or_default().lines {
            note(&format!("log: {}", plain(&line.text)));
        }
    }
}

impl Jobs for Local<'_> {
    async fn follow(&self, id: JobId, listener: &mut impl Listener) -> Result<(), Failure> {
        let following = Following::new(Arc::clone(&self.store));
        let follower = (following.follow(self.namespace, id, Cursor::default())).await;
        let mut follower = follower.map_err(|error| Failure::failed(error.to_string()))?;
        while let Some(told) = follower.next().await {
            listener.hear(told.event)?;
        }
        Ok(())
    }
}

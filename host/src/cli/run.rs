//! `skep run`: jobs in this process, without a server, and nothing left behind.
//!
//! They run as on a server, in the same sandbox and with the same host functions, on a
//! store in memory. Not here: how one job is shown (`one`), and how a stream of them is
//! (`many`).

mod line;
mod many;
mod one;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::engines::EngineArgs;
use super::hosting::{default_workers, this_binary};
use super::limits::LimitArgs;
use super::lines::Lines;
use super::{Global, failure::Failure, message, output};
use crate::callback::CallbackOptions;
use crate::deploy::Grant;
use crate::host::{Host, HostOptions};
use crate::intake::PostRequest;
use crate::job::{FunctionName, ModelName, Namespace, Payload};
use crate::model::ModelConfig;
use crate::store::Deployment;
use crate::store::embedded::EmbeddedStore;

/// Enough for a handler that posts jobs of its own and waits for them.
const WORKERS: usize = 2;

/// How long the host may take to stop: what is wanted of it has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Run jobs here, without a server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep run multiply.wasm --function multiply --msg '{\"arg1\": 6, \"arg2\": 3}'\n  skep run thumbnail.wasm --data photo.jpg --out small.png\n  skep run multiply.wasm --function multiply --jobs messages.jsonl --parallel 8 > results.jsonl\n  skep run iris.wasm --model iris=iris.onnx --function predict --data flower.json\n\nWith --jobs, each line of the output is a JSON object: its line and state (completed,\nfailed, cancelled; refused if the line was no message for the function) and, as far as\nthere is one, short_result, result with content_type, or result_base64 where that is not\nJSON, cause, or problem. The exit code is 1 if any of them did not complete. All have the\nlimits that a server grants, unless --limit says else."
)]
pub(super) struct Args {
    /// The component, a .wasm file built against wit/
    file: PathBuf,
    /// The function to run; needed when the component has several
    #[arg(long, value_name = "NAME")]
    function: Option<FunctionName>,
    /// The message, as JSON text; - reads it from stdin
    #[arg(long, value_name = "JSON", required_unless_present_any = ["data", "jobs"])]
    msg: Option<String>,
    /// Use this file's bytes as the message
    #[arg(long, value_name = "FILE", conflicts_with = "msg")]
    data: Option<PathBuf>,
    /// Run a job for each line of this file, which is a message in JSON; - reads stdin.
    /// Prints what came of each in the order of the lines
    #[arg(long, value_name = "FILE", conflicts_with_all = ["msg", "data", "out"])]
    jobs: Option<PathBuf>,
    /// With --jobs, how many run at once [default: two per core, at least 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    parallel: Option<u16>,
    /// The media type of --data [default: by the file's name]
    #[arg(long, value_name = "TYPE", requires = "data")]
    content_type: Option<String>,
    /// Write the result to this file
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Let the function call this ONNX model by this name; again for each
    #[arg(long = "model", value_name = "NAME=FILE", value_parser = model)]
    models: Vec<(ModelName, PathBuf)>,
    #[command(flatten)]
    pub(super) engines: EngineArgs,
}

/// A host in this process, with the component deployed.
struct Here {
    host: Host,
    store: Arc<EmbeddedStore>,
    namespace: Namespace,
    function: FunctionName,
    /// Of what is compiled.
    _directory: TempDir,
}

/// Runs what is asked for in a host of its own.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let component = message::read(&args.file)?;
    if let Some(path) = &args.jobs {
        let lines = Lines::open(path)?;
        let parallel = args.parallel.map_or_else(default_workers, usize::from);
        let here = start(&args, global, component, parallel).await?;
        let done = many::run(&here, lines).await;
        here.host.stop(GRACE).await;
        return done;
    }
    // clap asks for nothing that conflicts with what is there.
    if args.parallel.is_some() {
        return Err(Failure::usage(
            "--parallel is for many jobs: name their file with --jobs",
        ));
    }
    let message = match (&args.msg, &args.data) {
        (_, Some(path)) => message::file(path, args.content_type.as_deref())?,
        (given, None) => message::json(given.as_deref().unwrap_or_default())?,
    };
    let here = start(&args, global, component, WORKERS).await?;
    // Whoever interrupts the run should not find its directory left behind.
    let done = tokio::select! {
        done = one::run(&here, message) => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    here.host.stop(GRACE).await;
    output::result("this run", &done?, args.out.as_deref())
}

async fn start(
    args: &Args,
    global: &Global,
    component: Vec<u8>,
    workers: usize,
) -> Result<Here, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let limits = args.limits.all()?.and_default();
    let directory = tempfile::tempdir().map_err(|error| {
        Failure::failed(format!("cannot make a directory for the run: {error}"))
    })?;
    let options = HostOptions {
        callbacks: CallbackOptions::silent(),
        inference: args.engines.options(),
        ..HostOptions::new(this_binary()?, directory.path().to_owned(), workers)
    };
    let store = EmbeddedStore::options().in_memory();
    let store = Arc::new(store.map_err(|error| failed(&error))?);
    let host = Host::start(store.clone(), options)?;
    let namespace = global.namespace();
    // Whoever runs it here may grant what an admin may.
    let deploy = (host.deployer).deploy(&namespace, component.into(), None, limits, Grant::Wider);
    let deployed = tokio::select! {
        deployed = deploy => deployed.map_err(|error| failed(&error))?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
    };
    for (name, path) in &args.models {
        let bytes = message::read(path)?;
        let modeller = &host.modeller;
        let config = ModelConfig::default();
        let add = modeller.add(&namespace, name, bytes.into(), config, Grant::Wider);
        let added = tokio::select! {
            added = add => added,
            _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
        };
        added.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    }
    let function = choose(&deployed, args.function.as_ref())?.clone();
    Ok(Here {
        host,
        store,
        namespace,
        function,
        _directory: directory,
    })
}

impl Here {
    /// A job of the function.
    fn request(&self, message: Payload) -> PostRequest {
        PostRequest::new(message, vec![self.function.to_string()])
    }
}

/// Reads `NAME=FILE`.
fn model(text: &str) -> Result<(ModelName, PathBuf), String> {
    let (name, file) = text
        .split_once('=')
        .ok_or("write NAME=FILE, such as iris=iris.onnx")?;
    let name = name.parse::<ModelName>();
    Ok((name.map_err(|error| error.to_string())?, file.into()))
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

//! `skep queue cp` and `skep queue mv`: from store to store, without a server.

use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::signal::ctrl_c;

use super::super::{Global, failure::Failure, output};
use crate::job::{FunctionName, JobId, ModelName};
use crate::moving::{MoveError, Transfer};
use crate::store::{Store, StoreError, StoreUrl};

/// How often a pipe is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The store with the jobs: embedded:DIRECTORY
    #[arg(value_name = "SRC")]
    source: StoreUrl,
    /// The store that gets them; made if it is not there
    #[arg(value_name = "DEST")]
    destination: StoreUrl,
}

/// `skep queue mv`.
pub(super) async fn carry(args: Args, global: &Global) -> Result<(), Failure> {
    let transfer = open(&args, global).await?;
    let bound = Bound::carry(&transfer).await?;
    let mut meter = Meter::new(transfer.waiting().await.map_err(explain)?, "moved");
    let work = async {
        loop {
            match transfer.move_some().await? {
                0 => return Ok(()),
                count => meter.add(count),
            }
        }
    };
    finish(work).await?;
    let left = transfer.waiting().await.map_err(explain)?;
    meter.end();
    report(&args, global, &bound, "moved", meter.done)?;
    if left > 0 {
        return Err(Failure::failed(format!(
            "{left} jobs stay in {}: another move holds them (run that one again, or `skep queue release` there), or they came meanwhile, or cannot be read",
            args.source
        )));
    }
    Ok(())
}

/// `skep queue cp`.
pub(super) async fn copy(args: Args, global: &Global) -> Result<(), Failure> {
    let transfer = open(&args, global).await?;
    let bound = Bound::carry(&transfer).await?;
    let mut meter = Meter::new(transfer.waiting().await.map_err(explain)?, "copied");
    let work = async {
        let mut after = JobId(0);
        while let Some((count, last)) = transfer.copy_some(after).await? {
            meter.add(count);
            after = last;
        }
        Ok(())
    };
    finish(work).await?;
    meter.end();
    report(&args, global, &bound, "copied", meter.done)
}

/// What the jobs need, and the destination got.
struct Bound {
    models: Vec<ModelName>,
    functions: Vec<FunctionName>,
}

impl Bound {
    /// Models first: no function may miss its own.
    async fn carry(transfer: &Transfer) -> Result<Self, Failure> {
        let models = transfer.models().await.map_err(explain)?;
        let functions = transfer.functions().await.map_err(explain)?;
        Ok(Self { models, functions })
    }
}

async fn open(args: &Args, global: &Global) -> Result<Transfer, Failure> {
    let (from, to) = (&args.source, &args.destination);
    if from.to_string() == to.to_string() {
        return Err(Failure::usage(format!(
            "{from} is both source and destination; name two stores"
        )));
    }
    let source = opened(from, from.open_existing().await)?;
    let destination = opened(to, to.open().await)?;
    Transfer::new(source, destination, global.namespace(), to.to_string())
        .await
        .map_err(explain)
}

fn opened(
    url: &StoreUrl,
    answer: Result<Arc<dyn Store>, StoreError>,
) -> Result<Arc<dyn Store>, Failure> {
    answer.map_err(|error| match error {
        StoreError::InUse(_) => Failure::failed(format!(
            "{url} is in use by another skep process; stop its server first (its jobs wait meanwhile), then run this again"
        )),
        StoreError::Unavailable(_) => Failure::away(format!("{url}: {error}")),
        other => Failure::failed(format!("{url}: {other}")),
    })
}

fn explain(error: MoveError) -> Failure {
    Failure::failed(match error {
        MoveError::SameStore => error.to_string(),
        error => format!("{error}; what was done is done, run this again to go on"),
    })
}

/// Works to the end, or until Ctrl-C. A batch that is cut off is done again by the
/// next run.
async fn finish(work: impl Future<Output = Result<(), MoveError>>) -> Result<(), Failure> {
    tokio::select! {
        done = work => done.map_err(explain),
        _ = ctrl_c() => {
            output::note("stopped; run this again to go on");
            Err(Failure::Interrupted)
        }
    }
}

fn report(
    args: &Args,
    global: &Global,
    bound: &Bound,
    what: &str,
    jobs: u64,
) -> Result<(), Failure> {
    let (from, to) = (args.source.to_string(), args.destination.to_string());
    if global.json {
        let Bound { models, functions } = bound;
        let answer = json!({what: jobs, "models": models, "functions": functions, "source": from, "destination": to});
        return output::line(&answer.to_string());
    }
    for model in &bound.models {
        output::line(&format!("added the model {model} in {to}"))?;
    }
    for function in &bound.functions {
        output::line(&format!("deployed {function} in {to}"))?;
    }
    let jobs = match jobs {
        1 => "1 job".to_owned(),
        jobs => format!("{jobs} jobs"),
    };
    output::line(&format!("{what} {jobs} from {from} to {to}"))
}

/// Shows how far it is: a bar on a terminal, a line now and then elsewhere.
struct Meter {
    bar: Option<ProgressBar>,
    what: &'static str,
    done: u64,
    total: u64,
    told: Instant,
}

impl Meter {
    fn new(total: u64, what: &'static str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template(
                "{bar:30.cyan/dim} {pos}/{len} jobs {msg}, {eta} left",
            );
            // The template is a constant; without it the bar is only plainer.
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_message(what);
            bar
        });
        Self {
            bar,
            what,
            done: 0,
            total,
            told: Instant::now(),
        }
    }

    fn add(&mut self, count: usize) {
        self.done += count as u64;
        if let Some(bar) = &self.bar {
            bar.set_length(self.total.max(self.done));
            bar.set_position(self.done);
        } else if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            output::note(&format!(
                "{} {} of {} jobs",
                self.what, self.done, self.total
            ));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

//! Commands that need no server: `skep run --jobs`, and how long `skep --help` takes.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::meter::percentile_us;
use super::stream::messages;
use super::{BenchOptions, Figure, block_on};

const HELPS: usize = 50;

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    Ok(vec![
        Figure::new("run --jobs, without a server", run(options)?, "jobs/s"),
        Figure::new("skep --help, p50", help(options)? / 1e3, "ms"),
    ])
}

/// Jobs per second, from the first that is done to the last: before that the component is
/// compiled.
fn run(options: &BenchOptions) -> anyhow::Result<f64> {
    let jobs = options.jobs;
    ensure!(jobs > 1, "a rate needs two jobs");
    let file = messages(options, jobs)?;
    block_on(async {
        let mut run = Command::new(&options.binary)
            .arg("run")
            .arg(&options.component)
            .args(["--function", options.function.as_str(), "--jobs"])
            .arg(file.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let output = run.stdout.take().context("no output")?;
        let mut lines = BufReader::with_capacity(1 << 20, output);
        let (mut line, mut count) = (Vec::new(), 0);
        let mut begun = Instant::now();
        while lines.read_until(b'\n', &mut line).await? > 0 {
            if count == 0 {
                begun = Instant::now();
            }
            count += 1;
            line.clear();
        }
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(run.wait().await?.success(), "`skep run --jobs` failed");
        ensure!(count == jobs, "{count} lines came of {jobs} jobs");
        Ok((jobs - 1) as f64 / seconds)
    })
}

/// µs of `skep --help`.
fn help(options: &BenchOptions) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(HELPS);
    for _ in 0..HELPS {
        let begun = Instant::now();
        let help = std::process::Command::new(&options.binary)
            .arg("--help")
            .output()?;
        times.push(begun.elapsed());
        ensure!(help.status.success(), "`skep --help` failed");
    }
    times.sort_unstable();
    Ok(percentile_us(&times, 50))
}

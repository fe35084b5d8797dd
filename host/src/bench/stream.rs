//! A file of messages posted over HTTP by `skep post --file`, the client beside the server
//! and its store on the same cores: how fast, at which cost, and in how much memory.

use std::io::{BufWriter, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Pid;
use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::time::sleep;

use super::meter::{cpu_of, peak_mib};
use super::resident::Server;
use super::{BenchOptions, Figure, block_on};

/// How often to look at a client that will be gone: what it uses after the last look is
/// not counted.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    let jobs = options.stream_jobs;
    if jobs == 0 {
        return Ok(Vec::new());
    }
    let file = messages(options, jobs)?;
    block_on(async {
        // What a job costs when it is run is measured elsewhere.
        let server = Server::start_with(options, &["--no-worker"]).await?;
        server.deploy(options).await?;
        let pid = server.pid()?;
        let cpu = cpu_of(pid)?;
        let begun = Instant::now();
        let mut client = Command::new(&options.binary)
            .args(["post", "--url", server.url(), "--function"])
            .arg(options.function.as_str())
            .arg("--file")
            .arg(file.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let id = client.id().context("the client has ended")?;
        let client_pid = Pid::from_raw(i32::try_from(id)?).context("no process id")?;
        let (mut client_cpu, mut client_mib) = (0.0, 0.0);
        let ended = loop {
            tokio::select! {
                ended = client.wait() => break ended?,
                () = sleep(LOOK_EVERY) => {}
            }
            if let (Ok(cpu), Ok(mib)) = (cpu_of(client_pid), peak_mib(client_pid)) {
                (client_cpu, client_mib) = (cpu, mib);
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(ended.success(), "`skep post --file` failed");
        let us_per_job = |seconds: f64| seconds * 1e6 / jobs as f64;
        let mut figures = vec![
            Figure::new(
                "posted from a file over HTTP",
                jobs as f64 / seconds,
                "jobs/s",
            ),
            Figure::new("  CPU of the client", us_per_job(client_cpu), "µs"),
            Figure::new("  CPU of the server", us_per_job(cpu_of(pid)? - cpu), "µs"),
            Figure::new("  peak memory of the client", client_mib, "MiB"),
            Figure::new("  peak memory of the server", peak_mib(pid)?, "MiB"),
        ];
        let begun = Instant::now();
        let listed = list(&server).await?;
        ensure!(listed == jobs, "{listed} of {jobs} jobs were listed");
        let rate = jobs as f64 / begun.elapsed().as_secs_f64();
        figures.push(Figure::new("listed over HTTP as lines", rate, "jobs/s"));
        let name = "  peak memory of the server, with that";
        figures.push(Figure::new(name, peak_mib(pid)?, "MiB"));
        Ok(figures)
    })
}

/// Lists all jobs, and counts the lines.
async fn list(server: &Server) -> anyhow::Result<usize> {
    let request = (reqwest::Client::new().get(format!("{}/jobs", server.url())))
        .header("accept", "application/x-ndjson");
    let mut answer = request.send().await?.error_for_status()?;
    let mut lines = 0;
    while let Some(chunk) = answer.chunk().await? {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(lines)
}

/// A file of so many messages.
pub(super) fn messages(options: &BenchOptions, count: usize) -> anyhow::Result<NamedTempFile> {
    let file = NamedTempFile::new_in(&options.directory)?;
    let mut lines = BufWriter::new(file.as_file());
    for _ in 0..count {
        writeln!(lines, "{}", options.message)?;
    }
    lines.flush()?;
    drop(lines);
    Ok(file)
}

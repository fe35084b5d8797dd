//! What an idle server holds and burns, with nothing and with many jobs waiting.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rustix::process::Pid;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::meter::{cpu_of, resident_mib};
use super::redis::Cleared;
use super::{BenchOptions, Figure, block_on, read, store_directory};

/// How long the idle server is watched.
const IDLE: Duration = Duration::from_secs(5);

/// How many connections post at once.
const POSTERS: usize = 32;

/// A server process on a store of its own.
pub(super) struct Server {
    child: Child,
    url: String,
    client: reqwest::Client,
    _redis: Option<Cleared>,
    _directory: tempfile::TempDir,
}

impl Server {
    pub(super) async fn start(options: &BenchOptions) -> anyhow::Result<Self> {
        Self::start_with(options, &[]).await
    }

    /// A server with more arguments.
    pub(super) async fn start_with(options: &BenchOptions, more: &[&str]) -> anyhow::Result<Self> {
        let directory = store_directory(options)?;
        let redis = options.redis.as_ref().map(Cleared::new).transpose()?;
        // As it was given, with the password.
        let store = match &options.redis {
            Some(address) => address.with_password().to_owned(),
            None => format!("embedded:{}", directory.path().display()),
        };
        // Bound and let go: the port is free a moment later.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let child = Command::new(&options.binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .arg("--cache")
            .arg(directory.path())
            .args(more)
            .env("SKEP_STORE", store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let server = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
            _redis: redis,
            _directory: directory,
        };
        for _ in 0..200 {
            if server.get("/healthz").await.is_ok() {
                return Ok(server);
            }
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the server did not start")
    }

    pub(super) async fn deploy(&self, options: &BenchOptions) -> anyhow::Result<()> {
        let answer = (self.client.post(format!("{}/consumer", self.url)))
            .header("content-type", "application/wasm")
            .body(read(&options.component)?)
            .send()
            .await?;
        answer.error_for_status()?;
        Ok(())
    }

    pub(super) async fn post(
        &self,
        namespace: &str,
        message: &str,
        functions: &[&str],
    ) -> anyhow::Result<String> {
        let functions = serde_json::to_string(functions)?;
        let answer = (self.client.post(format!("{}/jobs", self.url)))
            .header("content-type", "application/json")
            .header("skep-namespace", namespace)
            .body(format!(r#"{{"msg": {message}, "functions": {functions}}}"#))
            .send()
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "a post was refused: {status} {text}");
        Ok(text)
    }

    /// Posts a job, and waits for its result.
    pub(super) async fn round_trip(&self, options: &BenchOptions) -> anyhow::Result<()> {
        let id = self
            .post("default", &options.message, &[options.function.as_str()])
            .await?;
        self.result(&id).await
    }

    /// Waits for a job's result.
    pub(super) async fn result(&self, id: &str) -> anyhow::Result<()> {
        self.get(&format!("/jobs/{id}/result?wait_ms=10000")).await
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<()> {
        let answer = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await?;
        answer.error_for_status()?.bytes().await?;
        Ok(())
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap_or(&self.url)
    }

    pub(super) fn pid(&self) -> anyhow::Result<Pid> {
        let id = self.child.id().context("the server has ended")?;
        Pid::from_raw(i32::try_from(id)?).context("no process id")
    }
}

pub(super) fn measure(options: &BenchOptions) -> anyhow::Result<Vec<Figure>> {
    block_on(async {
        let server = Server::start(options).await?;
        server.deploy(options).await?;
        let pid = server.pid()?;
        sleep(Duration::from_secs(1)).await;
        let cpu = cpu_of(pid)?;
        sleep(IDLE).await;
        let idle_percent = (cpu_of(pid)? - cpu) / IDLE.as_secs_f64() * 100.0;
        let mut figures = vec![
            Figure::new("idle CPU", idle_percent, "% of a core"),
            Figure::new("resident, no jobs waiting", resident_mib(pid)?, "MiB"),
        ];
        // Jobs without names wait in a namespace without functions.
        let post = |_| async { server.post("bench-waiting", &options.message, &[]).await };
        for (name, more) in [
            ("resident, 1,000 jobs waiting", 1_000),
            ("resident, 100,000 jobs waiting", 99_000),
        ] {
            (stream::iter(0..more).map(post).buffer_unordered(POSTERS))
                .try_for_each(|_| async { Ok(()) })
                .await?;
            figures.push(Figure::new(name, resident_mib(pid)?, "MiB"));
        }
        Ok(figures)
    })
}

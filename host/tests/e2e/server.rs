//! A server process under test, and a client that speaks to it.

use std::borrow::BorrowMut;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;

/// How long anything may take before a test fails; generous, since CI is shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A built guest, by its file's name.
pub(crate) fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join("target/guests").join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "{} is missing; run `make guests`",
        path.display()
    );
    path
}

/// The bytes of a built guest.
pub(crate) fn guest_bytes(name: &str) -> Vec<u8> {
    std::fs::read(guest(name)).unwrap()
}

/// The `skep` binary.
pub(crate) fn skep() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command
        .kill_on_drop(true)
        .env("NO_COLOR", "1")
        // Not that of whoever runs the tests.
        .env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Fails the test unless the answer has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// Fails the test unless the text names all of these.
    #[track_caller]
    pub(crate) fn naming(self, words: &[&str]) -> Self {
        let text = self.text();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        self
    }
}

/// A server on a directory of its own.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) url: String,
    client: reqwest::Client,
    directory: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_in(TempDir::new().unwrap()).await
    }

    /// A server with a component deployed.
    pub(crate) async fn with(component: &str) -> Self {
        let server = Self::start().await;
        server.upload(guest_bytes(component)).await.expect(200);
        server
    }

    pub(crate) async fn start_in(directory: TempDir) -> Self {
        Self::start_with(directory, &[]).await
    }

    /// A server on a directory, with more arguments.
    pub(crate) async fn start_with(directory: TempDir, more: &[&str]) -> Self {
        let store = store_of(&directory);
        let args = [&["--store", &store], more].concat();
        Self::launch(directory, &args, &[]).await
    }

    /// A server on a store that hosts share.
    pub(crate) async fn on(store: &str, more: &[&str]) -> Self {
        Self::with_env(store, more, &[]).await
    }

    /// As [`on`](Self::on), with more in its environment.
    pub(crate) async fn with_env(store: &str, more: &[&str], env: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let cache = directory.path().join("cache").display().to_string();
        let mut args = vec!["--store", store, "--cache", &cache];
        args.extend(more);
        Self::launch(directory, &args, env).await
    }

    async fn launch(directory: TempDir, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = skep();
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .envs(env.iter().copied());
        Self::of(Process::of(command), directory).await
    }

    /// A server that was started as a process of its own.
    pub(crate) async fn of(process: Process, directory: TempDir) -> Self {
        let line = process.until_said("http://127.0.0.1:").await;
        let at = line.find("http://").unwrap();
        Self {
            process,
            url: line[at..].split([' ', '"']).next().unwrap().to_owned(),
            client: client(),
            directory,
        }
    }

    /// Where it listens, as `Host` has it.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// What `--store` takes for this server's directory.
    pub(crate) fn store(&self) -> String {
        store_of(&self.directory)
    }

    /// The server's directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) -> TempDir {
        self.process.kill().await;
        self.directory
    }

    /// `kill -TERM`, and the exit code.
    pub(crate) async fn terminate(mut self) -> (Option<i32>, TempDir) {
        self.process.signal(rustix::process::Signal::TERM);
        (self.process.exit().await, self.directory)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// `GET` of JSON.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let request = self
            .request(Method::GET, path)
            .header("accept", "application/json");
        send(request).await.expect(200).json()
    }

    pub(crate) async fn upload(&self, component: Vec<u8>) -> Answer {
        let request = self.request(Method::POST, "/consumer");
        send(
            request
                .header("content-type", "application/wasm")
                .body(component),
        )
        .await
    }

    /// `PUT /functions/{name}`, with limits in the query.
    pub(crate) async fn put(&self, function: &str, component: &str, query: &str) -> Answer {
        let request = self.request(Method::PUT, &format!("/functions/{function}{query}"));
        let body = guest_bytes(component);
        send(
            request
                .header("content-type", "application/wasm")
                .body(body),
        )
        .await
    }

    /// `POST /jobs` with this text as JSON.
    pub(crate) async fn post_text(&self, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, "/jobs");
        send(
            request
                .header("content-type", "application/json")
                .body(body),
        )
        .await
    }

    /// Posts a message to a function and answers the id.
    pub(crate) async fn post(&self, function: &str, message: Value) -> String {
        let body = serde_json::json!({"msg": message, "functions": [function]});
        self.post_text(body.to_string()).await.expect(200).text()
    }

    /// Posts bytes to a function and answers the id.
    pub(crate) async fn post_bytes(
        &self,
        function: &str,
        content_type: &str,
        bytes: Vec<u8>,
    ) -> String {
        let request = self.request(Method::POST, &format!("/jobs?functions={function}"));
        send(request.header("content-type", content_type).body(bytes))
            .await
            .expect(200)
            .text()
    }

    /// Waits until the job has ended, and answers its record.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            self.get(&format!("/jobs/{id}/result?wait_ms=20000")).await;
            let record = self.json(&format!("/jobs/{id}")).await;
            let state = record["state"].as_str().unwrap();
            if ["completed", "failed", "cancelled"].contains(&state) {
                return record;
            }
            assert!(begun.elapsed() < PATIENCE, "the job does not end: {record}");
        }
    }

    /// Runs a job to its end and answers the record.
    pub(crate) async fn run(&self, function: &str, message: Value) -> Value {
        let id = self.post(function, message).await;
        self.ended(&id).await
    }

    /// Runs a job and answers its result.
    pub(crate) async fn result(&self, function: &str, message: Value) -> Answer {
        let id = self.post(function, message).await;
        self.get(&format!("/jobs/{id}/result?wait_ms=60000"))
            .await
            .expect(200)
    }

    /// Waits until `done` holds for the job's record.
    pub(crate) async fn until(&self, id: &str, done: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/jobs/{id}");
        eventually(PATIENCE, || self.json(&path), done).await
    }

    /// Waits until `done` holds for the queue.
    pub(crate) async fn until_queue(&self, done: impl Fn(&Value) -> bool) {
        eventually(PATIENCE, || self.json("/queue"), done).await;
    }

    /// Fails the test unless the server still does its work.
    pub(crate) async fn still_serves(&self) {
        self.get("/healthz").await.expect(200).naming(&["ok"]);
    }
}

/// Looks until what there is to see is enough, and answers that.
pub(crate) async fn eventually<T, F>(
    patience: Duration,
    look: impl Fn() -> F,
    enough: impl Fn(&T) -> bool,
) -> T
where
    T: Debug,
    F: Future<Output = T>,
{
    let begun = Instant::now();
    loop {
        let seen = look().await;
        if enough(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < patience, "it does not happen: {seen:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client, with the cryptography that it insists on having.
fn client() -> reqwest::Client {
    // It fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A server hangs up after 75 s, and a request on its way then would be lost.
    let client = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(30));
    client.build().expect("a client of the default kind")
}

/// Runs a command to its end; answers its exit code, stdout and stderr.
pub(crate) async fn run(mut command: impl BorrowMut<Command>) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, command.borrow_mut().output()).await;
    let output = output.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What `--store` takes for a server's directory.
pub(crate) fn store_of(directory: &TempDir) -> String {
    format!("embedded:{}", directory.path().join("store").display())
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.timeout(PATIENCE).send().await.unwrap();
    let headers = response.headers().clone();
    Answer {
        status: response.status(),
        content_type: headers
            .get("content-type")
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default(),
        headers,
        body: response.bytes().await.unwrap().to_vec(),
    }
}

//! Hosts as processes, each with a way to Redis of its own.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use skep_testkit::{Proxy, RedisServer};

/// The lease of the hosts: short enough that many end in one test, long enough that
/// none does by itself on a busy machine.
pub(crate) const LEASE: Duration = Duration::from_millis(1500);

/// Longer than a start or a stop takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hosts: whether each serves HTTP, and its slots.
const HOSTS: [(&str, bool, u16); 4] = [
    ("serve-1", true, 4),
    ("serve-2", true, 1),
    ("worker-1", false, 3),
    ("worker-2", false, 1),
];

/// A host, which may be down.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    pub(crate) proxy: Proxy,
    /// Where it serves HTTP, if it does.
    port: Option<u16>,
    slots: u16,
    store: String,
    directory: PathBuf,
    child: Option<Child>,
}

/// Starts the hosts, with the guests deployed and compiled for each.
pub(crate) async fn start(server: &RedisServer, directory: &Path) -> Vec<Host> {
    let mut hosts: Vec<Host> = (HOSTS.iter())
        .map(|&(name, serves, slots)| Host::new(name, serves, slots, server, directory))
        .collect();
    hosts[0].start();
    // The client insists on having cryptography; it fails only if it has some.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    for guest in ["multiply", "probe"] {
        let url = format!("{}/consumer", hosts[0].url().unwrap());
        deploy(&client, &url, guest).await;
    }
    // Most jobs wait at a gate once or more, and those that wait for others are capped too.
    for (function, guest, cap) in [("multiply", "multiply", 4), ("compose", "probe", 2)] {
        let url = hosts[0].url().unwrap();
        let url = format!("{url}/functions/{function}?concurrency={cap}");
        let request = client.put(url).header("content-type", "application/wasm");
        let answer = request.body(guest_bytes(guest)).send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap()
        );
    }
    let url = format!("{}/queue/concurrency", hosts[0].url().unwrap());
    let answer = client
        .put(url)
        .body(r#"{"limit": 7}"#)
        .send()
        .await
        .unwrap();
    assert!(
        answer.status().is_success(),
        "{}",
        answer.text().await.unwrap()
    );
    let (first, others) = hosts.split_first_mut().unwrap();
    for host in others {
        // To compile it all again for each would take longer than the test.
        let copied = Command::new("cp")
            .arg("-r")
            .args([first.cache(), host.cache()])
            .status();
        assert!(copied.unwrap().success());
        host.start();
    }
    hosts
}

fn guest_bytes(guest: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join("target/guests").join(format!("{guest}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make guests`", path.display()))
}

/// Deploys a guest as soon as somebody listens.
async fn deploy(client: &reqwest::Client, url: &str, guest: &str) {
    let bytes = guest_bytes(guest);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = client.post(url).header("content-type", "application/wasm");
        match request.body(bytes.clone()).send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => panic!("{guest}: {}", answer.text().await.unwrap()),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Host {
    fn new(
        name: &'static str,
        serves: bool,
        slots: u16,
        server: &RedisServer,
        directory: &Path,
    ) -> Self {
        let proxy = Proxy::to_port(server.port());
        let directory = directory.join(name);
        std::fs::create_dir(&directory).unwrap();
        Self {
            name,
            store: proxy.url_for(&server.url()),
            proxy,
            port: serves.then(free_port),
            slots,
            directory,
            child: None,
        }
    }

    /// Where it serves HTTP, if it does.
    pub(crate) fn url(&self) -> Option<String> {
        self.port.map(|port| format!("http://127.0.0.1:{port}"))
    }

    fn cache(&self) -> PathBuf {
        self.directory.join("cache")
    }

    /// What it has said in all of its lives.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
        match self.port {
            Some(port) => command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]),
            None => command.arg("worker"),
        };
        let child = command
            .args(["--store", &self.store, "--workers", &self.slots.to_string()])
            .args(["--lease", &format!("{}ms", LEASE.as_millis())])
            .args(["--grace", "1s", "--cache"])
            .arg(self.cache())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// `kill -TERM`, and a good end.
    pub(crate) async fn stop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        // A process that has only just begun ends by any signal, as it should.
        while !self.catches(Signal::TERM) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.signal(Signal::TERM);
        let mut child = self.child.take().expect("it runs");
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("{} does not stop:\n{}", self.name, self.last_words());
            }
        };
        assert!(
            status.success(),
            "{}, {status}:\n{}",
            self.name,
            self.last_words()
        );
    }

    fn catches(&self, signal: Signal) -> bool {
        let pid = self.child.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| (mask >> (signal.as_raw() - 1)) & 1 == 1)
    }

    /// Fails the test if it has ended by itself.
    pub(crate) fn assert_runs(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(status) = child.try_wait().unwrap() {
            panic!("{} ended, {status}:\n{}", self.name, self.last_words());
        }
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that no outgoing connection gets while its host is down.
fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(16_384..32_768);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

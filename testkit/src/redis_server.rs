//! A real Redis server on loopback, in a directory of its own.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, RedisResult, Value};
use tempfile::TempDir;

use crate::free_port;
use crate::guarded::{Guarded, LOG};
use crate::redis_options::RedisOptions;
use crate::tls::Tls;

/// Longer than a start takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a command of a test may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server. Killed when it is dropped, and when this process ends.
#[derive(Debug)]
pub struct RedisServer {
    process: Mutex<Option<Guarded>>,
    port: u16,
    password: Option<String>,
    args: Vec<String>,
    pub(crate) tls: Option<Tls>,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::options().start()
    }

    /// How to start a server in another way.
    pub fn options() -> RedisOptions {
        RedisOptions::default()
    }

    /// Starts a server on a port that is free.
    pub(crate) fn launch(directory: TempDir, args: Vec<String>, password: Option<String>) -> Self {
        demand_binary();
        let mut server = Self {
            process: Mutex::new(None),
            port: 0,
            password,
            args,
            tls: None,
            directory,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            server.port = free_port();
            match server.run() {
                Ok(()) => return server,
                Err(log) if port_was_taken(&log) && Instant::now() < deadline => {}
                Err(log) => panic!("redis-server does not start:\n{log}"),
            }
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How a client names it.
    pub fn url(&self) -> String {
        format!("redis://{}127.0.0.1:{}/0", self.user(), self.port)
    }

    /// How a client names it that speaks TLS and trusts [`certificate`](Self::certificate).
    pub fn tls_url(&self) -> String {
        format!("rediss://{}127.0.0.1:{}/0", self.user(), self.tls().port)
    }

    /// What clients that speak TLS must trust, in PEM.
    pub fn certificate(&self) -> &str {
        &self.tls().certificate
    }

    /// Its process id, for `/proc`.
    pub fn pid(&self) -> u32 {
        self.lock().as_ref().expect("the server runs").pid
    }

    /// Kills it at once, as a loss of power would.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// Lets it end in an orderly way.
    pub fn stop(&self) {
        self.end("TERM");
    }

    /// Starts it again, on the same port and directory; kills it before, if it
    /// still runs.
    pub fn restart(&self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        while let Err(log) = self.run() {
            assert!(
                port_was_taken(&log) && Instant::now() < deadline,
                "redis-server does not start again:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it from doing anything, with its connections open.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Runs a command and answers what Redis did; panics if that is an error.
    pub fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Runs a command.
    ///
    /// # Errors
    ///
    /// If Redis cannot be reached, or answers with an error.
    pub fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let command = command(words);
        let (sender, answer) = mpsc::channel();
        // On a thread that is waited for: with a timeout on the socket itself, any signal
        // to this process fails the read with EINTR (signal(7)), as when a child ends.
        std::thread::spawn(move || {
            let connection = client.get_connection_with_timeout(COMMAND_TIMEOUT);
            let answer = connection.and_then(|mut it| command.query::<Value>(&mut it));
            // Nobody waits any more if that took too long.
            let _ = sender.send(answer);
        });
        let answer = answer.recv_timeout(COMMAND_TIMEOUT);
        let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(redis::from_redis_value(answer)?)
    }

    /// Runs a command and answers in text, one line for each item, as `redis-cli`
    /// does when nobody looks.
    pub fn cli(&self, words: &[&str]) -> String {
        let mut text = String::new();
        render(&self.command(words), &mut text);
        text.truncate(text.trim_end_matches('\n').len());
        text
    }

    /// A section of `INFO`.
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        parse_info(&self.command::<String>(&["INFO", section]))
    }

    /// What it has said on its way.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(LOG)).unwrap_or_default()
    }

    fn user(&self) -> String {
        let password = self.password.as_ref();
        password.map_or(String::new(), |password| format!(":{password}@"))
    }

    fn tls(&self) -> &Tls {
        (self.tls.as_ref()).expect("the server was started with `RedisOptions::tls`")
    }

    fn end(&self, signal: &str) {
        if let Some(mut process) = self.lock().take() {
            process.signal(signal);
            process.wait();
        }
    }

    fn signal(&self, name: &str) {
        let mut process = self.lock();
        process.as_mut().expect("the server runs").signal(name);
    }

    /// Starts the process; answers its log if it ends instead of serving.
    fn run(&self) -> Result<(), String> {
        let mut args = self.args.clone();
        args.extend(["--port".to_owned(), self.port.to_string()]);
        let mut process = Guarded::start(self.directory.path(), &binary(), &args);
        let deadline = Instant::now() + PATIENCE;
        let ours = process.pid.to_string();
        loop {
            let answer = self.try_command::<String>(&["INFO", "server"]);
            // Not a stranger's, who was quicker to take the port.
            let id = answer
                .ok()
                .and_then(|info| parse_info(&info).remove("process_id"));
            if id.is_some_and(|id| id == ours) && self.has_loaded() {
                break;
            }
            if process.has_ended() {
                return Err(self.log());
            }
            assert!(
                Instant::now() < deadline,
                "redis-server does not answer:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        *self.lock() = Some(process);
        Ok(())
    }

    /// Whether its data is read from the disk; until then it answers with an error.
    fn has_loaded(&self) -> bool {
        self.try_command::<Value>(&["PING"]).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Guarded>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn binary() -> String {
    std::env::var("SKEP_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

fn demand_binary() {
    let binary = binary();
    let found = Command::new(&binary)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "these tests need `{binary}`, which does not run here; on Debian and Ubuntu: \
         `apt-get install redis-server` (`make test` does so by itself)"
    );
}

fn port_was_taken(log: &str) -> bool {
    log.contains("Address already in use") || log.contains("Could not create server TCP")
}

fn parse_info(info: &str) -> BTreeMap<String, String> {
    let pairs = info.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

fn render(value: &Value, text: &mut String) {
    match value {
        Value::Nil => text.push('\n'),
        Value::Int(number) => text.push_str(&format!("{number}\n")),
        Value::BulkString(bytes) => {
            text.push_str(&String::from_utf8_lossy(bytes));
            text.push('\n');
        }
        Value::SimpleString(string) => text.push_str(&format!("{string}\n")),
        Value::Okay => text.push_str("OK\n"),
        Value::Array(items) => items.iter().for_each(|item| render(item, text)),
        other => text.push_str(&format!("{other:?}\n")),
    }
}

fn command(words: &[&str]) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command
}

//! A real Redis server on loopback, in a directory of its own.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, RedisResult, Value};
use tempfile::TempDir;

use crate::free_port;
use crate::guarded::{Guarded, LOG};

/// Longer than a start takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a command of a test may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// When the append-only file is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before a command is answered.
    Always,
    /// Once a second.
    EverySecond,
}

/// How a server is to be; see [`RedisServer::options`].
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    aof: Option<Fsync>,
    password: Option<String>,
    args: Vec<String>,
}

impl RedisOptions {
    /// Keeps an append-only file; without this, nothing survives a restart.
    pub fn aof(mut self, fsync: Fsync) -> Self {
        self.aof = Some(fsync);
        self
    }

    /// Asks clients for a password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Refuses what would take more memory than this.
    pub fn maxmemory(self, bytes: u64) -> Self {
        self.args(&[
            "--maxmemory",
            &bytes.to_string(),
            "--maxmemory-policy",
            "noeviction",
        ])
    }

    /// Further words of the command line, such as `["--databases", "1"]`.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Starts the server and waits until it answers.
    pub fn start(self) -> RedisServer {
        let mut args: Vec<String> = Vec::new();
        let mut add = |more: &[&str]| args.extend(more.iter().map(|&arg| arg.to_owned()));
        add(&["--bind", "127.0.0.1", "--save", "", "--loglevel", "notice"]);
        match self.aof {
            None => add(&["--appendonly", "no"]),
            Some(fsync) => {
                let when = match fsync {
                    Fsync::Always => "always",
                    Fsync::EverySecond => "everysec",
                };
                add(&["--appendonly", "yes", "--appendfsync", when]);
            }
        }
        if let Some(password) = &self.password {
            add(&["--requirepass", password]);
        }
        args.extend(self.args);
        let directory = tempfile::tempdir().expect("a temporary directory");
        RedisServer::launch(directory, args, self.password)
    }
}

/// A running server. Killed when it is dropped, and when this process ends.
#[derive(Debug)]
pub struct RedisServer {
    process: Mutex<Option<Guarded>>,
    port: u16,
    password: Option<String>,
    args: Vec<String>,
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
        let password = self.password.as_ref();
        let user = password.map_or(String::new(), |password| format!(":{password}@"));
        format!("redis://{user}127.0.0.1:{}/0", self.port)
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
        let mut connection = client.get_connection_with_timeout(COMMAND_TIMEOUT)?;
        connection.set_read_timeout(Some(COMMAND_TIMEOUT))?;
        command(words).query(&mut connection)
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

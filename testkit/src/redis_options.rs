//! How a Redis server is to be.

use crate::redis_server::RedisServer;
use crate::tls::Tls;

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
    tls: bool,
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

    /// Also serves TLS, on another port; see [`RedisServer::tls_url`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
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
        let tls = self.tls.then(|| Tls::new(directory.path()));
        let (tls, more) = tls.map_or((None, Vec::new()), |(tls, args)| (Some(tls), args));
        args.extend(more);
        let mut server = RedisServer::launch(directory, args, self.password);
        server.tls = tls;
        server
    }
}

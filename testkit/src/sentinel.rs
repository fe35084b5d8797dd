//! A Redis master with a replica and a Sentinel that watches them, on loopback.

use std::time::{Duration, Instant};

use crate::redis_server::{PATIENCE, RedisServer};

/// What the Sentinel calls its master.
const NAME: &str = "mymaster";

/// A running master, replica and Sentinel. Killed when they are dropped, and when
/// this process ends.
#[derive(Debug)]
pub struct RedisSentinel {
    sentinel: RedisServer,
    master: RedisServer,
    replica: RedisServer,
}

impl RedisSentinel {
    /// Starts them and waits until the Sentinel knows the replica.
    pub fn start() -> Self {
        let master = RedisServer::start();
        let port = master.port().to_string();
        let replica = RedisServer::options()
            .args(&["--replicaof", "127.0.0.1", &port])
            .start();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\n\
             sentinel monitor {NAME} 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds {NAME} 500\n\
             sentinel failover-timeout {NAME} 2000\n"
        );
        std::fs::write(&config, text).expect("the directory can be written to");
        let args = vec![config.display().to_string(), "--sentinel".to_owned()];
        let sentinel = RedisServer::launch(directory, args, None);
        let this = Self {
            sentinel,
            master,
            replica,
        };
        let knows = || {
            let master = this.sentinel.cli(&["SENTINEL", "REPLICAS", NAME]);
            master.contains("master-link-status\nok")
        };
        this.wait_until("knows the replica", knows);
        this
    }

    /// How a client names them.
    pub fn url(&self) -> String {
        let port = self.sentinel.port();
        format!("redis-sentinel://127.0.0.1:{port}/{NAME}/0")
    }

    /// Waits until the replica has all that the master has now: no more of it survives a
    /// master that is killed. `WAIT` tells that only to the connection which has written.
    pub fn catch_up(&self) {
        let all = offset(&self.master, "master_repl_offset");
        let has_all = || offset(&self.replica, "slave_repl_offset") >= all;
        self.wait_until("copies what the master has", has_all);
    }

    /// Kills the master and waits until the replica has taken its place.
    pub fn fail_over(&self) {
        self.master.kill();
        let port = self.replica.port().to_string();
        let promoted = || {
            let address = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
            self.sentinel.cli(&address).ends_with(&port)
        };
        self.wait_until("promotes the replica", promoted);
    }

    /// The server that was the master at the start.
    pub fn master(&self) -> &RedisServer {
        &self.master
    }

    /// The server that was the replica at the start.
    pub fn replica(&self) -> &RedisServer {
        &self.replica
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            let log = || self.sentinel.log();
            assert!(Instant::now() < deadline, "nobody {what}:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// How far a server has come with what is copied, in bytes.
fn offset(server: &RedisServer, field: &str) -> u64 {
    let info = server.info("replication");
    let offset = info.get(field).and_then(|offset| offset.parse().ok());
    offset.unwrap_or_else(|| panic!("no {field} in {info:?}"))
}

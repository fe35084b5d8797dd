//! A Redis Cluster of three masters on loopback. Needs Redis 7 or Valkey.

use std::time::Instant;

use crate::free_port;
use crate::redis_server::{PATIENCE, RedisServer};

/// The slots of each master.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10_922), (10_923, 16_383)];

/// A running cluster. Killed when it is dropped, and when this process ends.
#[derive(Debug)]
pub struct RedisCluster {
    masters: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts it and waits until every node can serve every slot; this takes a few
    /// seconds.
    pub fn start() -> Self {
        let (masters, buses): (Vec<_>, Vec<_>) = SLOTS.iter().map(|_| start_master()).unzip();
        for (number, (master, (first, last))) in masters.iter().zip(SLOTS).enumerate() {
            // Nodes that meet with the same epoch take seconds to agree on another.
            let epoch = (number + 1).to_string();
            master.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            let (first, last) = (first.to_string(), last.to_string());
            master.cli(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        for master in &masters {
            for (other, bus) in masters.iter().zip(&buses) {
                let port = other.port().to_string();
                master.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
            }
        }
        let cluster = Self { masters };
        cluster.wait_until_ok();
        cluster
    }

    /// How a client names it.
    pub fn url(&self) -> String {
        let addresses = self.masters.iter();
        let addresses = addresses.map(|master| format!("127.0.0.1:{}", master.port()));
        format!(
            "redis-cluster://{}",
            addresses.collect::<Vec<_>>().join(",")
        )
    }

    /// Its nodes.
    pub fn masters(&self) -> &[RedisServer] {
        &self.masters
    }

    /// Waits until every node sees a whole cluster, as after a restart of one.
    pub fn wait_until_ok(&self) {
        let deadline = Instant::now() + PATIENCE;
        let is_ok = |master: &RedisServer| {
            let info = master.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok")
                && info.contains("cluster_slots_ok:16384")
                && info.contains("cluster_known_nodes:3")
        };
        for master in &self.masters {
            while !is_ok(master) {
                assert!(
                    Instant::now() < deadline,
                    "the cluster does not come together: {}\n{}",
                    master.cli(&["CLUSTER", "INFO"]),
                    master.log()
                );
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

/// A node, and the port of its bus.
fn start_master() -> (RedisServer, String) {
    let bus = free_port().to_string();
    let options = RedisServer::options().args(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-node-timeout",
        "5000",
        "--cluster-require-full-coverage",
        "yes",
    ]);
    (options.start(), bus)
}

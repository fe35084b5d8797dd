//! The test kit, tested: what it starts works, fails on demand, and never stays.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test panics")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use skep_testkit::{Fsync, Proxy, RedisCluster, RedisSentinel, RedisServer};

fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_with_a_log_keeps_what_it_was_told() {
    let server = RedisServer::options().aof(Fsync::Always).start();
    server.cli(&["SET", "key", "value"]);
    let (port, pid) = (server.port(), server.pid());
    server.kill();
    assert!(!runs(pid));
    assert!(server.try_command::<String>(&["PING"]).is_err());
    server.restart();
    assert_eq!(
        (server.cli(&["GET", "key"]), server.port()),
        ("value".into(), port)
    );
    server.stop();
    server.restart();
    assert_eq!(server.cli(&["GET", "key"]), "value");
    let pid = server.pid();
    drop(server);
    assert!(!runs(pid));
}

#[test]
fn options_are_what_the_server_has() {
    let server = RedisServer::options()
        .password("s3cret")
        .maxmemory(3_000_000)
        .start();
    assert_eq!(
        server.cli(&["CONFIG", "GET", "maxmemory"]),
        "maxmemory\n3000000"
    );
    assert_eq!(server.info("persistence")["aof_enabled"], "0");
    let stranger = server.url().replace("s3cret", "guess");
    let client = redis::Client::open(stranger).unwrap();
    assert!(client.get_connection().is_err());
    assert!(server.url().starts_with("redis://:s3cret@127.0.0.1:"));
}

#[test]
fn a_server_speaks_tls_to_those_who_trust_it() {
    let server = RedisServer::options().password("s3cret").tls().start();
    let ping = |root_cert| {
        let trust = redis::TlsCertificates {
            client_tls: None,
            root_cert,
        };
        let client = redis::Client::build_with_tls(server.tls_url(), trust)?;
        redis::cmd("PING").query::<String>(&mut client.get_connection()?)
    };
    let certificate = server.certificate().as_bytes().to_vec();
    assert_eq!(ping(Some(certificate)).unwrap(), "PONG");
    assert!(ping(None).is_err());
}

#[test]
fn a_cluster_serves_every_slot() {
    let cluster = RedisCluster::start();
    let mut served = 0;
    for key in ["a", "b", "c", "d"] {
        let set = |master: &RedisServer| master.try_command::<String>(&["SET", key, "1"]).is_ok();
        served += cluster
            .masters()
            .iter()
            .filter(|master| set(master))
            .count();
    }
    assert_eq!(served, 4);
    assert_eq!(cluster.url().matches("127.0.0.1:").count(), 3);
}

#[test]
fn a_sentinel_promotes_the_replica_which_knows_what_its_master_knew() {
    let sentinel = RedisSentinel::start();
    sentinel.master().cli(&["SET", "key", "value"]);
    sentinel.catch_up();
    sentinel.fail_over();
    assert_eq!(sentinel.replica().cli(&["GET", "key"]), "value");
    eventually("the replica is a master", || {
        sentinel.replica().cli(&["ROLE"]).starts_with("master")
    });
}

/// Not a test: the process that is killed.
#[test]
fn child() {
    if std::env::var_os("SKEP_TESTKIT_CHILD").is_none() {
        return;
    }
    let server = RedisServer::start();
    println!("#{} {}", server.pid(), server.info("server")["executable"]);
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn no_server_outlives_a_process_that_is_killed() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("SKEP_TESTKIT_CHILD", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once('#')?.1.to_owned()))
        .expect("the child starts a server");
    let pid: u32 = line.split(' ').next().unwrap().parse().unwrap();
    let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert!(runs(pid));
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the server ends", || !runs(pid));
    eventually("its directory is removed", || !directory.exists());
}

fn ping(connection: &mut redis::Connection) -> bool {
    redis::cmd("PING").query::<String>(connection).is_ok()
}

fn connect(url: &str) -> redis::RedisResult<redis::Connection> {
    let client = redis::Client::open(url)?;
    let connection = client.get_connection_with_timeout(Duration::from_millis(500))?;
    connection.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(connection)
}

#[test]
fn a_proxy_fails_as_it_is_told() {
    let server = RedisServer::start();
    let proxy = Proxy::to_port(server.port());
    let url = proxy.url_for(&server.url());
    let mut connection = connect(&url).unwrap();
    assert!(ping(&mut connection));

    proxy.delay(Duration::from_millis(60));
    let before = Instant::now();
    assert!(ping(&mut connection));
    assert!(before.elapsed() >= Duration::from_millis(120));
    proxy.delay(Duration::ZERO);

    proxy.cut();
    assert!(!ping(&mut connection));
    proxy.refuse(true);
    assert!(connect(&url).is_err());
    proxy.refuse(false);
    let mut connection = connect(&url).unwrap();

    proxy.stall(true);
    assert!(!ping(&mut connection));
    proxy.stall(false);
    assert!(ping(&mut connect(&url).unwrap()));
}

#[test]
fn a_proxy_loses_the_answer_to_work_that_was_done() {
    let server = RedisServer::start();
    let proxy = Proxy::to_port(server.port());
    let url = proxy.url_for(&server.url());
    let (mut first, mut other) = (connect(&url).unwrap(), connect(&url).unwrap());
    let incr =
        |connection: &mut redis::Connection| redis::cmd("INCR").arg("n").query::<u64>(connection);

    proxy.lose_answer_to(b"INCR");
    assert!(ping(&mut first));
    assert!(incr(&mut first).is_err());
    assert_eq!((incr(&mut other).unwrap(), proxy.losses()), (2, 1));

    proxy.cut_after_bytes_from_server(4);
    assert_eq!(incr(&mut other).unwrap(), 3);
    assert!(incr(&mut other).is_err());
    assert_eq!(
        (server.cli(&["GET", "n"]).as_str(), proxy.losses()),
        ("4", 2)
    );
}

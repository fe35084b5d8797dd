//! The compiler as a target: components that take minutes, that kill it, and floods of
//! them. Whoever sends one gets an error; nobody else waits for longer than one of them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};

use crate::guest::{Guest, answer};
use crate::place::{Place, on_both_stores};
use crate::server::{PATIENCE, Server, guest_bytes, send};
use crate::zoo::{End, Zoo};

/// The CPU time that a component has here, in seconds; enough for all honest guests.
const CPU_S: &str = "6";

/// A component whose one function keeps a thousand values alive over thousands of
/// branches: half a megabyte that takes half a minute. `seed` makes it another one.
fn bomb(seed: u32, branches: u32) -> Vec<u8> {
    const VALUES: u32 = 1000;
    let mut state = seed;
    let mut any = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % VALUES
    };
    let mut body = String::new();
    for _ in 0..branches {
        let (x, y, z) = (any(), any(), any());
        body.push_str(&format!(
            "(if (local.get {x})
                (then (local.set {z} (i32.add (local.get {y}) (i32.const 7))))
                (else (local.set {x} (i32.mul (local.get {z}) (i32.const 3)))))"
        ));
    }
    let locals = "i32 ".repeat(VALUES as usize);
    Guest {
        module: format!(
            "(func $bomb (export \"bomb\") (result i32) (local {locals}) {body} (local.get 0))"
        ),
        ..Guest::default()
    }
    .bytes()
}

/// The running compilers of a server.
fn compilers(server: &Server) -> Vec<i32> {
    let parent = format!("PPid:\t{}", server.process.pid());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let child = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| status.lines().any(|line| line == parent))
    };
    pids.filter(child).collect()
}

/// The compiler of a server, once there is one.
async fn compiler(server: &Server) -> i32 {
    let begun = Instant::now();
    loop {
        if let Some(pid) = compilers(server).first() {
            return *pid;
        }
        assert!(begun.elapsed() < PATIENCE, "no compiler is started");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn minutes(mut place: Place) {
    let zoo = Zoo::with(&mut place, &["--compile-cpu-s", CPU_S]).await;
    let slow = bomb(1, 20_000);
    zoo.refuses(
        "one that takes minutes",
        slow.clone(),
        &["cannot be compiled within 6 s of CPU"],
    )
    .await;
    // It is not tried again.
    let begun = Instant::now();
    let again = zoo.upload(slow, "").await;
    again.expect(422).naming(&["6 s of CPU"]);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(compilers(&zoo.server).is_empty());
    zoo.close(place).await;
}

async fn a_dead_compiler(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let upload = zoo.upload(bomb(2, 20_000), "");
    let kill = async {
        let pid = compiler(&zoo.server).await;
        confined(pid).await;
        kill_process(Pid::from_raw(pid).unwrap(), Signal::ABORT).unwrap();
    };
    let (answer, ()) = tokio::join!(upload, kill);
    answer.expect(422).naming(&["cannot be compiled"]);
    zoo.runs(
        "after that",
        &Guest::that(answer_ok()),
        "",
        End::Completes("ok"),
    )
    .await;
    zoo.close(place).await;
}

fn answer_ok() -> String {
    answer("ok")
}

/// Waits until a compiler has its bounds, and looks at them: what it may take, and what
/// it holds of its parent.
async fn confined(pid: i32) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let begun = Instant::now();
    let limits = loop {
        let limits = read("limits");
        // The last that it sets.
        if limits
            .lines()
            .any(|line| line.starts_with("Max open files") && line.contains(" 16 "))
        {
            break limits;
        }
        assert!(begun.elapsed() < PATIENCE, "{limits}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    for (limit, most) in [
        ("Max cpu time", "180"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        let soft = line[limit.len()..].split_whitespace().next().unwrap();
        assert_eq!(soft, most, "{line}");
    }
    let memory = limits
        .lines()
        .find(|line| line.starts_with("Max address space"))
        .unwrap();
    assert!(!memory.contains("unlimited"), "{memory}");
    let stat = read("stat");
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    assert_eq!(fields[2], pid.to_string(), "its own process group: {stat}");
    assert_eq!(fields[16], "5", "its niceness: {stat}");
    assert_eq!(read("oom_score_adj").trim(), "1000");
    assert!(
        !read("environ").contains("PATH="),
        "the environment is empty"
    );
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links: Vec<PathBuf> = files
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .collect();
    // What its host has itself inherited, from a shell or a test runner, it may inherit
    // too; but nothing that the host has opened: no connection, no poller, no store.
    let of_the_host = |link: &PathBuf| {
        let link = link.to_str().unwrap();
        ["socket:", "anon_inode:", "/store/"]
            .iter()
            .any(|own| link.contains(own))
    };
    assert!(
        !links.iter().any(of_the_host) && links.len() >= 3,
        "{links:?}"
    );
}

async fn an_orphan(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let Zoo { server, .. } = &zoo;
    let request = server
        .request(Method::POST, "/consumer")
        .body(bomb(3, 20_000));
    let upload = tokio::spawn(async move { request.send().await.is_err() });
    let pid = compiler(server).await;
    confined(pid).await;
    place.kill(zoo.server).await;
    let begun = Instant::now();
    while std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
    {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the compiler outlives its host"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(upload.await.unwrap(), "nobody answered");
}

async fn a_flood(mut place: Place) {
    let zoo = Zoo::with(&mut place, &["--compile-cpu-s", "2"]).await;
    let flood = async {
        let uploads = (0..24).map(|n| zoo.upload(bomb(100 + n, 4_000), ""));
        let mut statuses: Vec<_> = futures_util::future::join_all(uploads)
            .await
            .iter()
            .map(|answer| {
                let status = answer.status.as_u16();
                assert_eq!(status == 503, answer.headers.contains_key("retry-after"));
                status
            })
            .collect();
        statuses.sort_unstable();
        statuses
    };
    // Somebody else's upload waits for one of them, not for all.
    let honest = async {
        compiler(&zoo.server).await;
        let begun = Instant::now();
        let request = zoo
            .server
            .request(Method::POST, "/consumer")
            .header("skep-namespace", "honest")
            .body(guest_bytes("multiply"));
        send(request).await.expect(200);
        begun.elapsed()
    };
    let both = async { tokio::join!(flood, honest) };
    let (statuses, waited) = zoo
        .canary
        .beside(&zoo.server, "a flood of uploads", both)
        .await;
    let refused = statuses.iter().filter(|status| **status == 503).count();
    assert!(refused >= 24 - 9, "{statuses:?}");
    let tried = statuses.len() - refused;
    assert!(tried >= 4, "{statuses:?}");
    println!("an honest upload waited {waited:?}; statuses {statuses:?}");
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    zoo.close(place).await;
}

on_both_stores! {
    minutes,
    a_dead_compiler,
    an_orphan,
    a_flood,
}

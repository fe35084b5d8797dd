//! `skep run --jobs`: a file of jobs without a server.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::server::{guest, skep};
use crate::stream::{Rest, Stream};

/// `skep run` of a guest's function on what is written to it.
fn start(component: &str, function: &str, more: &[&str]) -> Stream {
    let component = guest(component);
    let run = [
        "run",
        component.to_str().unwrap(),
        "--function",
        function,
        "--jobs",
        "-",
    ];
    Stream::start(&[&run[..], more].concat())
}

async fn run(component: &str, function: &str, more: &[&str], lines: impl AsRef<[u8]>) -> Rest {
    let mut stream = start(component, function, more);
    stream.write(lines).await;
    stream.end().await
}

fn told(rest: &Rest) -> Vec<Value> {
    let lines = rest.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn each_line_is_answered_in_its_place() {
    let lines = "\u{feff}{\"arg1\": 6, \"arg2\": 7}\r\nnope\n\n{\"arg1\": 1}\n{\"arg1\": 4611686018427387904, \"arg2\": 2}\n{\"arg1\": 2, \"arg2\": 3}";
    let rest = run("multiply", "multiply", &[], lines).await;
    rest.expect(1, &["of 5 lines with a job, 1 failed and 2 were refused"]);
    assert!(!rest.err.contains('\x1b'), "no terminal codes in a pipe");
    let told = told(&rest);
    let states: Vec<_> = told
        .iter()
        .map(|one| {
            (
                one["line"].as_u64().unwrap(),
                one["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            (1, "completed"),
            (2, "refused"),
            (4, "refused"),
            (5, "failed"),
            (6, "completed")
        ]
    );
    assert_eq!(
        told[0],
        json!({"line": 1, "state": "completed", "short_result": "42", "result": 42, "content_type": "application/json"})
    );
    assert!(told[1]["problem"].as_str().unwrap().starts_with("not JSON"));
    assert!(told[2]["problem"].as_str().unwrap().contains("arg2"));
    assert_eq!(told[3]["cause"]["kind"], "failed");
    // Nothing but results: nothing failed.
    let rest = run("multiply", "multiply", &[], "").await;
    rest.expect(0, &["ran 0 jobs"]);
}

#[tokio::test]
async fn thousands_come_in_order_however_many_run_at_once() {
    let count = 5_000;
    let lines: String = (0..count)
        .map(|n| format!("{{\"arg1\": {n}, \"arg2\": 2}}\n"))
        .collect();
    let rest = run("multiply", "multiply", &["--parallel", "3"], lines).await;
    rest.expect(0, &["ran 5000 jobs"]);
    for (at, one) in told(&rest).iter().enumerate() {
        assert_eq!(
            (&one["line"], &one["result"]),
            (&json!(at + 1), &json!(at * 2))
        );
    }
    assert_eq!(rest.out.lines().count(), count);
}

#[tokio::test]
async fn a_job_may_post_others_and_wait_for_them() {
    let steps = json!([
        {"post": {"function": "echo", "message": 7}},
        {"wait": "{0}"},
    ]);
    let lines = format!("{steps}\n").repeat(600);
    let rest = run("probe", "compose", &["--parallel", "1"], lines).await;
    let told = told(&rest);
    assert_eq!(told.len(), 600, "{}", rest.err);
    assert!(
        told.iter().all(|one| one["state"] == "completed"),
        "{}",
        told[0]
    );
}

#[tokio::test]
async fn bytes_are_told_in_base64() {
    let rest = run("probe", "big", &[], "{\"bytes\": 3}").await;
    let told = &told(&rest)[0];
    assert_eq!(
        (&told["result_base64"], &told["content_type"]),
        (&json!("eHh4"), &json!("application/octet-stream"))
    );
}

#[tokio::test]
async fn limits_are_narrowed_and_widened() {
    let rest = run("probe", "spin", &["--limit", "fuel=1e6"], "1").await;
    rest.expect(1, &[]);
    assert_eq!(told(&rest)[0]["cause"]["kind"], "fuel-exhausted");
    let wide = ["--limit", "memory=1GiB"];
    let rest = run("probe", "noop", &wide, "1").await;
    rest.expect(0, &[]);
    let rest = run("probe", "noop", &["--limit", "memory=2GiB"], "1").await;
    rest.expect(1, &["memory_bytes", "beyond"]);
    let rest = run("probe", "noop", &["--parallel", "0"], "1").await;
    rest.expect(2, &["--parallel"]);
}

/// The window holds a thousand lines, and a pipe and the reader's buffers some more: of
/// 64 MiB of lines not a quarter is read while the first of them is not done.
#[tokio::test]
async fn a_slow_job_lets_no_more_be_read_than_the_window_holds() {
    let slow = "{\"succeed_at\": 2, \"after_ms\": 3000}\n";
    let quick = format!(
        "{{\"succeed_at\": 1, \"x\": \"{}\"}}\n",
        "x".repeat(8 << 10)
    );
    let mut stream = start("probe", "retry", &[]);
    stream.write(slow).await;
    let written = Arc::new(AtomicUsize::new(0));
    let mut input = stream.input.take().unwrap();
    let writer = tokio::spawn({
        let written = written.clone();
        async move {
            for _ in 0..(8 << 10) {
                if input.write_all(quick.as_bytes()).await.is_err() {
                    return;
                }
                written.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let first: Value = serde_json::from_str(&stream.line().await).unwrap();
    let by_then = written.load(Ordering::Relaxed);
    assert_eq!((&first["line"], &first["result"]), (&json!(1), &json!(2)));
    assert!(by_then < 2 << 10, "{by_then} lines were read meanwhile");
    assert!(by_then > 100, "{by_then}: nothing went on");
    let rest = stream.rest().await;
    rest.expect(0, &[]);
    writer.await.unwrap();
    assert_eq!(rest.out.lines().count(), 8 << 10);
}

/// Interrupts a run whose second job is not to be done, once the others had so long;
/// answers whether the third was.
async fn interrupted_after(pause: Duration) -> bool {
    let mut stream = start("probe", "retry", &[]);
    stream.write("{\"succeed_at\": 1}\n").await;
    assert!(stream.line().await.starts_with("{\"line\":1,"));
    stream
        .write("{\"succeed_at\": 2, \"after_ms\": 3600000}\n{\"succeed_at\": 1}\n")
        .await;
    tokio::time::sleep(pause).await;
    stream.signal(Signal::INT);
    let rest = stream.rest().await;
    rest.expect(130, &["ran "]);
    let told = told(&rest);
    assert!(told.iter().all(|one| one["line"] == 3), "{}", rest.out);
    !told.is_empty() && rest.err.contains("from 2 on")
}

#[tokio::test]
async fn an_interrupt_prints_what_is_done() {
    for pause_ms in [10, 100, 1_000, 10_000] {
        if interrupted_after(Duration::from_millis(pause_ms)).await {
            return;
        }
    }
    panic!("what is done is not printed");
}

#[tokio::test]
async fn what_cannot_be_written_ends_it() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let component = guest("multiply");
    let mut child = skep()
        .args([
            "run",
            component.to_str().unwrap(),
            "--function",
            "multiply",
            "--jobs",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::from(full))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"{\"arg1\": 1, \"arg2\": 2}\n")
        .await
        .unwrap();
    let output = child.wait_with_output().await.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("cannot write to stdout"), "{err}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_runs() {
    let component = guest("multiply");
    let component = component.to_str().unwrap();
    for (more, word) in [
        (&["--jobs", "/nowhere"][..], "cannot read /nowhere"),
        (&["--jobs", "/"], "directory"),
        (&["--jobs", "-", "--msg", "1"], "--msg"),
        (&["--jobs", "-", "--out", "x"], "--out"),
        (&["--msg", "1", "--parallel", "2"], "--jobs"),
        (&["--jobs", "-", "--function", "subtract"], "does not offer"),
        (&["--jobs", "-"], "multiply, divide"),
    ] {
        let rest = Stream::start(&[&["run", component], more].concat())
            .end()
            .await;
        rest.expect(2, &[word]);
    }
}

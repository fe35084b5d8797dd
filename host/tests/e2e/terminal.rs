//! The command line where it is used: terminals wide and narrow, pipes that close,
//! disks that are full, servers that are away or of another version.

use std::fs::OpenOptions;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::server::{Server, run, send, skep};

/// What a command shows on a terminal of so many columns.
async fn on_a_terminal(server: &Server, columns: u16, arguments: &str) -> String {
    let binary = env!("CARGO_BIN_EXE_skep");
    let line = format!("stty cols {columns} rows 24; {binary} {arguments}");
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .env("SKEP_URL", &server.url)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .kill_on_drop(true);
    let (code, shown, err) = run(command).await;
    assert_eq!(code, Some(0), "{arguments}: {shown}{err}");
    shown.replace('\r', "")
}

fn widest(shown: &str) -> usize {
    let widths = shown.lines().map(|line| line.chars().count());
    widths.max().unwrap_or_default()
}

#[tokio::test]
async fn tables_fit_the_terminal_and_are_whole_in_a_pipe() {
    let server = Server::with("probe").await;
    let record = server.run("panic", json!(null)).await;
    let cause = record["cause"]["message"].as_str().unwrap();
    let text = cause.lines().next().unwrap();
    let mut piped = skep();
    piped.args(["--url", &server.url, "jobs"]);
    let (_, piped, _) = run(piped).await;
    assert!(piped.contains(text), "{piped}");
    let wide = on_a_terminal(&server, 200, "jobs").await;
    assert!(wide.contains(text), "{wide}");
    let cut = on_a_terminal(&server, 60, "jobs").await;
    assert!(widest(&cut) == 60 && cut.contains('…'), "{cut}");
    let narrow = on_a_terminal(&server, 20, "jobs").await;
    assert!(widest(&narrow) <= 20, "{narrow}");
    assert!(
        narrow.contains("STATE") && narrow.contains("failed"),
        "{narrow}"
    );
    for verb in ["dead list", "dead causes", "functions"] {
        let shown = on_a_terminal(&server, 20, verb).await;
        assert!(widest(&shown) <= 20, "{verb}: {shown}");
    }
    let dead = on_a_terminal(&server, 20, "dead list").await;
    assert!(dead.contains("CAUSE"), "{dead}");
}

#[tokio::test]
async fn a_bar_fits_a_narrow_terminal() {
    let server = Server::with("multiply").await;
    server.run("multiply", json!({"arg1": 6, "arg2": 7})).await;
    let wide = on_a_terminal(&server, 80, "wait 1").await;
    assert!(wide.contains('█') && wide.contains("100%"), "{wide}");
    let narrow = on_a_terminal(&server, 20, "wait 1").await;
    assert!(!narrow.contains('█') && narrow.contains("100%"), "{narrow}");
    // A line that wraps has the cursor move up to be drawn again.
    assert!(
        !narrow.contains("\x1b[1A") && !narrow.contains("\x1b[2A"),
        "{narrow:?}"
    );
}

#[tokio::test]
async fn colors_are_for_terminals_that_want_them() {
    let server = Server::with("probe").await;
    server.run("panic", json!(null)).await;
    const RED: &str = "\x1b[31m";
    let shown = |before: &'static str, after: &'static str| {
        let server = &server;
        async move {
            let binary = env!("CARGO_BIN_EXE_skep");
            let line = format!("{before} {binary} logs 1 {after}");
            let mut command = Command::new("script");
            command
                .args(["-qec", &line, "/dev/null"])
                .stdin(std::process::Stdio::null())
                .envs([("SKEP_URL", server.url.as_str()), ("TERM", "xterm")])
                .env_remove("NO_COLOR")
                .kill_on_drop(true);
            run(command).await.1
        }
    };
    let plain = shown("", "").await;
    assert!(plain.contains(RED), "{plain:?}");
    for (before, after) in [
        ("NO_COLOR=1", ""),
        ("CLICOLOR=0", ""),
        ("TERM=dumb", ""),
        ("", "--color never"),
        ("", "| cat"),
    ] {
        let shown = shown(before, after).await;
        assert!(
            !shown.contains('\x1b') && shown.contains("ERROR"),
            "{before} {after}: {shown:?}"
        );
    }
    assert!(shown("", "--color always | cat").await.contains(RED));
}

#[tokio::test]
async fn a_pipe_that_closes_ends_it_quietly_and_a_full_disk_does_not() {
    let server = Server::with("multiply").await;
    let line = json!({"msg": {"arg1": 1, "arg2": 2}, "functions": ["multiply"]});
    let request = server.request(reqwest::Method::POST, "/jobs/batch");
    let request = request.header("content-type", "application/x-ndjson");
    let all = format!("{line}\n").repeat(2000);
    send(request.body(all)).await.expect(200);
    // 2,000 lines are more than a pipe holds, so that the writer is still there when the
    // reader has gone.
    let mut command = Command::new("bash");
    let piped = r#""$0" jobs --all --json | head -1; echo "${PIPESTATUS[0]}""#;
    command
        .args(["-c", piped, env!("CARGO_BIN_EXE_skep")])
        .env("SKEP_URL", &server.url)
        .kill_on_drop(true);
    let (_, out, err) = run(command).await;
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with('{') && lines[1] == "141", "{out}");
    assert_eq!(err, "");
    for arguments in [
        &["jobs"][..],
        &["jobs", "--all", "--json"],
        &["functions"],
        &["queue", "status"],
        &["--help"],
        &["completions", "bash"],
        &["man"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = skep();
        command.args(arguments).env("SKEP_URL", &server.url);
        command.stdout(full).stderr(std::process::Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().await.unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(err.contains("No space left"), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_has_an_exit_code_of_its_own() {
    let nobody = "http://127.0.0.1:9";
    for arguments in [
        &["jobs"][..],
        &["wait", "1", "2"],
        &["retry", "1"],
        &["dead", "purge", "--yes"],
        &["undeploy", "multiply"],
        &["logs", "1", "--follow"],
    ] {
        let mut command = skep();
        command.args(["--url", nobody]).args(arguments);
        let (code, out, err) = run(command).await;
        assert_eq!((code, out.as_str()), (Some(3), ""), "{arguments:?}: {err}");
        assert!(
            err.contains("is `skep serve` running there?"),
            "{arguments:?}: {err}"
        );
        assert!(err.contains(nobody), "{arguments:?}: {err}");
    }
}

/// A server that answers every request alike, and its URL.
async fn one_that_answers(head: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_server_of_another_version_is_named_with_both_versions() {
    let unknown =
        r#"{"type":"urn:skep:problem:no-such-route","detail":"there is nothing at \"/jobs\""}"#;
    let ours = env!("CARGO_PKG_VERSION");
    for (head, body, words) in [
        (
            "404 Not Found\r\nskep-version: 0.0.7",
            unknown,
            ["skep 0.0.7", ours],
        ),
        (
            "200 OK\r\nskep-version: 9.0.0",
            "{\"odd\": 1}",
            ["skep 9.0.0", "odd"],
        ),
        (
            "404 Not Found",
            unknown,
            ["another skep than this one", "/jobs"],
        ),
        (
            "502 Bad Gateway",
            "<html>",
            ["502", "is that a skep server?"],
        ),
    ] {
        let url = one_that_answers(head, body).await;
        let mut command = skep();
        command.args(["--url", &url, "jobs"]);
        let (code, _, err) = run(command).await;
        assert_eq!(code, Some(1), "{err}");
        assert!(
            words.iter().all(|word| err.contains(word)),
            "{words:?}: {err}"
        );
    }
    // The real one tells its version, whatever it answers.
    let server = Server::start().await;
    for path in ["/healthz", "/nothing"] {
        let answer = server.get(path).await;
        assert_eq!(answer.headers["skep-version"], ours, "{path}");
    }
}

#[tokio::test]
async fn mistakes_in_names_are_answered_with_what_was_meant() {
    for (arguments, meant) in [
        (&["jbos"][..], "'jobs'"),
        (&["jobs", "--stat", "failed"], "'--state'"),
        (&["dead", "purg"], "'purge'"),
        (&["completions", "bsh"], "'bash'"),
    ] {
        let (code, out, err) = run(skep().args(arguments)).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(meant), "{arguments:?}: {err}");
    }
}

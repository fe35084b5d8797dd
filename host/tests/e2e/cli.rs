//! The command line, as a person or a script uses it.

use std::process::Output;

use crate::server::{PATIENCE, Server, guest, skep};

async fn run(arguments: &[&str]) -> Output {
    let output = skep().args(arguments).output();
    tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap()
}

/// Runs a client command against a server and answers its stdout.
async fn client(server: &Server, arguments: &[&str]) -> Output {
    let mut all = vec!["--url", server.url.as_str()];
    all.extend(arguments);
    run(&all).await
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_component_runs_without_a_server() {
    let multiply = guest("multiply");
    let file = multiply.to_str().unwrap();
    let output = run(&[
        "run",
        file,
        "--function",
        "multiply",
        "--msg",
        r#"{"arg1": 6, "arg2": 7}"#,
    ])
    .await;
    assert_eq!(
        (out(&output).as_str(), output.status.code()),
        ("42", Some(0)),
        "{}",
        err(&output)
    );
    let output = run(&[
        "run",
        file,
        "--function",
        "divide",
        "--msg",
        r#"{"arg1": 1, "arg2": 0}"#,
    ])
    .await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("zero"), "{}", err(&output));
    let output = run(&["run", file, "--msg", "{}"]).await;
    assert!(!output.status.success());
    assert!(
        err(&output).contains("multiply") && err(&output).contains("divide"),
        "{}",
        err(&output)
    );
    let output = run(&["run", file, "--function", "subtract", "--msg", "{}"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("does not offer `subtract`"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn a_local_run_may_post_to_the_other_functions_of_its_component() {
    let probe = guest("probe");
    let post = r#"{"function": "noop", "n": 1}"#;
    let output = run(&[
        "run",
        probe.to_str().unwrap(),
        "--function",
        "spawn",
        "--msg",
        post,
    ])
    .await;
    assert_eq!(out(&output), r#"["2"]"#, "{}", err(&output));
}

#[tokio::test]
async fn deploy_post_wait_result() {
    let server = Server::start().await;
    let output = client(&server, &["deploy", guest("multiply").to_str().unwrap()]).await;
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("multiply") && out(&output).contains("divide"));
    let output = client(&server, &["functions"]).await;
    assert!(out(&output).contains("Multiplies"), "{}", out(&output));
    let output = client(
        &server,
        &[
            "post",
            r#"{"arg1": 6, "arg2": 7}"#,
            "--function",
            "multiply",
        ],
    )
    .await;
    assert_eq!(out(&output), "1", "{}", err(&output));
    let output = client(&server, &["wait", "1"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        !err(&output).contains('\x1b'),
        "no terminal codes in a pipe"
    );
    let output = client(&server, &["result", "1"]).await;
    assert_eq!(out(&output), "42");
    client(
        &server,
        &["post", r#"{"arg1": 1, "arg2": 0}"#, "--function", "divide"],
    )
    .await;
    let output = client(&server, &["wait", "2"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("zero"), "{}", err(&output));
}

#[tokio::test]
async fn mistakes_are_told_with_their_fix() {
    let output = run(&["--url", "http://127.0.0.1:9", "functions"]).await;
    assert!(!output.status.success());
    assert!(err(&output).contains("skep serve"), "{}", err(&output));
    let output = run(&["run", "/nonexistent.wasm", "--msg", "1"]).await;
    assert!(
        err(&output).contains("/nonexistent.wasm"),
        "{}",
        err(&output)
    );
    let output = run(&["serve", "--store", "redis:here"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("redis://HOST:PORT/DB"),
        "{}",
        err(&output)
    );
    let output = run(&["psot"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("post"), "{}", err(&output));
}

//! Stops and starts: what was accepted is still there, artefacts are reused, and a
//! directory has one owner.

use std::time::Duration;

use serde_json::json;

use crate::server::{PATIENCE, Server, skep};

fn artefacts(server: &Server) -> Vec<(String, std::time::SystemTime)> {
    let compiled = server.directory().join("store/compiled");
    let engines = std::fs::read_dir(compiled).unwrap();
    let mut found: Vec<_> = engines
        .flat_map(|engine| std::fs::read_dir(engine.unwrap().path()).unwrap())
        .map(|file| file.unwrap())
        .map(|file| {
            (
                file.file_name().into_string().unwrap(),
                file.metadata().unwrap().modified().unwrap(),
            )
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_restart_serves_its_first_job_without_compiling() {
    let server = Server::with("multiply").await;
    let before = artefacts(&server);
    assert_eq!(before.len(), 1, "{before:?}");
    let (code, directory) = server.terminate().await;
    assert_eq!(code, Some(0));
    let server = Server::start_in(directory).await;
    assert_eq!(
        server
            .result("multiply", json!({"arg1": 6, "arg2": 7}))
            .await
            .text(),
        "42"
    );
    assert_eq!(artefacts(&server), before);
}

#[tokio::test]
async fn a_lost_artefact_is_compiled_again_from_the_store() {
    let server = Server::with("multiply").await;
    let directory = server.kill().await;
    std::fs::remove_dir_all(directory.path().join("store/compiled")).unwrap();
    let server = Server::start_in(directory).await;
    assert_eq!(
        server
            .result("multiply", json!({"arg1": 6, "arg2": 7}))
            .await
            .text(),
        "42"
    );
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused() {
    let server = Server::start().await;
    let output = skep()
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store",
            &server.store(),
        ])
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("in use by another skep process"), "{said}");
    server.still_serves().await;
}

#[tokio::test]
async fn a_graceful_stop_gives_running_jobs_back_without_losing_an_attempt() {
    let server = Server::start().await;
    server.put("spin", "probe", "").await.expect(200);
    let id = server.post("spin", json!(null)).await;
    server
        .until(&id, |record| record["state"] == "running")
        .await;
    let stopped = tokio::time::timeout(Duration::from_secs(45), server.terminate());
    let (code, directory) = stopped.await.unwrap();
    assert_eq!(code, Some(0));
    let server = Server::start_in(directory).await;
    let record = server
        .until(&id, |record| record["state"] == "running")
        .await;
    assert_eq!(record["attempt"], 1, "{record}");
}

#[tokio::test]
async fn what_was_answered_is_there_after_kill_9() {
    let server = Server::with("multiply").await;
    let id = server.post("multiply", json!({"arg1": 6, "arg2": 7})).await;
    let directory = server.kill().await;
    let server = Server::start_in(directory).await;
    assert_eq!(server.ended(&id).await["state"], "completed");
    assert_eq!(server.get(&format!("/jobs/{id}/result")).await.text(), "42");
    assert_eq!(
        server.post("multiply", json!({"arg1": 1, "arg2": 1})).await,
        "2"
    );
}

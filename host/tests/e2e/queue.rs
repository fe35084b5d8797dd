//! A queue as a whole, over HTTP and by the command line.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server, guest, run, send, skep};

async fn post(server: &Server, path: &str) -> Answer {
    send(server.request(Method::POST, path)).await.expect(200)
}

/// Runs `skep queue …` and answers its exit code, stdout and stderr.
async fn queue(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(skep().args(["--url", &server.url, "queue"]).args(arguments)).await
}

#[tokio::test]
async fn a_queue_is_paused_looked_at_and_purged_over_http() {
    let server = Server::with("multiply").await;
    assert_eq!(post(&server, "/queue/pause").await.text(), "paused");
    for n in 0..3 {
        server.post("multiply", json!({"arg1": n, "arg2": 2})).await;
    }
    let mut status = server.json("/queue").await;
    let oldest = status["oldest_queued_at_ms"].take();
    let posted = &server.json("/jobs/1").await["posted_at_ms"];
    assert_eq!(&oldest, posted, "the first one waits longest");
    assert_eq!(
        status,
        json!({
            "queued": 3, "scheduled": 0, "running": 0, "parked": 0, "moving": 0, "posted": 3,
            "completed": 0, "failed": 0, "cancelled": 0, "paused": true, "concurrency": null,
            "oldest_queued_at_ms": null,
        })
    );
    let text = server.get("/queue").await.expect(200);
    text.naming(&[
        "Posted: 3\n",
        "Queued: 3\n",
        "Completed: 0 (0%)\n",
        "Oldest waits: ",
        "Paused: yes\n",
    ]);
    assert_eq!(server.get("/jobs/count").await.text(), "3");
    let gone = server.request(Method::DELETE, "/jobs/2");
    send(gone).await.expect(200);
    assert_eq!(post(&server, "/queue/resume").await.text(), "resumed");
    assert_eq!(server.ended("3").await["state"], "completed");
    server.ended("1").await;
    let status = server.json("/queue").await;
    assert_eq!(
        (&status["completed"], &status["cancelled"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(post(&server, "/queue/rezero").await.text(), "rezeroed");
    assert_eq!(server.json("/queue").await["completed"], 0);
    post(&server, "/queue/pause").await;
    server.post("multiply", json!({"arg1": 1, "arg2": 2})).await;
    assert_eq!(post(&server, "/queue/purge").await.text(), "1");
    server.get("/jobs/4").await.expect(404);
    server.get("/jobs/3").await.expect(200);
}

#[tokio::test]
async fn a_released_job_runs_again_and_has_one_outcome() {
    let server = Server::start().await;
    server
        .put("spin", "probe", "?timeout_ms=1500")
        .await
        .expect(200);
    let body = r#"{"msg": null, "functions": ["spin"], "max_attempts": 1}"#;
    server.post_text(body).await.expect(200);
    server
        .until("1", |record| record["state"] == "running")
        .await;
    let released: Value = {
        let request = server.request(Method::POST, "/queue/release");
        let request = request.header("accept", "application/json");
        send(request).await.expect(200).json()
    };
    assert_eq!(released, json!({"released": 1}));
    let record = server.ended("1").await;
    let kind = |attempt: usize| record["attempts"][attempt]["cause"]["kind"].clone();
    assert_eq!((kind(0), kind(1)), (json!("released"), json!("timed-out")));
    assert_eq!(record["attempts"].as_array().unwrap().len(), 2, "{record}");
}

#[tokio::test]
async fn a_queue_is_administered_from_the_command_line() {
    let server = Server::start().await;
    let file = guest("multiply");
    server
        .upload(std::fs::read(file).unwrap())
        .await
        .expect(200);
    let (code, out, _) = queue(&server, &["pause"]).await;
    assert!(code == Some(0) && out.starts_with("paused"), "{out}");
    server.post("multiply", json!({"arg1": 1, "arg2": 2})).await;
    let (_, out, _) = queue(&server, &["status"]).await;
    assert!(
        out.contains("Queued: 1") && out.ends_with("Paused: yes"),
        "{out}"
    );
    let (_, out, _) = queue(&server, &["status", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["queued"], 1);
    // Nobody is there to be asked.
    let (code, _, err) = queue(&server, &["purge"]).await;
    assert!(code == Some(2) && err.contains("--yes"), "{code:?} {err}");
    assert!(err.contains("1 waiting job"), "{err}");
    let (code, out, _) = queue(&server, &["purge", "--yes"]).await;
    assert_eq!((code, &*out), (Some(0), "deleted 1 job"));
    let (_, out, _) = queue(&server, &["release", "--json"]).await;
    assert_eq!(out, r#"{"released":0}"#);
    let (_, out, _) = queue(&server, &["resume"]).await;
    assert_eq!(out, "resumed");
    let (code, _, _) = queue(&server, &["rezero"]).await;
    assert_eq!(code, Some(0));
}

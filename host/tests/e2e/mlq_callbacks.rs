//! Callbacks as MLQ's receivers know them: one GET, with the outcome in its query.

use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::server::Server;

/// The path and query that a job's end is told with.
async fn told(server: &Server, job: Value, path: &str) -> (String, String) {
    let receiver = Receiver::start().await;
    let mut body = job;
    body["callback"] = receiver.url(path).into();
    let id = server.post_text(body.to_string()).await.expect(200).text();
    // Until nothing more will be tried, or a second call would not be seen.
    let over = |record: &Value| {
        let callback = &record["callback"];
        let tried = callback["deliveries"].as_array().map_or(0, Vec::len);
        tried > 0 && callback["due_at_ms"].is_null()
    };
    server.until(&id, over).await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 1);
    (id, calls[0].target.clone())
}

#[tokio::test]
async fn the_query_is_mlqs_to_the_byte() {
    let server = Server::with("multiply").await;
    let job = json!({"msg": {"arg1": 6, "arg2": 7}, "functions": ["multiply"]});
    let (id, target) = told(&server, job.clone(), "/callback").await;
    let expected = format!("/callback?success=1&job_id={id}&short_result=42");
    assert_eq!(target, expected);

    // Joined by `&`: MLQ wrote a second `?`, and the receiver's own query was lost.
    let (id, target) = told(&server, job, "/callback?order=7").await;
    let expected = format!("/callback?order=7&success=1&job_id={id}&short_result=42");
    assert_eq!(target, expected);
}

#[tokio::test]
async fn a_failed_job_is_told_with_an_empty_short_result() {
    let server = Server::with("probe").await;
    for function in ["failed", "invalid", "trap", "panic"] {
        let job = json!({"msg": null, "functions": [function]});
        let (id, target) = told(&server, job, "/callback").await;
        // MLQ wrote the word None.
        let expected = format!("/callback?success=0&job_id={id}&short_result=");
        assert_eq!(target, expected, "{function}");
    }
    // One call for a job, not one for each function that failed.
    let job = json!({"msg": null, "functions": ["failed", "invalid"]});
    told(&server, job, "/callback").await;
}

#[tokio::test]
async fn a_short_result_is_one_value_of_the_query_whatever_is_in_it() {
    let server = Server::with("probe").await;
    let text = "a b&success=0#c=d/é?";
    let job = json!({"msg": text, "functions": ["echo"]});
    let (_, target) = told(&server, job, "/callback").await;
    let query = target.split_once('?').unwrap().1;
    let read: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    assert_eq!(read.len(), 3, "{query}");
    assert_eq!(read[0], ("success".to_owned(), "1".to_owned()));
    assert_eq!(read[2], ("short_result".to_owned(), text.to_owned()));
}

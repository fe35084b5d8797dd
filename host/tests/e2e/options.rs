//! The options of a job, through every door: an envelope, a query, the command line,
//! and a job that posts.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::{Called, Receiver};
use crate::server::{PATIENCE, Server, send, skep};

/// Who posts.
#[derive(Clone, Copy, Debug)]
enum Door {
    Envelope,
    Query,
    CommandLine,
    Guest,
}

const DOORS: [Door; 4] = [Door::Envelope, Door::Query, Door::CommandLine, Door::Guest];

impl Door {
    /// Posts to a function with these options, as the envelope names them, and answers
    /// the id.
    async fn post(self, server: &Server, function: &str, options: &Value) -> String {
        let options = options.as_object().unwrap();
        match self {
            Self::Envelope => {
                let mut body = json!({"msg": null, "functions": [function]});
                body.as_object_mut().unwrap().extend(options.clone());
                server.post_text(body.to_string()).await.expect(200).text()
            }
            Self::Query => {
                let request = server.request(Method::POST, "/jobs");
                let request = request.query(&[("functions", function)]).query(options);
                let request = request.header("content-type", "text/plain").body("null");
                send(request).await.expect(200).text()
            }
            Self::CommandLine => {
                let mut arguments = vec!["post".to_owned(), "null".to_owned()];
                arguments.extend(["--function".to_owned(), function.to_owned()]);
                for (name, value) in options {
                    let value = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    let (flag, value) = match name.rsplit_once('_') {
                        Some((flag, "ms")) => (flag, format!("{value}ms")),
                        Some((flag, "s")) => (flag, format!("{value}s")),
                        _ => (name.as_str(), value),
                    };
                    arguments.extend([format!("--{}", flag.replace('_', "-")), value]);
                }
                let mut command = skep();
                command.args(["--url", &server.url]).args(&arguments);
                let output = command.output().await.unwrap();
                let said = String::from_utf8(output.stderr).unwrap();
                assert!(output.status.success(), "{arguments:?}: {said}");
                String::from_utf8(output.stdout).unwrap().trim().to_owned()
            }
            Self::Guest => {
                let mut child = json!({"function": function});
                child.as_object_mut().unwrap().extend(options.clone());
                let values = server.result("compose", json!([{"post": child}])).await;
                values.json()[0].as_str().unwrap().to_owned()
            }
        }
    }
}

#[tokio::test]
async fn every_option_goes_through_every_door() {
    let server = Server::with("probe").await;
    let receiver = Receiver::start().await;
    for (nth, door) in DOORS.into_iter().enumerate() {
        let url = receiver.url(&format!("/{door:?}"));
        let options = json!({
            "delay_ms": 400,
            "priority": 1,
            "idempotency_key": format!("{door:?} & more"),
            "max_attempts": 7,
            "timeout_ms": 60_000,
            "retention_s": 3_600,
            "callback": url,
        });
        let begun = Instant::now();
        let id = door.post(&server, "noop", &options).await;
        let again = door.post(&server, "noop", &options).await;
        assert_eq!(again, id, "{door:?}: the key answers the same id");
        let record = server.ended(&id).await;
        assert!(begun.elapsed().as_millis() >= 400, "{door:?}");
        assert_eq!(record["state"], "completed");
        for option in ["priority", "max_attempts", "idempotency_key"] {
            assert_eq!(record[option], options[option], "{door:?}");
        }
        let ms = |name: &str| record[name].as_u64().unwrap();
        assert!(ms("started_at_ms") >= ms("posted_at_ms") + 400, "{door:?}");
        let kept = ms("expires_at_ms") - ms("ended_at_ms");
        assert!((3_600_000..3_610_000).contains(&kept), "{door:?}: {kept}");
        let called = |calls: &[Called]| calls.len() > nth;
        let calls = receiver.until(PATIENCE, called).await;
        let expected = format!("/{door:?}?success=1&job_id={id}&short_result=");
        assert_eq!(calls[nth].target, expected);

        let short = json!({"timeout_ms": 150, "max_attempts": 1});
        let id = door.post(&server, "spin", &short).await;
        let record = server.ended(&id).await;
        assert_eq!(
            (&record["state"], &record["attempt"]),
            (&json!("failed"), &json!(1))
        );
        let cause = record["cause"]["message"].as_str().unwrap();
        assert!(cause.contains("150 ms"), "{door:?}: {cause}");
    }
    assert_eq!(receiver.calls().len(), DOORS.len());
}

#[tokio::test]
async fn a_guest_cannot_name_what_a_poster_may_not() {
    let server = Server::with("probe").await;
    for (options, word) in [
        (json!({"callback": "http://169.254.169.254/"}), "link-local"),
        (json!({"callback": "file:///etc/passwd"}), "https://"),
        (json!({"priority": 4}), "priority"),
        (json!({"max_attempts": 0}), "max_attempts"),
        (json!({"idempotency_key": ""}), "idempotency_key"),
    ] {
        let mut child = json!({"function": "noop"});
        let options = options.as_object().unwrap().clone();
        child.as_object_mut().unwrap().extend(options);
        let steps = json!([{"try": [{"post": child}]}]);
        let error = server.result("compose", steps).await;
        error.naming(&["error", word]);
    }
    assert_eq!(server.json("/queue").await["posted"], 5);
}

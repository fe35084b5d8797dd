//! A server with the canary and a stranger: uploads the stranger's components, runs
//! their jobs, and looks at what became of them.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::canary::Canary;
use crate::guest::Guest;
use crate::place::Place;
use crate::server::{Answer, PATIENCE, Server, guest_bytes, send};

/// The namespace of the hostile guests.
const STRANGER: &str = "stranger";

/// How many of a guest's jobs run at once: fewer than the host's slots, so that what
/// the canary waits for is the guest's doing and no matter of sharing slots.
const AT_ONCE: usize = 2;

/// The slots of the host.
const WORKERS: &str = "4";

/// A server, its canary, and the stranger.
pub(crate) struct Zoo {
    pub(crate) server: Server,
    pub(crate) canary: Canary,
}

/// What a guest's jobs end with.
pub(crate) enum End {
    /// They fail: the kind of the cause, and words of its text.
    Fails(&'static str, &'static [&'static str]),
    /// They complete, with this result.
    Completes(&'static str),
}

impl Zoo {
    pub(crate) async fn open(place: &mut Place) -> Self {
        Self::with(place, &[]).await
    }

    pub(crate) async fn with(place: &mut Place, more: &[&str]) -> Self {
        let more = [&["--workers", WORKERS], more].concat();
        let server = place.server(&more).await;
        let canary = Canary::on(&server).await;
        Self { server, canary }
    }

    /// A request of the stranger's.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server
            .request(method, path)
            .header("skep-namespace", STRANGER)
    }

    /// Uploads bytes for the function `stranger`.
    pub(crate) async fn upload(&self, component: Vec<u8>, limits: &str) -> Answer {
        self.upload_as("stranger", component, limits).await
    }

    pub(crate) async fn upload_as(&self, name: &str, bytes: Vec<u8>, limits: &str) -> Answer {
        let request = self.request(Method::PUT, &format!("/functions/{name}{limits}"));
        send(
            request
                .header("content-type", "application/wasm")
                .body(bytes),
        )
        .await
    }

    /// Deploys a guest; its jobs run beside the canary, and each ends so. Answers the
    /// record of one.
    pub(crate) async fn runs(&self, what: &str, guest: &Guest, limits: &str, end: End) -> Value {
        let uploaded = self.upload(guest.bytes(), limits).await;
        assert_eq!(uploaded.status, 200, "{what}: {}", uploaded.text());
        self.runs_deployed(what, "stranger", json!(null), end).await
    }

    /// As [`runs`](Self::runs), with a function of the guest `probe`.
    pub(crate) async fn probes(
        &self,
        what: &str,
        function: &str,
        message: Value,
        limits: &str,
        end: End,
    ) -> Value {
        let uploaded = self.upload_as(function, guest_bytes("probe"), limits).await;
        assert_eq!(uploaded.status, 200, "{what}: {}", uploaded.text());
        self.runs_deployed(what, function, message, end).await
    }

    /// As [`runs`](Self::runs), with a function that is deployed.
    pub(crate) async fn runs_deployed(
        &self,
        what: &str,
        function: &str,
        message: Value,
        end: End,
    ) -> Value {
        let run = async {
            let mut ids = Vec::new();
            for _ in 0..AT_ONCE {
                ids.push(self.post(function, &message).await);
            }
            let mut record = Value::Null;
            for id in ids {
                record = self.ended(&id).await;
                self.ends(what, &record, &end).await;
            }
            record
        };
        let record = self.canary.beside(&self.server, what, run).await;
        self.server.still_serves().await;
        record
    }

    /// Posts one job that gets a single attempt.
    pub(crate) async fn post(&self, function: &str, message: &Value) -> String {
        let body = json!({"msg": message, "functions": [function], "max_attempts": 1});
        let request = self
            .request(Method::POST, "/jobs")
            .header("content-type", "application/json")
            .body(body.to_string());
        send(request).await.expect(200).text()
    }

    async fn ends(&self, what: &str, record: &Value, end: &End) {
        match end {
            End::Fails(kind, words) => {
                assert_eq!(record["cause"]["kind"], *kind, "{what}: {record}");
                let text = record["cause"]["message"].as_str().unwrap();
                for word in *words {
                    assert!(text.contains(word), "{what}: {word:?} is not in {text}");
                }
            }
            End::Completes(result) => {
                assert_eq!(record["state"], "completed", "{what}: {record}");
                let id = record["id"].as_str().unwrap();
                let request = self.request(Method::GET, &format!("/jobs/{id}/result"));
                assert_eq!(send(request).await.expect(200).text(), *result, "{what}");
            }
        }
    }

    /// The record of a job, once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let path = format!("/jobs/{id}?wait_ms=20000");
            let request = self
                .request(Method::GET, &path)
                .header("accept", "application/json");
            let record = send(request).await.expect(200).json();
            let state = record["state"].as_str().unwrap();
            if ["completed", "failed", "cancelled"].contains(&state) {
                return record;
            }
            assert!(begun.elapsed() < PATIENCE, "the job does not end: {record}");
        }
    }

    /// Uploads what must be refused, beside the canary.
    pub(crate) async fn refuses(&self, what: &str, component: Vec<u8>, words: &[&str]) {
        let upload = self.upload(component, "");
        let answer = self.canary.beside(&self.server, what, upload).await;
        assert_eq!(answer.status, 422, "{what}: {}", answer.text());
        let text = answer.text();
        assert!(
            text.len() < 10_000,
            "{what}: an answer of {} bytes",
            text.len()
        );
        answer.naming(words);
        self.server.still_serves().await;
    }

    /// Ends: the server must be as alive as ever, and have said nothing that a terminal
    /// would obey.
    pub(crate) async fn close(self, mut place: Place) {
        let said = self.server.process.said();
        let harms = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        assert!(!said.contains(harms), "{said:?}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(place.terminate(self.server).await, Some(0), "{said}");
    }
}

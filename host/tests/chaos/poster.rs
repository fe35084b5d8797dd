//! A client that does not give up: every post has an idempotency key and is repeated,
//! at whichever host, until it is answered. Beside it, a person who lets what trapped run
//! again, now and then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use crate::cases::Case;

/// How many post at once.
const CLIENTS: u64 = 16;

/// How long a frozen host is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the last posts may take once nothing breaks any more.
const LAST_PATIENCE: Duration = Duration::from_secs(60);

/// With more jobs waiting than this, posters pause, so that the end is not far.
const ENOUGH: u64 = 150;

/// Every so many cases a job is posted again, as if its answer had been lost.
const TWICE: u64 = 7;

/// How long a person looks at the dead letter, in ms, at most.
const REQUEUED_AFTER_MS: u64 = 1_500;

/// What was posted, by the job's id.
pub(crate) type Posted = BTreeMap<u64, Case>;

pub(crate) struct Poster {
    shared: Arc<Shared>,
    clients: JoinSet<Vec<(u64, Case)>>,
    person: JoinHandle<()>,
}

struct Shared {
    client: Client,
    urls: Vec<String>,
    next: AtomicU64,
    most: u64,
    stop: AtomicBool,
    /// The last answer that was none.
    refusal: Mutex<String>,
}

impl Poster {
    /// Posts up to `most` jobs until it is told to stop.
    pub(crate) fn start(urls: Vec<String>, seed: u64, most: u64) -> Self {
        let shared = Arc::new(Shared {
            client: Client::builder().timeout(PATIENCE).build().unwrap(),
            urls,
            next: AtomicU64::new(0),
            most,
            stop: AtomicBool::new(false),
            refusal: Mutex::default(),
        });
        let clients = (0..CLIENTS)
            .map(|n| shared.clone().post_all(fastrand::Rng::with_seed(seed ^ n)))
            .collect();
        let dice = fastrand::Rng::with_seed(seed ^ CLIENTS);
        let person = tokio::spawn(shared.clone().requeue(dice));
        Self {
            shared,
            clients,
            person,
        }
    }

    /// Ends it, once everything that was begun is answered.
    pub(crate) async fn stop(self) -> Posted {
        self.shared.stop.store(true, Ordering::SeqCst);
        let posted = tokio::time::timeout(LAST_PATIENCE, self.clients.join_all()).await;
        let posted = posted.unwrap_or_else(|_| {
            let refusal = self.shared.refusal.lock().unwrap();
            panic!("a poster gets no answer but: {refusal}");
        });
        let person = tokio::time::timeout(LAST_PATIENCE, self.person).await;
        person
            .expect("nothing trapped that could run again")
            .unwrap();
        let posted = posted.concat();
        let count = posted.len();
        let posted: Posted = posted.into_iter().collect();
        assert_eq!(posted.len(), count, "an id was given twice");
        posted
    }
}

impl Shared {
    async fn post_all(self: Arc<Self>, mut dice: fastrand::Rng) -> Vec<(u64, Case)> {
        let mut posted = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(dice.u64(..60))).await;
            if dice.u8(..10) == 0 {
                self.pause_if_enough(&mut dice).await;
            }
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= self.most {
                break;
            }
            let case = Case::nth(number);
            let id = self.post(&case, &mut dice).await;
            if number.is_multiple_of(TWICE) {
                assert_eq!(self.post(&case, &mut dice).await, id, "{}", case.key());
            }
            if case.is_to_be_cancelled() {
                // Sometimes before it runs, sometimes after.
                tokio::time::sleep(Duration::from_millis(dice.u64(..300))).await;
                self.ask(Method::DELETE, &format!("/jobs/{id}"), None, &mut dice)
                    .await;
            }
            posted.push((id, case));
        }
        posted
    }

    /// Lets jobs run again that trapped, and will trap again.
    async fn requeue(self: Arc<Self>, mut dice: fastrand::Rng) {
        let mut requeued = 0;
        while requeued == 0 || !self.stop.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(dice.u64(..REQUEUED_AFTER_MS))).await;
            let trapped = Some(json!({"cause": "trap"}).to_string());
            let answer = self.ask(Method::POST, "/dead/requeue", trapped, &mut dice);
            requeued += answer.await.parse::<u64>().expect("a number");
            let path = "/dead?cause=trap&limit=1000";
            let dead = self.ask(Method::GET, path, None, &mut dice).await;
            let dead: Value = serde_json::from_str(&dead).expect("a list");
            for job in dead["jobs"].as_array().unwrap() {
                assert_eq!(job["state"], "failed", "{job}");
            }
        }
    }

    async fn post(&self, case: &Case, dice: &mut fastrand::Rng) -> u64 {
        let answer = self.ask(Method::POST, "/jobs", Some(case.body()), dice);
        answer.await.parse().expect("an id")
    }

    async fn pause_if_enough(&self, dice: &mut fastrand::Rng) {
        while !self.stop.load(Ordering::SeqCst) {
            let count = self.ask(Method::GET, "/jobs/count", None, dice).await;
            if count.parse::<u64>().expect("a number") < ENOUGH {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks any host until one answers.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        dice: &mut fastrand::Rng,
    ) -> String {
        loop {
            let url = &self.urls[dice.usize(..self.urls.len())];
            let mut request = self.client.request(method.clone(), format!("{url}{path}"));
            if let Some(body) = &body {
                let json = ("content-type", "application/json");
                request = request.header(json.0, json.1).body(body.clone());
            }
            if let Ok(answer) = request.send().await {
                let status = answer.status();
                // A conflict answers a cancel that was asked for before, and lost.
                let settled = status.is_success() || status == StatusCode::CONFLICT;
                match answer.text().await {
                    Ok(text) if settled => return text,
                    Ok(text) => {
                        assert!(status.is_server_error(), "{path}: {status}: {text}");
                        *self.refusal.lock().unwrap() = format!("{path}: {status}: {text}");
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

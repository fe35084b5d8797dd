//! A Redis that is parted from its hosts for a moment: whoever waits misses nothing, and
//! what was done, though its answer was lost, is not done twice.

use std::sync::Arc;
use std::time::Duration;

use skep::job::{ChildKey, Delivery, JobId, LogLevel, LogLine, NewJob, Output, Payload, Usage};
use skep::store::redis::RedisStore;
use skep::store::{
    Claim, Completion, Lease, News, Parked, Report, Step, Store, StoreError, Verdict,
};
use skep_testkit::{Proxy, RedisServer};

use crate::client::ns;

/// A store, the same behind a proxy, and two jobs that the latter runs.
struct Parted {
    server: RedisServer,
    proxy: Proxy,
    near: RedisStore,
    far: RedisStore,
    lease: Lease,
    claims: Vec<Claim>,
}

async fn open(url: &str) -> RedisStore {
    let options = RedisStore::options();
    options.open(&url.parse().unwrap()).await.unwrap()
}

fn job() -> NewJob {
    NewJob {
        callback: Some("http://localhost/".into()),
        ..NewJob::new(Payload::json("0"), vec!["f".parse().unwrap()])
    }
}

async fn parted() -> Parted {
    let server = RedisServer::start();
    let proxy = Proxy::to_port(server.port());
    let near = open(&server.url()).await;
    let far = open(&proxy.url_for(&server.url())).await;
    far.submit(&ns(), vec![job(), job()]).await.unwrap();
    let lease = far.register().await.unwrap();
    let claims = step(&far, lease, 1, vec![]).await;
    assert_eq!(claims.len(), 2);
    Parted {
        server,
        proxy,
        near,
        far,
        lease,
        claims,
    }
}

async fn step(store: &RedisStore, lease: Lease, number: u64, done: Vec<Completion>) -> Vec<Claim> {
    let step = Step {
        number,
        done,
        want: 9,
        stands: false,
        had: 0,
    };
    store.cycle(lease, Arc::new(step)).await.unwrap().claimed
}

fn completed(claim: &Claim) -> Completion {
    Completion {
        token: claim.token.clone(),
        verdict: Verdict::Completed(Output {
            short_result: None,
            result: Payload::json("1"),
        }),
        started_at_ms: 1,
        ended_at_ms: 2,
        usage: Usage::default(),
        limits: None,
        components: vec![],
        log: vec![],
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(Duration::from_secs(20), future).await;
    answer.expect("waited in vain")
}

/// Calls again until the way is open.
async fn again<T, F: Future<Output = skep::store::Result<T>>>(call: impl Fn() -> F) -> T {
    soon(async {
        loop {
            match call().await {
                Ok(answer) => break answer,
                Err(StoreError::Unavailable(_)) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_ends_while_a_waiting_host_is_cut_off_is_not_missed() {
    let all = parted().await;
    let child = all.near.submit(&ns(), vec![job()]).await.unwrap()[0];
    let awaited = [child];
    let parked = all.far.park(all.lease, &all.claims[0].token, &awaited);
    let Parked::Waiting(waiting) = parked.await.unwrap() else {
        panic!("it has not begun");
    };
    let mut watch = all.far.watch(&ns(), child).await.unwrap();
    all.proxy.refuse(true);
    all.proxy.cut();
    all.near.cancel(&ns(), child).await.unwrap();
    // More than the stream keeps: what was said meanwhile cannot be read up.
    all.server.cli(&["XTRIM", "{skep}:events", "MAXLEN", "0"]);
    all.proxy.refuse(false);
    soon(waiting).await.unwrap();
    while soon(watch.next()).await != News::Missed {}
    soon(all.far.callback_due()).await.unwrap();
    let taken = again(|| all.far.take_callbacks(9)).await;
    assert_eq!(taken[0].id, child);
}

#[tokio::test]
async fn a_child_whose_answer_was_lost_is_posted_once() {
    let all = parted().await;
    let child = NewJob {
        parent: Some(JobId(1)),
        child_key: Some(ChildKey::of([&b"a"[..]])),
        ..NewJob::new(Payload::json("\"lose me\""), vec![])
    };
    all.proxy.lose_answer_to(b"lose me");
    let ids = all.far.submit(&ns(), vec![child]).await.unwrap();
    assert_eq!(all.proxy.losses(), 1);
    assert_eq!(ids, [JobId(3)]);
    let record = all.near.job(&ns(), JobId(1)).await.unwrap().unwrap();
    assert_eq!((record.child_count, record.children), (1, ids));
    assert_eq!(all.near.status(&ns()).await.unwrap().posted, 3);
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_is_noted_once() {
    let all = parted().await;
    let says = |text: &str| Report {
        progress: None,
        log: vec![LogLine {
            at_ms: 1,
            level: LogLevel::Info,
            text: text.to_owned(),
        }],
    };
    let token = &all.claims[0].token;
    all.proxy.lose_answer_to(b"lose me");
    for text in ["one", "lose me", "three"] {
        let reports = vec![(token.clone(), says(text))];
        all.far.report(all.lease, reports).await.unwrap();
    }
    assert_eq!(all.proxy.losses(), 1);
    let log = all.near.log(&ns(), JobId(1)).await.unwrap();
    let texts: Vec<_> = log.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["one", "lose me", "three"]);
}

#[tokio::test]
async fn a_try_whose_answer_was_lost_is_noted_once() {
    let all = parted().await;
    step(&all.far, all.lease, 2, vec![completed(&all.claims[0])]).await;
    let callback = all.far.take_callbacks(9).await.unwrap().remove(0);
    let failed = Delivery {
        at_ms: 1,
        status: None,
        error: Some("lose me".into()),
    };
    all.proxy.lose_answer_to(b"lose me");
    let noted = all.far.called_back(&callback, failed.clone(), Some(0));
    noted.await.unwrap();
    assert_eq!(all.proxy.losses(), 1);
    let record = all.near.job(&ns(), JobId(1)).await.unwrap().unwrap();
    assert_eq!(record.callback.unwrap().deliveries, [failed]);
    let again = all.near.take_callbacks(9).await.unwrap().remove(0);
    assert_eq!(again.number, 2);
}

#[tokio::test]
async fn what_running_jobs_leave_goes_with_them() {
    let all = parted().await;
    let token = &all.claims[0].token;
    let report = Report {
        progress: Some(Default::default()),
        log: vec![LogLine {
            at_ms: 1,
            level: LogLevel::Info,
            text: "one".into(),
        }],
    };
    let reports = vec![(token.clone(), report)];
    all.far.report(all.lease, reports).await.unwrap();
    let awaited = [all.claims[1].token.id];
    let parked = all.far.park(all.lease, token, &awaited).await.unwrap();
    assert!(matches!(parked, Parked::Waiting(_)));
    for key in ["{skep}:n:default:p", "{skep}:v:default/1"] {
        assert_eq!(all.server.cli(&["EXISTS", key]), "1", "{key}");
    }
    all.near.release(&ns()).await.unwrap();
    for kind in ["g", "v", "n:default:p"] {
        let left = all.server.cli(&["KEYS", &format!("{{skep}}:{kind}*")]);
        assert_eq!(left, "", "{kind}");
    }
}

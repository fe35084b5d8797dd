//! `POST /jobs/batch` with any lines, in chunks of any size: an answer for each line,
//! and as many jobs as were said to be accepted.
#![no_main]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use libfuzzer_sys::fuzz_target;
use skep_fuzz::{ask, place, tidy};

static INPUTS: AtomicU64 = AtomicU64::new(0);
static LAST_ID: AtomicU64 = AtomicU64::new(0);

// The first byte is the size of a chunk.
fuzz_target!(|input: &[u8]| {
    let place = place(0);
    let Some((&size, lines)) = input.split_first() else {
        return;
    };
    let chunks: Vec<_> = (lines.chunks(usize::from(size) + 1))
        .map(|chunk| Ok::<_, Infallible>(chunk.to_vec()))
        .collect();
    let request = Request::post("/jobs/batch")
        .header(CONTENT_TYPE, "application/x-ndjson")
        .header(ACCEPT, "application/json")
        .header("host", "localhost")
        .body(Body::from_stream(futures_util::stream::iter(chunks)))
        .expect("a request");
    place.runtime.block_on(async {
        let posted = async || {
            let status = place.host.store.status(&place.namespace).await;
            status.expect("a store that works").posted
        };
        let before = posted().await;
        let (status, answer) = ask(&place.router, request).await;
        let told = answer
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let told: Vec<serde_json::Value> = told
            .map(|line| serde_json::from_slice(line).expect("each line is JSON"))
            .collect();
        // A key that was used before answers with the id of its job.
        let last = LAST_ID.load(Ordering::Relaxed);
        let ids = told
            .iter()
            .filter_map(|line| line.get("id")?.as_str()?.parse().ok());
        let fresh: BTreeSet<u64> = ids.filter(|id| *id > last).collect();
        LAST_ID.fetch_max(fresh.last().copied().unwrap_or(0), Ordering::Relaxed);
        assert_eq!(
            posted().await - before,
            fresh.len() as u64,
            "{status} {told:?}"
        );
        tidy(place, &INPUTS).await;
    });
});

//! `POST /jobs` with any body, content type and query: an answer that is no 5xx, and a
//! job that is accepted can be read again as it was sent.
#![no_main]

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use libfuzzer_sys::fuzz_target;
use skep::job::{Digest, Limits};
use skep::store::NewDeployment;
use skep_fuzz::{Place, ask, place, tidy};

static INPUTS: AtomicU64 = AtomicU64::new(0);

/// With a schema, so that messages are checked against one.
const SCHEMA: &str = r#"{"type": "object", "required": ["n"], "properties":
    {"n": {"type": "integer", "minimum": 0}, "s": {"type": "string", "pattern": "^a+$"}}}"#;

fn prepared() -> &'static Place {
    static READY: OnceLock<&'static Place> = OnceLock::new();
    READY.get_or_init(|| {
        let place = place(0);
        let function = |name: &str, schema: Option<&str>| NewDeployment {
            function: name.parse().expect("a name"),
            component: Digest::of(b"nothing runs it"),
            summary: String::new(),
            message_schema: schema.map(str::to_owned),
            limits: Limits::default(),
            concurrency: None,
        };
        let functions = vec![function("f", None), function("g", Some(SCHEMA))];
        let deployed = place.host.store.deploy(&place.namespace, functions);
        (place.runtime.block_on(deployed)).expect("a store that works");
        place
    })
}

// The first byte says what the rest is: 0 a JSON body, 1 bytes for `f`, else a line of
// a query, a line of a content type, and a body.
fuzz_target!(|input: &[u8]| {
    let place = prepared();
    let Some((&kind, rest)) = input.split_first() else {
        return;
    };
    let (query, content_type, body) = match kind {
        0 => (&b""[..], &b"application/json"[..], rest),
        1 => (&b"functions=f"[..], &b"image/png"[..], rest),
        _ => {
            let mut parts = rest.splitn(3, |byte| *byte == b'\n');
            let mut part = || parts.next().unwrap_or_default();
            (part(), part(), part())
        }
    };
    let Ok(query) = str::from_utf8(query) else {
        return;
    };
    let request = Request::post(format!("/jobs?{query}"))
        .header(CONTENT_TYPE, content_type)
        .header("host", "localhost");
    let Ok(request) = request.body(Body::from(body.to_vec())) else {
        return;
    };
    place.runtime.block_on(async {
        let (status, answer) = ask(&place.router, request).await;
        if status.is_success() {
            let id = str::from_utf8(&answer).expect("an id is text");
            let record = Request::get(format!("/jobs/{id}")).header("host", "localhost");
            let record = record.body(Body::empty()).expect("an id fits a path");
            let (status, record) = ask(&place.router, record).await;
            assert!(status.is_success(), "a job that was accepted is there");
            serde_json::from_slice::<serde_json::Value>(&record).expect("a record is JSON");
        }
        tidy(place, &INPUTS).await;
    });
});

//! Guests that compute without end, wherever they can: fuel ends them, and meanwhile
//! they give their thread back.

use serde_json::json;

use crate::guest::{Guest, answer};
use crate::place::{Place, on_both_stores};
use crate::zoo::{End, Zoo};

/// A loop that nothing but a bound ends.
const FOREVER: &str = "(loop $forever (br $forever)) unreachable";

/// About a second of work for two at once: long enough to be heard by the canary.
const FUEL: &str = "?fuel=3000000000";

async fn loops(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let record = zoo
        .runs(
            "a loop",
            &Guest::that(FOREVER),
            FUEL,
            End::Fails("fuel-exhausted", &["`fuel`"]),
        )
        .await;
    let used = record["attempts"][0]["usage"]["fuel"].as_u64().unwrap();
    assert!(used > 2_900_000_000, "{record}");
    let timed = Guest::that(FOREVER);
    let end = End::Fails("timed-out", &["700 ms"]);
    zoo.runs("a loop against the clock", &timed, "?timeout_ms=700", end)
        .await;
    let realloc = Guest {
        realloc: FOREVER,
        ..Guest::default()
    };
    zoo.runs(
        "a loop in realloc, which the host calls",
        &realloc,
        FUEL,
        End::Fails("fuel-exhausted", &[]),
    )
    .await;
    let after = Guest {
        module: format!("(func (export \"after\") (param i32) {FOREVER})"),
        lift: "(post-return (func $main \"after\"))",
        ..Guest::default()
    };
    zoo.runs(
        "a loop after the return",
        &after,
        FUEL,
        End::Fails("fuel-exhausted", &[]),
    )
    .await;
    zoo.close(place).await;
}

async fn loops_at_upload(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let start = Guest {
        module: format!("(func $spin {FOREVER}) (start $spin)"),
        ..Guest::default()
    };
    // By fuel or, on a machine that has much to do, by the clock.
    let used_up = &["functions()"];
    zoo.refuses("a loop in a start function", start.bytes(), used_up)
        .await;
    let functions = Guest {
        functions: FOREVER.to_owned(),
        ..Guest::default()
    };
    zoo.refuses("a loop in functions()", functions.bytes(), used_up)
        .await;
    // The same one again is not even tried.
    let begun = std::time::Instant::now();
    let again = zoo.upload(functions.bytes(), "").await;
    again.expect(422).naming(used_up);
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_millis(500), "{took:?}");
    zoo.close(place).await;
}

async fn recursion(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let one = Guest {
        module: "(func $down (param i32) (result i32) (i32.add (i32.const 1)
                 (call $down (i32.add (local.get 0) (i32.const 1)))))"
            .to_owned(),
        handle: format!("(drop (call $down (i32.const 0))) {}", answer("up again")),
        ..Guest::default()
    };
    let used_up = || End::Fails("stack-overflow", &["stack"]);
    zoo.runs("recursion", &one, "", used_up()).await;
    let many_locals = "(local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)";
    let two = Guest {
        module: format!(
            "(table 2 funcref) (elem (i32.const 0) $even $odd)
             (type $step (func (param i32) (result i32)))
             (func $even (param i32) (result i32) {many_locals}
                (i32.add (i32.const 1) (call_indirect (type $step) (local.get 0) (i32.const 1))))
             (func $odd (param i32) (result i32) {many_locals}
                (i32.add (i32.const 1) (call_indirect (type $step) (local.get 0) (i32.const 0))))"
        ),
        handle: format!("(drop (call $even (i32.const 0))) {}", answer("up again")),
        ..Guest::default()
    };
    zoo.runs("recursion of two", &two, "", used_up()).await;
    zoo.probes(
        "recursion in Rust",
        "recurse",
        json!(null),
        "",
        End::Fails("trap", &["endless recursion"]),
    )
    .await;
    zoo.close(place).await;
}

/// Work of the host's that costs a guest no fuel.
async fn work_of_the_host(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let pages = "(drop (memory.grow (i32.const 1000)))";
    let copies = Guest::that(format!(
        "{pages} (loop $forever
            (memory.copy (i32.const 0) (i32.const 30000000) (i32.const 30000000))
            (memory.fill (i32.const 5000) (i32.const 1) (i32.const 60000000))
            (br $forever)) unreachable"
    ));
    zoo.runs(
        "copies and fills of 60 MB",
        &copies,
        "?fuel=20000000000",
        End::Fails("fuel-exhausted", &[]),
    )
    .await;
    let shouts = Guest::that(format!(
        "{pages} (loop $forever
            (call $write (i32.const 2) (i32.const 262144) (i32.const 60000000))
            (br $forever)) unreachable"
    ));
    zoo.runs(
        "log lines of 60 MB",
        &shouts,
        "?timeout_ms=2000",
        End::Fails("timed-out", &[]),
    )
    .await;
    let lines = Guest::that(format!(
        "{pages} (memory.fill (i32.const 8192) (i32.const 10) (i32.const 60000000))
         (loop $forever
            (call $write (i32.const 2) (i32.const 8192) (i32.const 60000000))
            (br $forever)) unreachable"
    ));
    zoo.runs(
        "60 million log lines a call",
        &lines,
        "?timeout_ms=2000",
        End::Fails("timed-out", &[]),
    )
    .await;
    let notes = Guest::that(format!(
        "{pages} (memory.fill (i32.const 8192) (i32.const 65) (i32.const 60000000))
         (loop $forever
            (call $update-progress (i32.const 1) (i32.const 1) (i32.const 8192) (i32.const 60000000) (i32.const 256))
            (br $forever)) unreachable"
    ));
    zoo.runs(
        "progress notes of 60 MB",
        &notes,
        "?timeout_ms=2000",
        End::Fails("timed-out", &[]),
    )
    .await;
    zoo.close(place).await;
}

on_both_stores! {
    loops,
    loops_at_upload,
    recursion,
    work_of_the_host,
}

//! Lies through the canonical ABI: lengths and addresses that are none, texts that are
//! no text, and content types and texts that would be more to whoever shows them.

use reqwest::Method;

use crate::guest::{FREE, Guest, answer};
use crate::place::{Place, on_both_stores};
use crate::server::send;
use crate::zoo::{End, Zoo};

/// A body that answers data of this address and length.
fn data(at: &str, length: &str) -> String {
    format!(
        "(call $answer (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 10)
            (i32.const {at}) (i32.const {length}))"
    )
}

/// A guest with bytes in its memory at [`FREE`].
fn with_bytes(bytes: &[u8], handle: String) -> Guest {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    Guest {
        module: format!("(data (i32.const {FREE}) \"{escaped}\")"),
        handle,
        ..Guest::default()
    }
}

/// `$output` with a short result, a content type and data of these addresses and lengths.
fn output(short: (usize, usize), content_type: (usize, usize), data: (usize, usize)) -> String {
    let numbers = [
        short.0,
        short.1,
        content_type.0,
        content_type.1,
        data.0,
        data.1,
    ];
    let numbers: String = numbers.map(|n| format!("(i32.const {n}) ")).concat();
    format!("(call $output (i32.const 1) {numbers})")
}

async fn lengths_that_lie(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let out = || End::Fails("trap", &["out of bounds"]);
    for (what, handle) in [
        ("a result of 4 GiB", data("0", "-1")),
        ("a result beyond the end", data("262143", "2")),
        ("a result around the end", data("-4096", "8192")),
        ("a result at nowhere", "i32.const -8".to_owned()),
    ] {
        zoo.runs(what, &Guest::that(handle), "", out()).await;
    }
    let unaligned = Guest::that("i32.const 513");
    let end = End::Fails("trap", &["aligned"]);
    zoo.runs("an answer that is not aligned", &unaligned, "", end)
        .await;
    let kind = Guest::that("(i32.store8 (i32.const 512) (i32.const 7)) i32.const 512");
    let end = End::Fails("trap", &[]);
    zoo.runs("an answer of no kind", &kind, "", end).await;
    for (what, list) in [
        ("2^28 functions", (1096, 1 << 28)),
        ("4 billion functions", (1096, u32::MAX)),
    ] {
        let guest = Guest {
            functions: format!(
                "(i32.store (i32.const 1080) (i32.const {})) (i32.store (i32.const 1084) (i32.const {})) i32.const 1080",
                list.0, list.1 as i32
            ),
            ..Guest::default()
        };
        zoo.refuses(what, guest.bytes(), &["functions()", "trap"])
            .await;
    }
    zoo.close(place).await;
}

async fn large_arguments(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    // A string of no bytes takes eight in the guest and 24 in the host.
    let ids = Guest::that(
        "(drop (memory.grow (i32.const 4000)))
         (call $block-until-results (i32.const 0) (i32.const 32000000) (i32.const 0) (i64.const 0) (i32.const 256))
         unreachable",
    );
    let copied = || End::Fails("trap", &["copied"]);
    zoo.runs("a wait for 32 million ids", &ids, "", copied())
        .await;
    let line = Guest::that(
        "(drop (memory.grow (i32.const 4000)))
         (call $write (i32.const 2) (i32.const 0) (i32.const 200000000)) unreachable",
    );
    zoo.runs("a log line of 200 MB", &line, "", copied()).await;
    let result = Guest::that(format!(
        "(drop (memory.grow (i32.const 4000))) {}",
        data("0", "200000000")
    ));
    zoo.runs("a result of 200 MB", &result, "", copied()).await;
    let result = Guest::that(format!(
        "(drop (memory.grow (i32.const 4000))) {}",
        data("0", "68000000")
    ));
    let end = End::Fails("output-too-large", &["68000000", "67108864"]);
    zoo.runs("a result just over the limit", &result, "", end)
        .await;
    let id = Guest::that(
        "(drop (memory.grow (i32.const 1000)))
         (call $block-until-result (i32.const 262144) (i32.const 60000000) (i32.const 0) (i64.const 0) (i32.const 256))
         (call $fail (i32.const 1) (i32.load (i32.const 264)) (i32.load (i32.const 268)))",
    );
    let end = End::Fails("failed", &["no job", "60000000 bytes"]);
    zoo.runs("a wait for an id of 60 MB", &id, "", end).await;
    let fill = "(drop (memory.grow (i32.const 1200)))
        (memory.fill (i32.const 8192) (i32.const 120) (i32.const 70000000))";
    let fails = Guest::that(format!(
        "{fill} (call $fail (i32.const 1) (i32.const 8192) (i32.const 70000000))"
    ));
    let panics = Guest::that(format!(
        "{fill} (call $write (i32.const 4) (i32.const 8192) (i32.const 70000000)) unreachable"
    ));
    for (what, guest, kind) in [
        ("a failure of 70 MB", fails, "failed"),
        ("a panic of 70 MB", panics, "trap"),
    ] {
        let record = zoo.runs(what, &guest, "", End::Fails(kind, &["xxx"])).await;
        let kept = record["cause"]["message"].as_str().unwrap().len();
        assert!(kept < 5_000, "{what}: {kept}");
    }
    zoo.close(place).await;
}

async fn realloc_that_lies(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    for (what, realloc, words) in [
        (
            "a realloc beyond the end",
            "(return (i32.const -65536))",
            &["realloc"][..],
        ),
        (
            "a realloc that is not aligned",
            "(return (i32.const 4097))",
            &["aligned"],
        ),
        ("a realloc that traps", "unreachable", &["unreachable"]),
    ] {
        let guest = Guest {
            realloc,
            ..Guest::default()
        };
        zoo.runs(what, &guest, "", End::Fails("trap", words)).await;
    }
    // A realloc in the guest's own memory is the guest's own affair.
    let over_itself = Guest {
        realloc: "(return (i32.const 0))",
        ..Guest::default()
    };
    let uploaded = zoo.upload(over_itself.bytes(), "").await;
    uploaded.expect(200);
    let id = zoo
        .post("stranger", &serde_json::json!("x".repeat(4096)))
        .await;
    let record = zoo.ended(&id).await;
    assert!(record["ended_at_ms"].is_u64(), "{record}");
    zoo.close(place).await;
}

async fn text_that_is_none(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let bad: &[u8] = b"ab\xff\xfe/cd";
    let (at, length) = (FREE, bad.len());
    let plain = (1024, 10);
    let calls = |call: String| format!("{call} unreachable");
    for (what, handle) in [
        (
            "a short result of no UTF-8",
            output((at, length), plain, plain),
        ),
        (
            "a content type of no UTF-8",
            output(plain, (at, length), plain),
        ),
        (
            "a failure of no UTF-8",
            format!("(call $fail (i32.const 1) (i32.const {at}) (i32.const {length}))"),
        ),
        (
            "a log line of no UTF-8",
            calls(format!(
                "(call $write (i32.const 2) (i32.const {at}) (i32.const {length}))"
            )),
        ),
        (
            "a key of no UTF-8",
            calls(format!(
                "(call $fetch-data (i32.const {at}) (i32.const {length}) (i32.const 256))"
            )),
        ),
        (
            "a note of no UTF-8",
            calls(format!(
                "(call $update-progress (i32.const 1) (i32.const 1) (i32.const {at}) (i32.const {length}) (i32.const 256))"
            )),
        ),
    ] {
        let guest = with_bytes(bad, handle);
        zoo.runs(what, &guest, "", End::Fails("trap", &["utf-8"]))
            .await;
    }
    let utf16 = Guest {
        encoding: "utf16",
        // Half of a pair.
        ..with_bytes(b"\x00\xd8a\x00", output((at, 2), (at, 0), plain))
    };
    let end = End::Fails("trap", &["surrogate"]);
    zoo.runs("half a pair of UTF-16", &utf16, "", end).await;
    let name = Guest {
        functions: format!(
            "(i32.store (i32.const 1096) (i32.const {at})) (i32.store (i32.const 1100) (i32.const {length})) i32.const 1080"
        ),
        ..with_bytes(bad, answer("ok"))
    };
    zoo.refuses(
        "a name of no UTF-8",
        name.bytes(),
        &["functions()", "utf-8"],
    )
    .await;
    zoo.close(place).await;
}

async fn headers_that_are_none(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let evil: &[u8] = b"text/html\r\nSet-Cookie: x=1\r\n\r\n<script>";
    let plain = (1024, 10);
    let guest = with_bytes(evil, output(plain, (FREE, evil.len()), plain));
    let record = zoo
        .runs(
            "a content type with another header in it",
            &guest,
            "",
            End::Completes("text/plain"),
        )
        .await;
    let id = record["id"].as_str().unwrap();
    let result = send(zoo.request(Method::GET, &format!("/jobs/{id}/result"))).await;
    assert_eq!(result.content_type, "application/octet-stream");
    assert!(result.headers.get("set-cookie").is_none());
    assert_eq!(result.headers["x-content-type-options"], "nosniff");
    let policy = result.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("sandbox"), "{policy}");
    zoo.close(place).await;
}

on_both_stores! {
    lengths_that_lie,
    large_arguments,
    realloc_that_lies,
    text_that_is_none,
    headers_that_are_none,
}

//! WASI 0.2, which every guest may import: there is nothing behind it but clocks, random
//! numbers and the log, and these have bounds.

use crate::guest::{Guest, answer};
use crate::place::{Place, on_both_stores};
use crate::zoo::{End, Zoo};

const POLL: &str = r#"
    (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
        (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $pollable'))
        (export "pollable" (type $pollable (eq $pollable')))
        (export "now" (func (result u64)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
    (core func $now (canon lower (func $clock "now")))
    (core func $subscribe (canon lower (func $clock "subscribe-duration")))
    (core func $block (canon lower (func $poll "[method]pollable.block")))
    (core func $poll (canon lower (func $poll "poll")
        (memory $libc "memory") (realloc (func $libc "realloc"))))"#;

const POLL_HANDED: &str = r#"(export "now" (func $now)) (export "subscribe" (func $subscribe))
    (export "block" (func $block)) (export "poll" (func $poll))"#;

const POLL_IMPORTS: &str = r#"(import "host" "now" (func $now (result i64)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "poll" (func $poll (param i32 i32 i32)))"#;

/// A guest with a clock to wait for.
fn waiting(handle: String) -> Guest {
    Guest {
        component: POLL.to_owned(),
        handed: POLL_HANDED.to_owned(),
        imports: POLL_IMPORTS.to_owned(),
        handle,
        ..Guest::default()
    }
}

/// A guest with one function of a WASI interface, called `f` in its module.
fn with_function(interface: &str, name: &str, wit: &str, core: &str, handle: String) -> Guest {
    Guest {
        component: format!(
            r#"(import "{interface}" (instance $wasi (export "{name}" (func {wit}))))
               (core func $f (canon lower (func $wasi "{name}")
                   (memory $libc "memory") (realloc (func $libc "realloc"))))"#
        ),
        handed: r#"(export "f" (func $f))"#.to_owned(),
        imports: format!(r#"(import "host" "f" (func $f {core}))"#),
        handle,
        ..Guest::default()
    }
}

/// Answers `none` unless the list at 256 has something in it.
fn none_in_list() -> String {
    format!(
        "(if (i32.load (i32.const 260)) (then unreachable)) {}",
        answer("none")
    )
}

async fn clocks(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let hour = "(i64.const 3600000000000)";
    let sleeps = waiting(format!(
        "(call $block (call $subscribe {hour})) unreachable"
    ));
    let end = || End::Fails("timed-out", &["500 ms"]);
    zoo.runs("an hour's sleep", &sleeps, "?timeout_ms=500", end())
        .await;
    let spins = waiting("(loop $more (drop (call $now)) (br $more)) unreachable".to_owned());
    zoo.runs(
        "a clock that is asked all the time",
        &spins,
        "?timeout_ms=1000",
        End::Fails("timed-out", &[]),
    )
    .await;
    let holds = waiting(format!(
        "(loop $more (drop (call $subscribe {hour})) (br $more)) unreachable"
    ));
    let end = End::Fails("trap", &["table"]);
    zoo.runs("a handle bomb", &holds, "", end).await;
    // One clock, a million times.
    let polls = waiting(format!(
        "(local.set $i (call $subscribe {hour})) (drop (memory.grow (i32.const 64)))
         (loop $fill
            (i32.store (i32.add (i32.const 8192) (i32.mul (local.get $j) (i32.const 4))) (local.get $i))
            (br_if $fill (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 1000000))))
         (call $poll (i32.const 8192) (i32.const 1000000) (i32.const 256)) unreachable"
    ));
    zoo.runs(
        "a poll on a million clocks",
        &polls,
        "?timeout_ms=2000",
        End::Fails("trap", &["handle limit"]),
    )
    .await;
    let ready = waiting(
        "(local.set $i (call $subscribe (i64.const 0))) (drop (memory.grow (i32.const 64)))
         (loop $fill
            (i32.store (i32.add (i32.const 8192) (i32.mul (local.get $j) (i32.const 4))) (local.get $i))
            (br_if $fill (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 1000))))
         (loop $more (call $poll (i32.const 8192) (i32.const 1000) (i32.const 256)) (br $more)) unreachable"
            .to_owned(),
    );
    let end = End::Fails("timed-out", &[]);
    zoo.runs(
        "polls that are ready at once",
        &ready,
        "?timeout_ms=1000",
        end,
    )
    .await;
    let traps = waiting(format!("(drop (call $subscribe {hour})) unreachable"));
    zoo.runs(
        "a trap while it holds a clock",
        &traps,
        "",
        End::Fails("trap", &["unreachable"]),
    )
    .await;
    zoo.close(place).await;
}

async fn random(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let asks = |bytes: &str, then: &str| {
        with_function(
            "wasi:random/random@0.2.0",
            "get-random-bytes",
            r#"(param "len" u64) (result (list u8))"#,
            "(param i64 i32)",
            format!(
                "(loop $more (call $f (i64.const {bytes}) (i32.const 256)) {then}) unreachable"
            ),
        )
    };
    for bytes in ["4294967296", "-1", "1048577"] {
        let guest = asks(bytes, "");
        let end = End::Fails("trap", &["exceeds limit"]);
        zoo.runs("random bytes by the gigabyte", &guest, "", end)
            .await;
    }
    // The guest has its memory back each time, and never enough.
    let mut guest = asks("1048576", "(br $more)");
    guest.realloc = "(return (i32.const 131072))";
    guest.memory = "32".to_owned();
    zoo.runs(
        "random bytes without end",
        &guest,
        "?timeout_ms=1500",
        End::Fails("timed-out", &[]),
    )
    .await;
    zoo.close(place).await;
}

async fn nothing_behind_it(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let environment = |name, wit| {
        with_function(
            "wasi:cli/environment@0.2.0",
            name,
            wit,
            "(param i32)",
            format!("(call $f (i32.const 256)) {}", none_in_list()),
        )
    };
    let none = || End::Completes("none");
    let variables = environment("get-environment", "(result (list (tuple string string)))");
    zoo.runs("the environment", &variables, "", none()).await;
    let arguments = environment("get-arguments", "(result (list string))");
    zoo.runs("the arguments", &arguments, "", none()).await;
    let files = Guest {
        component: r#"
            (import "wasi:filesystem/types@0.2.0" (instance $types'
                (export "descriptor" (type (sub resource)))))
            (alias export $types' "descriptor" (type $descriptor))
            (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
                (alias outer 1 $descriptor (type $descriptor'))
                (export "descriptor" (type $descriptor (eq $descriptor')))
                (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
            (core func $f (canon lower (func $preopens "get-directories")
                (memory $libc "memory") (realloc (func $libc "realloc"))))"#
            .to_owned(),
        handed: r#"(export "f" (func $f))"#.to_owned(),
        imports: r#"(import "host" "f" (func $f (param i32)))"#.to_owned(),
        handle: format!("(call $f (i32.const 256)) {}", none_in_list()),
        ..Guest::default()
    };
    zoo.runs("files", &files, "", none()).await;
    let sockets = Guest {
        component: SOCKETS.to_owned(),
        handed: r#"(export "f" (func $f))"#.to_owned(),
        imports: r#"(import "host" "f" (func $f (param i32 i32)))"#.to_owned(),
        handle: format!(
            "(call $f (i32.const 0) (i32.const 256))
             (if (i32.eqz (i32.load8_u (i32.const 256))) (then unreachable))
             (if (i32.ne (i32.load8_u (i32.const 260)) (i32.const 1)) (then unreachable)) {}",
            answer("access denied")
        ),
        ..Guest::default()
    };
    zoo.runs("sockets", &sockets, "", End::Completes("access denied"))
        .await;
    let exit = with_function(
        "wasi:cli/exit@0.2.0",
        "exit",
        r#"(param "status" (result))"#,
        "(param i32)",
        "(call $f (i32.const 0)) unreachable".to_owned(),
    );
    zoo.runs("exit", &exit, "", End::Fails("trap", &["`exit`"]))
        .await;
    zoo.close(place).await;
}

const SOCKETS: &str = r#"
    (import "wasi:sockets/network@0.2.0" (instance $network
        (type $code' (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory"
            "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state"
            "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable"
            "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large"
            "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
        (export "error-code" (type (eq $code')))
        (type $family' (enum "ipv4" "ipv6"))
        (export "ip-address-family" (type (eq $family')))))
    (alias export $network "error-code" (type $code))
    (alias export $network "ip-address-family" (type $family))
    (import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
    (alias export $tcp "tcp-socket" (type $socket))
    (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
        (alias outer 1 $code (type $code')) (export "error-code" (type $code (eq $code')))
        (alias outer 1 $family (type $family')) (export "ip-address-family" (type $family (eq $family')))
        (alias outer 1 $socket (type $socket')) (export "tcp-socket" (type $socket (eq $socket')))
        (export "create-tcp-socket" (func (param "address-family" $family)
            (result (result (own $socket) (error $code)))))))
    (core func $f (canon lower (func $create "create-tcp-socket") (memory $libc "memory")))"#;

const STREAMS: &str = r#"
    (import "wasi:io/error@0.2.0" (instance $io-error (export "error" (type (sub resource)))))
    (alias export $io-error "error" (type $io-error))
    (import "wasi:io/streams@0.2.0" (instance $streams
        (export "input-stream" (type $in (sub resource)))
        (export "output-stream" (type $out (sub resource)))
        (alias outer 1 $io-error (type $error'))
        (export "error" (type $error (eq $error')))
        (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $stream-error')))
        (export "[method]input-stream.blocking-read" (func (param "self" (borrow $in)) (param "len" u64)
            (result (result (list u8) (error $stream-error)))))
        (export "[method]output-stream.write" (func (param "self" (borrow $out)) (param "contents" (list u8))
            (result (result (error $stream-error)))))))
    (alias export $streams "input-stream" (type $in))
    (alias export $streams "output-stream" (type $out))
    (import "wasi:cli/stdin@0.2.0" (instance $stdin
        (alias outer 1 $in (type $in')) (export "input-stream" (type $in (eq $in')))
        (export "get-stdin" (func (result (own $in))))))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $out (type $out')) (export "output-stream" (type $out (eq $out')))
        (export "get-stdout" (func (result (own $out))))))
    (core func $get-stdin (canon lower (func $stdin "get-stdin")))
    (core func $get-stdout (canon lower (func $stdout "get-stdout")))
    (core func $read (canon lower (func $streams "[method]input-stream.blocking-read")
        (memory $libc "memory") (realloc (func $libc "realloc"))))
    (core func $print (canon lower (func $streams "[method]output-stream.write")
        (memory $libc "memory")))"#;

fn streaming(handle: String) -> Guest {
    Guest {
        component: STREAMS.to_owned(),
        handed: r#"(export "get-stdin" (func $get-stdin)) (export "get-stdout" (func $get-stdout))
            (export "read" (func $read)) (export "print" (func $print))"#
            .to_owned(),
        imports: r#"(import "host" "get-stdin" (func $get-stdin (result i32)))
            (import "host" "get-stdout" (func $get-stdout (result i32)))
            (import "host" "read" (func $read (param i32 i64 i32)))
            (import "host" "print" (func $print (param i32 i32 i32 i32)))"#
            .to_owned(),
        handle,
        ..Guest::default()
    }
}

async fn streams(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let reads = streaming(format!(
        "(call $read (call $get-stdin) (i64.const -1) (i32.const 256))
         (if (i32.eqz (i32.load8_u (i32.const 256))) (then unreachable))
         (if (i32.ne (i32.load8_u (i32.const 260)) (i32.const 1)) (then unreachable)) {}",
        answer("closed")
    ));
    zoo.runs("standard input", &reads, "", End::Completes("closed"))
        .await;
    let lines = |bytes: u32| {
        streaming(format!(
            "(drop (memory.grow (i32.const 1000)))
             (memory.fill (i32.const 8192) (i32.const 10) (i32.const 60000000))
             (local.set $i (call $get-stdout))
             (loop $more
                (call $print (local.get $i) (i32.const 8192) (i32.const {bytes}) (i32.const 256))
                (br $more)) unreachable"
        ))
    };
    let end = End::Fails("trap", &["check-write"]);
    zoo.runs(
        "60 million lines printed at once",
        &lines(60_000_000),
        "",
        end,
    )
    .await;
    let end = End::Fails("timed-out", &[]);
    zoo.runs(
        "lines printed without end",
        &lines(65_536),
        "?timeout_ms=2000",
        end,
    )
    .await;
    zoo.close(place).await;
}

on_both_stores! {
    clocks,
    random,
    nothing_behind_it,
    streams,
}

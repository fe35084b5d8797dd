//! Guests that take all they can get: memory, tables, instances. One total bounds them.

use serde_json::json;

use crate::guest::{Guest, answer};
use crate::place::{Place, on_both_stores};
use crate::zoo::{End, Zoo};

/// Grows one memory by a megabyte at a time, and uses it, until it gets no more.
const GROW: &str = "(loop $more
    (local.set $i (memory.grow (i32.const 16)))
    (if (i32.ne (local.get $i) (i32.const -1)) (then
        (i32.store (i32.mul (local.get $i) (i32.const 65536)) (i32.const 1))
        (br $more))))";

fn peak(record: &serde_json::Value) -> u64 {
    record["attempts"][0]["usage"]["peak_memory_bytes"]
        .as_u64()
        .unwrap()
}

async fn memory(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let limit = "?memory_bytes=30000000";
    let dies = Guest::that(format!("{GROW} unreachable"));
    let end = || End::Fails("memory-limit", &["`memory_bytes`"]);
    let record = zoo.runs("a memory bomb", &dies, limit, end()).await;
    assert!(
        (20_000_000..=30_000_000).contains(&peak(&record)),
        "{record}"
    );
    let lives = Guest::that(format!("{GROW} {}", answer("no more")));
    let record = zoo
        .runs(
            "a memory bomb that takes no for an answer",
            &lives,
            "",
            End::Completes("no more"),
        )
        .await;
    assert!((200 << 20..=256 << 20).contains(&peak(&record)), "{record}");
    let at_once = Guest::that(format!(
        "(if (i32.ne (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable)) {}",
        answer("no")
    ));
    zoo.runs("4 GiB at once", &at_once, "", End::Completes("no"))
        .await;
    zoo.probes("a hoard in Rust", "grow", json!(null), limit, end())
        .await;
    zoo.close(place).await;
}

async fn many_memories(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let module = "(memory $b 1) (memory $c 1) (memory $d 1)".to_owned();
    let grow = |memory: &str| {
        format!(
            "(loop $more (br_if $more (i32.ne (memory.grow {memory} (i32.const 16)) (i32.const -1))))"
        )
    };
    let four = Guest {
        handle: format!("{}{}{} unreachable", grow("$b"), grow("$c"), grow("$d")),
        module,
        ..Guest::default()
    };
    let record = zoo
        .runs(
            "a bomb in four memories",
            &four,
            "?memory_bytes=60000000",
            End::Fails("memory-limit", &[]),
        )
        .await;
    assert!(peak(&record) <= 60_000_000, "{record}");
    let many = Guest {
        module: "(memory 1)".repeat(90),
        ..Guest::default()
    };
    zoo.refuses("91 memories", many.bytes(), &["memories count", "sandbox"])
        .await;
    let large = Guest {
        memory: "65536".to_owned(),
        ..Guest::default()
    };
    zoo.refuses(
        "a memory of 4 GiB to begin with",
        large.bytes(),
        &["memory"],
    )
    .await;
    zoo.close(place).await;
}

async fn tables(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let bomb = Guest {
        module: "(table $t 1 funcref)".to_owned(),
        handle: "(loop $more (br_if $more (i32.ne (i32.const -1)
                   (table.grow $t (ref.null func) (i32.const 1000))))) unreachable"
            .to_owned(),
        ..Guest::default()
    };
    let record = zoo
        .runs(
            "a table bomb",
            &bomb,
            "?memory_bytes=600000",
            End::Fails("memory-limit", &[]),
        )
        .await;
    assert!(peak(&record) <= 600_000, "{record}");
    zoo.runs(
        "a table bomb against the pool",
        &bomb,
        "",
        End::Fails("memory-limit", &[]),
    )
    .await;
    let large = Guest {
        module: "(table 9000000 funcref)".to_owned(),
        ..Guest::default()
    };
    zoo.refuses("a table of 9 million", large.bytes(), &["table"])
        .await;
    let many = Guest {
        module: "(table 1 funcref)".repeat(90),
        ..Guest::default()
    };
    zoo.refuses("90 tables", many.bytes(), &["tables count", "sandbox"])
        .await;
    zoo.close(place).await;
}

on_both_stores! {
    memory,
    many_memories,
    tables,
}

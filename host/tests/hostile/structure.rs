//! Uploads that are too much of something, or want what skep does not give: refused by
//! name before anything is compiled.

use std::fmt::Write as _;

use serde_json::json;

use crate::guest::{FREE, Guest, answer};
use crate::place::{Place, on_both_stores};
use crate::server::{guest, guest_bytes, send, skep};
use crate::zoo::{End, Zoo};

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {text})")).unwrap()
}

async fn too_many(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let list =
        |count: u32, item: &dyn Fn(u32) -> String| -> String { (0..count).map(item).collect() };
    let module = |text: String| component(&format!("(core module {text})"));
    for (what, bytes, words) in [
        (
            "100,001 imports",
            component(&list(100_001, &|n| {
                format!("(import \"evil:i{n}/x\" (instance))")
            })),
            &["more than 100000 "][..],
        ),
        (
            "100,001 exports",
            component(&format!(
                "(instance $i) {}",
                list(100_001, &|n| format!("(export \"e{n}\" (instance $i))"))
            )),
            &["more than 100000 imports, exports"],
        ),
        (
            "200,001 functions",
            module(list(200_001, &|_| "(func)".to_owned())),
            &["more than 200000 functions"],
        ),
        (
            "100,001 types",
            module(list(100_001, &|n| {
                format!("(type (func (param {})))", "i32 ".repeat(n as usize % 7))
            })),
            &["more than 100000 types"],
        ),
        (
            "200,001 globals",
            module(list(200_001, &|_| "(global i32 (i32.const 0))".to_owned())),
            &["more than 200000 globals"],
        ),
        (
            "a function of 2 MiB",
            module(format!("(func {})", "(drop (i32.const 1))".repeat(700_000))),
            &["a function of"],
        ),
        (
            "300 components",
            component(&"(component)".repeat(300)),
            &["more than 256 modules and components"],
        ),
        (
            "components 20 levels deep",
            component(&("(component ".repeat(20) + &")".repeat(20))),
            &["deeper than 16 levels"],
        ),
    ] {
        zoo.refuses(what, bytes, words).await;
    }
    // Thousands are no reason to refuse anything.
    let thousands = Guest {
        module: list(5_000, &|n| {
            format!("(func (export \"e{n}\") (type $t{n})) (type $t{n} (func (result)))")
        }),
        ..Guest::default()
    };
    zoo.runs(
        "5,000 functions, types and exports",
        &thousands,
        "",
        End::Completes("ok"),
    )
    .await;
    zoo.close(place).await;
}

/// Each component holds two of the one before it.
fn doubling(levels: u32) -> String {
    let mut text = "(component $c0)".to_owned();
    for n in 1..=levels {
        let before = n - 1;
        let _ = write!(
            text,
            "(component $c{n} (alias outer 1 $c{before} (component $c))
                (instance (instantiate $c)) (instance (instantiate $c)))"
        );
    }
    text + &format!("(instance (instantiate $c{levels}))")
}

async fn doubled(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let billion = component(&doubling(30));
    assert!(billion.len() < 2_000, "{}", billion.len());
    zoo.refuses(
        "a billion instances",
        billion,
        &["more than 10000 instances"],
    )
    .await;
    zoo.close(place).await;
}

async fn foreign(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    for import in [
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:nn/inference@0.2.0",
        "wasi:keyvalue/store@0.2.0",
        "skep:jobs/admin@0.1.0",
        "skep:jobs/queue@9.0.0",
        "docker:host/socket",
    ] {
        let bytes = component(&format!("(import \"{import}\" (instance))"));
        zoo.refuses(import, bytes, &[&format!("`{import}`"), "does not offer"])
            .await;
    }
    // Of a package that is offered, what is not in it.
    let unknown = Guest {
        component: r#"(import "wasi:cli/shell@0.2.0" (instance (export "run" (func))))"#.to_owned(),
        ..Guest::default()
    };
    zoo.refuses("wasi:cli/shell", unknown.bytes(), &["wasi:cli/shell"])
        .await;
    let escape = component("(import \"a:b/\\1b]0;owned\\07\" (instance))");
    let answer = zoo.upload(escape, "").await.expect(422);
    assert!(
        !answer.text().contains(['\x1b', '\x07']),
        "{}",
        answer.text()
    );
    zoo.close(place).await;
}

async fn precompiled(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let mut child = skep();
    child
        .args([
            "compile-component",
            "--cpu-s",
            "60",
            "--memory-bytes",
            "4000000000",
        ])
        .stdin(std::fs::File::open(guest("multiply")).unwrap())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let compiled = child.output().await.unwrap();
    assert!(compiled.status.success(), "{compiled:?}");
    assert!(compiled.stdout.len() > 100_000, "{}", compiled.stdout.len());
    zoo.refuses("a .cwasm", compiled.stdout, &["precompiled"])
        .await;
    let program = std::fs::read("/bin/true").unwrap();
    zoo.refuses("a program", program, &["precompiled"]).await;
    zoo.close(place).await;
}

/// A guest whose `functions()` answers these: names, summaries and schemas.
fn listing(functions: &[(String, String, Option<String>)]) -> Guest {
    let texts_at = FREE + functions.len() * 28;
    let mut records = Vec::new();
    let mut texts: Vec<u8> = Vec::new();
    for (name, summary, schema) in functions {
        let mut put = |text: &str| {
            let at = (texts_at + texts.len()) as u32;
            texts.extend(text.as_bytes());
            [at.to_le_bytes(), (text.len() as u32).to_le_bytes()].concat()
        };
        records.extend(put(name));
        records.extend(put(summary));
        records.extend(u32::from(schema.is_some()).to_le_bytes());
        records.extend(put(schema.as_deref().unwrap_or_default()));
    }
    records.extend(texts);
    let escaped: String = records.iter().map(|byte| format!("\\{byte:02x}")).collect();
    Guest {
        memory: (4 + records.len() / 65_536 + 1).to_string(),
        module: format!("(data (i32.const {FREE}) \"{escaped}\")"),
        functions: format!(
            "(i32.store (i32.const 1080) (i32.const {FREE})) (i32.store (i32.const 1084) (i32.const {})) i32.const 1080",
            functions.len()
        ),
        handle: answer("ok"),
        ..Guest::default()
    }
}

async fn what_functions_may_say(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let named = |name: &str| (name.to_owned(), "a function".to_owned(), None);
    for (what, functions, words) in [
        ("no functions", vec![], &["no functions"][..]),
        (
            "257 functions",
            (0..257).map(|n| named(&format!("f{n}"))).collect(),
            &["257", "256"],
        ),
        ("one twice", vec![named("f"), named("f")], &["twice"]),
        ("no name", vec![named("")], &["function name"]),
        ("a path", vec![named("../f")], &["function name"]),
        ("an escape", vec![named("f\x1b[2J")], &["f\\u{1b}[2J"]),
        (
            "a name of 60 KB",
            vec![named(&"f".repeat(60_000))],
            &["function name"],
        ),
        (
            "a summary of 2 KB",
            vec![("f".to_owned(), "x".repeat(2_000), None)],
            &["2000", "1024"],
        ),
        (
            "no schema",
            vec![("f".to_owned(), String::new(), Some("{".to_owned()))],
            &["schema"],
        ),
        (
            "2 MB of schemas",
            (0..40)
                .map(|n| {
                    let schema = json!({"description": "x".repeat(50_000)}).to_string();
                    (format!("f{n}"), String::new(), Some(schema))
                })
                .collect(),
            &["schemas", "1048576"],
        ),
    ] {
        zoo.refuses(what, listing(&functions).bytes(), words).await;
    }
    // As many patterns as there may be, each as dear as there is: seconds of work.
    let patterns: Vec<_> = (0..60)
        .map(|n| json!({"pattern": format!("(\\w{{60}}){{{n}}}")}))
        .collect();
    let schema = json!({"anyOf": patterns}).to_string();
    let dear: Vec<_> = (0..250)
        .map(|n| (format!("f{n}"), String::new(), Some(schema.clone())))
        .collect();
    let bytes = listing(&dear).bytes();
    let upload = zoo.upload_as("f0", bytes, "");
    let answer = zoo
        .canary
        .beside(&zoo.server, "15,000 regular expressions", upload)
        .await;
    assert!(
        [200, 422].contains(&answer.status.as_u16()),
        "{}",
        answer.text()
    );
    // An honest one has its way afterwards.
    let honest = zoo
        .request(reqwest::Method::POST, "/consumer")
        .body(guest_bytes("multiply"));
    send(honest).await.expect(200);
    zoo.close(place).await;
}

on_both_stores! {
    too_many,
    doubled,
    foreign,
    precompiled,
    what_functions_may_say,
}

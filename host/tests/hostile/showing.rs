//! What strangers write, as people see it: no command and no log shows what a terminal
//! would obey, and no line looks like another one.

use reqwest::Method;
use serde_json::json;

use crate::guest::{FREE, Guest};
use crate::place::{Place, on_both_stores};
use crate::server::{send, skep};
use crate::zoo::Zoo;

/// Clears the screen, sets the title, and goes on with a line that is not the command's.
const EVIL: &str = "\x1b[2J\x1b]0;owned\x07\u{9b}31m\r\nstate      completed\u{202e}";

/// A guest that says all it can say with [`EVIL`] in it, and then this.
fn guest(then: &str) -> Guest {
    let (at, length) = (FREE, EVIL.len());
    let escaped: String = EVIL.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    Guest {
        module: format!("(data (i32.const {at}) \"{escaped}\")"),
        // The name stays `stranger`; the summary is not.
        functions: format!(
            "(i32.store (i32.const 1104) (i32.const {at})) (i32.store (i32.const 1108) (i32.const {length})) i32.const 1080"
        ),
        handle: format!(
            "(call $write (i32.const 2) (i32.const {at}) (i32.const {length}))
             (call $update-progress (i32.const 50) (i32.const 1) (i32.const {at}) (i32.const {length}) (i32.const 256))
             {}",
            then.replace("EVIL", &format!("(i32.const {at}) (i32.const {length})"))
        ),
        ..Guest::default()
    }
}

/// What a command prints, on stdout and stderr.
async fn prints(zoo: &Zoo, args: &[&str]) -> String {
    let mut command = skep();
    command
        .args(args)
        .args(["--url", &zoo.server.url, "--namespace", "stranger"]);
    let output = command.output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let obeyed = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
    assert!(!text.contains(obeyed), "{args:?}: {text:?}");
    text
}

async fn commands(mut place: Place) {
    let zoo = Zoo::open(&mut place).await;
    let completes = guest("(call $output (i32.const 1) EVIL EVIL EVIL)");
    zoo.upload(completes.bytes(), "").await.expect(200);
    assert!(prints(&zoo, &["functions"]).await.contains("\\u{1b}[2J"));
    let completed = zoo.post("stranger", &json!(null)).await;
    zoo.ended(&completed).await;
    let fails = guest("(call $fail (i32.const 1) EVIL)");
    zoo.upload(fails.bytes(), "").await.expect(200);
    let failed = zoo.post("stranger", &json!(null)).await;
    zoo.ended(&failed).await;
    for id in [&completed, &failed] {
        for verb in ["logs", "get", "wait"] {
            let text = prints(&zoo, &[verb, id]).await;
            assert!(text.contains("\\u{1b}[2J"), "{verb}: {text}");
            let states = text.lines().filter(|line| line.starts_with("state  "));
            let shown = usize::from(verb == "get");
            assert_eq!(states.count(), shown, "{verb}: {text}");
        }
        prints(&zoo, &["get", id, "--json"]).await;
        prints(&zoo, &["logs", id, "--follow"]).await;
    }
    let text = prints(&zoo, &["result", &failed]).await;
    assert!(text.contains("\\u{1b}[2J"), "{text}");
    // With curl.
    for path in ["result", "log"] {
        let request = zoo.request(Method::GET, &format!("/jobs/{failed}/{path}"));
        let text = send(request).await.text();
        assert!(
            !text.contains(['\x1b', '\x07', '\u{9b}']),
            "{path}: {text:?}"
        );
    }
    zoo.close(place).await;
}

on_both_stores! {
    commands,
}

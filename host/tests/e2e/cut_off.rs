//! `skep post --file` that ends before its lines do, and goes on; and files that are no
//! good.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::place::Place;
use crate::server::{Server, run, skep};
use crate::stream::Stream;

const POST: [&str; 4] = ["post", "--function", "multiply", "--file"];

/// Lines from one on.
fn lines(numbers: std::ops::RangeInclusive<usize>) -> String {
    numbers.fold(String::new(), |mut text, n| {
        writeln!(text, r#"{{"arg1": {n}, "arg2": 2}}"#).unwrap();
        text
    })
}

fn file(text: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

/// `skep post` of this file to the end.
async fn post(server: &Server, file: &str, more: &[&str]) -> (Option<i32>, String, String) {
    run(skep()
        .args(["--url", &server.url])
        .args(POST)
        .arg(file)
        .args(more))
    .await
}

/// `skep post` of what is written to it.
fn post_stdin(server: &Server, more: &[&str]) -> Stream {
    Stream::start(&[&["--url", &server.url], &POST[..], &["-"], more].concat())
}

/// The line from which the command that was printed goes on.
fn goes_on_from(err: &str) -> &str {
    let (_, line) = err.rsplit_once("--from-line ").expect(err);
    line.split_whitespace().next().unwrap()
}

#[tokio::test]
async fn every_odd_line_is_named_and_the_good_ones_are_posted() {
    let server = Server::with("multiply").await;
    let mut text = b"\xef\xbb\xbf{\"arg1\": 1, \"arg2\": 2}\r\n\r\n".to_vec();
    text.extend_from_slice(b"\"\xff\"\n\0\0\n{\"arg1\": 3,\n");
    text.extend(vec![b' '; 100 << 20]);
    text.extend_from_slice(b"x\n{\"arg1\": 7}\n{\"arg1\": 8, \"arg2\": 2}");
    let file = file(text);
    let path = file.path().to_str().unwrap();
    let (code, out, err) = post(&server, path, &[]).await;
    assert_eq!((code, out.as_str()), (Some(1), "1\n2"), "{err}");
    for word in [
        "line 3: not JSON",
        "line 4: not JSON",
        "line 5: not JSON",
        "line 6: ",
        "line 7: ",
        "\"arg2\" is a required property",
        "5 lines were refused; the other 2 are queued",
    ] {
        assert!(err.contains(word), "{word}: {err}");
    }
    assert_eq!(server.ended("2").await["short_result"], "16");
}

#[tokio::test]
async fn a_run_begins_with_any_line_and_keeps_its_numbers() {
    let server = Server::with("multiply").await;
    let file = file(lines(1..=5) + "nope\n{\"arg1\": 7}\n" + &lines(8..=8));
    let path = file.path().to_str().unwrap();
    let more = ["--from-line", "5", "--json", "--idempotency-key", "run"];
    let (code, out, err) = post(&server, path, &more).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(
        err.contains("line 6: not JSON") && err.contains("line 7: "),
        "{err}"
    );
    let told: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&told[0], &told[2]),
        (&json!({"id": "1"}), &json!({"id": "2"}))
    );
    assert_eq!(told[1]["line"], 7);
    assert!(
        told[1]["problem"]["detail"]
            .as_str()
            .unwrap()
            .contains("arg2")
    );
    assert_eq!(server.json("/jobs/2").await["idempotency_key"], "run:8");
    // All of it was done.
    let (code, out, err) = post(&server, path, &["--from-line", "9"]).await;
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    let (code, _, err) = post(&server, path, &["--from-line", "10"]).await;
    assert!(code == Some(2) && err.contains("has 8 lines"), "{err}");
}

#[tokio::test]
async fn what_is_no_file_of_messages_is_told() {
    let server = Server::with("multiply").await;
    let nothing = file("");
    let (code, out, err) = post(&server, nothing.path().to_str().unwrap(), &[]).await;
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("posted 0 jobs"), "{err}");
    let (code, _, err) = post(&server, "/", &[]).await;
    assert!(code == Some(2) && err.contains("is a directory"), "{err}");
    let utf16: Vec<u8> = "\u{feff}1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf16 = file(utf16);
    let (code, _, err) = post(&server, utf16.path().to_str().unwrap(), &[]).await;
    assert!(code == Some(2) && err.contains("iconv"), "{err}");
    let closed = "exec \"$0\" --url \"$1\" post -f multiply --file - <&-";
    let closed = tokio::process::Command::new("sh")
        .args(["-c", closed, env!("CARGO_BIN_EXE_skep"), &server.url])
        .output();
    let closed = closed.await.unwrap();
    assert!(
        closed.status.success(),
        "{}",
        String::from_utf8_lossy(&closed.stderr)
    );
    let (code, _, err) = run(skep().args(["post", "1", "--from-line", "2"])).await;
    assert!(code == Some(2) && err.contains("--file"), "{err}");
}

#[tokio::test]
async fn a_pipe_with_a_name_is_read_as_it_is_written() {
    let server = Server::with("multiply").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messages");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let arguments = [
        &["--url", &server.url],
        &POST[..],
        &[path.to_str().unwrap()],
    ]
    .concat();
    let mut posting = Stream::start(&arguments);
    let mut writer = tokio::task::spawn_blocking({
        let path = path.clone();
        // It opens once there is a reader.
        move || std::fs::OpenOptions::new().write(true).open(path).unwrap()
    })
    .await
    .unwrap();
    for id in 1..=2 {
        writer.write_all(lines(id..=id).as_bytes()).unwrap();
        assert_eq!(posting.line().await, id.to_string());
    }
    drop(writer);
    posting.rest().await.expect(0, &["posted 2 jobs"]);
}

/// Posts half of the lines, kills the server, and goes on with the whole input from the
/// line that was named.
async fn killed_and_gone_on(mut place: Place) {
    let server = place.with("multiply", &["--no-worker"]).await;
    let key = ["--idempotency-key", "run"];
    let mut posting = post_stdin(&server, &key);
    posting.write(lines(1..=700)).await;
    for id in 1..=700 {
        assert_eq!(posting.line().await, id.to_string());
    }
    place.kill(server).await;
    posting.write(lines(701..=900)).await;
    let rest = posting.end().await;
    rest.expect(
        3,
        &["700 jobs were queued", "the same input from its beginning"],
    );
    let from = goes_on_from(&rest.err);
    assert_eq!(from, "701", "{}", rest.err);
    let server = place.server(&["--no-worker"]).await;
    let mut posting = post_stdin(&server, &[&key[..], &["--from-line", from]].concat());
    posting.write(lines(1..=900)).await;
    let rest = posting.end().await;
    rest.expect(0, &["posted 200 jobs"]);
    assert_eq!(server.json("/queue").await["posted"], 900);
    // What was done before can be done again.
    let mut posting = post_stdin(&server, &[&key[..], &["--from-line", "600"]].concat());
    posting.write(lines(1..=900)).await;
    assert!(posting.end().await.out.starts_with("600\n"));
    assert_eq!(server.json("/queue").await["posted"], 900);
}

#[tokio::test]
async fn a_server_that_is_killed_midway_is_gone_on_with() {
    killed_and_gone_on(Place::directory()).await;
}

#[tokio::test]
async fn a_host_on_redis_that_is_killed_midway_is_gone_on_with() {
    killed_and_gone_on(Place::redis()).await;
}

#[tokio::test]
async fn without_a_key_it_is_said_what_may_be_posted_twice() {
    let server = Server::with("multiply").await;
    let mut posting = post_stdin(&server, &[]);
    posting.write(lines(1..=2)).await;
    posting.until(|line| line == "2").await;
    let _directory = server.kill().await;
    posting.write(lines(3..=3)).await;
    let rest = posting.end().await;
    rest.expect(
        3,
        &[
            "--from-line 3",
            "from line 3 on",
            "twice",
            "--idempotency-key",
        ],
    );
}

#[tokio::test]
async fn an_interrupt_lets_what_was_sent_be_answered_and_says_where_it_stopped() {
    let server = Server::with("multiply").await;
    let mut posting = post_stdin(&server, &["--token="]);
    posting.write(lines(1..=3)).await;
    posting.until(|line| line == "3").await;
    posting.signal(Signal::INT);
    // Its input is still open.
    let rest = posting.rest().await;
    rest.expect(130, &["interrupted; 3 jobs were queued", "--from-line 4"]);
    assert!(!rest.err.contains("twice"), "{}", rest.err);
}

#[tokio::test]
async fn ids_that_cannot_be_written_are_told() {
    let server = Server::with("multiply").await;
    let file = file(lines(1..=3));
    let path = file.path().to_str().unwrap();
    for (key, from) in [(&[][..], "4"), (&["--idempotency-key", "k"], "1")] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = skep()
            .args(["--url", &server.url])
            .args(POST)
            .arg(path)
            .args(key)
            .stdout(Stdio::from(full))
            .stderr(Stdio::piped())
            .spawn();
        let output = output.unwrap().wait_with_output().await.unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(
            err.contains("No space left") && err.contains("3 jobs were queued"),
            "{err}"
        );
        assert!(err.contains("the ids from line 1 on"), "{err}");
        assert_eq!(goes_on_from(&err), from, "{err}");
    }
    // A pipe that is closed early.
    let head = "\"$0\" --url \"$1\" post -f multiply --file \"$2\" 2>&1 >&3 | cat >&2";
    let script = format!("{{ {head}; }} 3>&1 | true");
    let closed = tokio::process::Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_skep"), &server.url, path])
        .output();
    let err = String::from_utf8(closed.await.unwrap().stderr).unwrap();
    assert!(!err.contains("panicked"), "{err}");
}

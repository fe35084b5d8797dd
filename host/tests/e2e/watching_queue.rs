//! `skep queue status --watch`, in a pipe and on a terminal.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::process::Process;
use crate::server::{PATIENCE, Server, skep};
use crate::stream::Stream;

const WATCH: [&str; 3] = ["queue", "status", "--watch"];

#[tokio::test]
async fn a_pipe_gets_a_line_each_second_also_after_a_restart() {
    let server = Server::with("multiply").await;
    let mut watching = Stream::start(&[&["--url", &server.url], &WATCH[..]].concat());
    let first = watching.line().await;
    assert!(
        first.starts_with("queued 0 ") && !first.contains('\x1b'),
        "{first}"
    );
    server.post("multiply", json!({"arg1": 1, "arg2": 2})).await;
    watching.until(|line| line.contains("completed 1 ")).await;
    let address = server.address().to_owned();
    let directory = server.kill().await;
    let store = crate::server::store_of(&directory);
    let serve = ["serve", "--listen", &address, "--store", &store];
    let server = Server::of(Process::start(serve), directory).await;
    server.post("multiply", json!({"arg1": 1, "arg2": 2})).await;
    watching.until(|line| line.contains("completed 2 ")).await;
    watching.signal(Signal::INT);
    let rest = watching.rest().await;
    rest.expect(130, &[]);
    assert!(!rest.err.contains("error"), "{}", rest.err);
}

#[tokio::test]
async fn a_program_gets_objects_with_rates() {
    let server = Server::with("multiply").await;
    let mut watching = Stream::start(&[&["--url", &server.url, "--json"], &WATCH[..]].concat());
    let first: Value = serde_json::from_str(&watching.line().await).unwrap();
    assert_eq!(
        (&first["queued"], &first["empty_in_s"]),
        (&json!(0), &json!(0))
    );
    server.post("multiply", json!({"arg1": 1, "arg2": 2})).await;
    watching
        .until(|line| {
            let told: Value = serde_json::from_str(line).unwrap();
            told["ended_per_s"].as_f64().unwrap() > 0.0
        })
        .await;
    watching.signal(Signal::INT);
    watching.rest().await.expect(130, &[]);
}

#[tokio::test]
async fn a_server_that_was_never_there_is_an_error() {
    let watching = Stream::start(&[&["--url", "http://127.0.0.1:9"], &WATCH[..]].concat());
    watching.rest().await.expect(3, &["skep serve"]);
}

/// A command on a terminal of its own.
struct Terminal {
    child: Child,
    screen: tokio::fs::File,
    shown: String,
}

impl Terminal {
    fn start(columns: u16, arguments: &[&str]) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&screen, size).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
        let open = || OwnedFd::from(File::options().read(true).write(true).open(&name).unwrap());
        let child = skep()
            .args(arguments)
            .env("TERM", "xterm")
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        Self {
            child,
            screen: tokio::fs::File::from_std(File::from(screen)),
            shown: String::new(),
        }
    }

    /// Reads until something has been shown.
    async fn until(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.shown.contains(text) {
            let mut some = vec![0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.screen.read(&mut some)).await;
            let read = read.expect("it shows nothing more").unwrap();
            self.shown.push_str(&String::from_utf8_lossy(&some[..read]));
            assert!(
                begun.elapsed() < PATIENCE,
                "{text:?} is not in: {:?}",
                self.shown
            );
        }
    }
}

#[tokio::test]
async fn a_narrow_terminal_is_drawn_over_in_place() {
    let server = Server::with("multiply").await;
    let arguments = [&["--url", &server.url], &WATCH[..]].concat();
    let mut terminal = Terminal::start(20, &arguments);
    terminal.until("Completed: 0").await;
    terminal.until("Empty in: 00:00:00").await;
    terminal.shown.clear();
    server.post("multiply", json!({"arg1": 1, "arg2": 2})).await;
    terminal.until("Completed: 1").await;
    let goes_up = |code: &str| {
        code.trim_start_matches(|c: char| c.is_ascii_digit())
            .starts_with('A')
    };
    let shown = &terminal.shown;
    assert!(shown.split("\x1b[").skip(1).any(goes_up), "{shown:?}");
    let pid = rustix::process::Pid::from_raw(terminal.child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let ended = tokio::time::timeout(PATIENCE, terminal.child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(130));
}

//! A `skep` command that reads and writes lines while it runs.

use std::io::ErrorKind;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::server::{PATIENCE, skep};

/// A running command. Killed when it is dropped.
pub(crate) struct Stream {
    child: Child,
    pub(crate) input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    errors: JoinHandle<String>,
}

/// What was left of it.
pub(crate) struct Rest {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Stream {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = skep()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let errors = tokio::spawn(async move {
            let mut text = String::new();
            stderr.read_to_string(&mut text).await.unwrap();
            text
        });
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            errors,
            child,
        }
    }

    /// Gives it something to read, unless it has ended.
    pub(crate) async fn write(&mut self, text: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        let written = timeout(PATIENCE, input.write_all(text.as_ref())).await;
        match written.expect("it reads no more") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
    }

    /// The next line that it writes.
    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.output.next_line()).await;
        line.expect("it writes no line")
            .unwrap()
            .expect("it writes no more")
    }

    /// The lines until one is as it should be, which is the last.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.line().await;
            if is_it(&line) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().unwrap().cast_signed();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for its end; its input stays open if it is.
    pub(crate) async fn rest(mut self) -> Rest {
        let mut out = String::new();
        let end = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                out.push_str(&line);
                out.push('\n');
            }
            self.child.wait().await.unwrap()
        };
        let ended = timeout(PATIENCE, end).await.expect("it does not end");
        Rest {
            code: ended.code(),
            out,
            err: self.errors.await.unwrap(),
        }
    }

    /// As [`rest`](Self::rest), with no more to read.
    pub(crate) async fn end(mut self) -> Rest {
        self.input = None;
        self.rest().await
    }
}

impl Rest {
    /// Fails the test unless it ended with this code and said all of these.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }
}

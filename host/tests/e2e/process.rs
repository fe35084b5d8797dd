//! A `skep` process under test: what it says, how it is signalled, how it ends.

use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use crate::server::PATIENCE;

/// A running process. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    said: Arc<Said>,
}

#[derive(Default)]
struct Said {
    text: Mutex<String>,
    more: Notify,
}

impl Process {
    pub(crate) fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = crate::server::skep();
        command.args(args);
        Self::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let said = Arc::new(Said::default());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // Read to the end, or the process would stop at a full pipe.
        tokio::spawn({
            let said = said.clone();
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    said.text.lock().unwrap().push_str(&format!("{line}\n"));
                    said.more.notify_one();
                }
                said.text.lock().unwrap().push_str("(end)\n");
                said.more.notify_one();
            }
        });
        Self { child, said }
    }

    /// What it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        self.said.text.lock().unwrap().clone()
    }

    /// Waits until it has said this, and answers the line.
    pub(crate) async fn until_said(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let said = self.said();
            if let Some(line) = said.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(
                !said.ends_with("(end)\n") && begun.elapsed() < PATIENCE,
                "it does not say {text:?}: {said}"
            );
            let _ = tokio::time::timeout(PATIENCE, self.said.more.notified()).await;
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().unwrap().cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for its end, and answers the exit code.
    pub(crate) async fn exit(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap().unwrap().code()
    }
}

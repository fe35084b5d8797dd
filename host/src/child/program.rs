//! The parent's side: a command of this binary runs in a child process, is fed, listened to, and
//! waited for. Not here: what comes out, and what is told to whoever asked for it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::{Bounds, FAILED, MAX_COMPLAINT_BYTES, REFUSED};
use crate::job::printable;

/// What is run in child processes.
#[derive(Debug)]
pub(crate) struct Program {
    /// This binary of skep.
    pub(crate) binary: PathBuf,
    /// Its command.
    pub(crate) command: &'static str,
    /// All of a child's environment: it inherits nothing.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// What a child may take.
    pub(crate) bounds: Bounds,
    /// Its wall-clock time.
    pub(crate) time: Duration,
}

/// Why a child did not do its work.
#[derive(Debug)]
pub(crate) enum ChildError {
    /// What it was given is at fault; this is its complaint.
    Refused(String),
    /// This host is at fault; this is its complaint.
    Failed(String),
    /// It did not survive within these bounds.
    Died(Bounds),
    /// It took longer than this.
    TimedOut(Duration),
    /// It could not be started, or not be waited for.
    Io(std::io::Error),
}

impl Program {
    /// Runs a child that gets `input` on its stdin; `receive` has its stdout. It is killed when
    /// nobody waits for it any more.
    pub(crate) async fn run<T, E, R>(
        &self,
        input: &[&[u8]],
        receive: impl FnOnce(ChildStdout) -> R,
    ) -> Result<T, E>
    where
        E: From<ChildError>,
        R: Future<Output = Result<T, E>>,
    {
        let run = async {
            let mut child = self.spawn().map_err(ChildError::Io)?;
            let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
                return Err(ChildError::Io(std::io::Error::other("it has no pipes")).into());
            };
            let (feed, listen) = (feed(stdin, input), listen(stderr));
            let ((), complaint, received, status) =
                tokio::join!(feed, listen, receive(stdout), child.wait());
            // First: a child whose output is not taken any more fails too.
            let received = received?;
            let status = status.map_err(ChildError::Io)?;
            self.succeeded(status, complaint)?;
            Ok(received)
        };
        let run = tokio::time::timeout(self.time, run).await;
        run.unwrap_or_else(|_| Err(ChildError::TimedOut(self.time).into()))
    }

    /// What the exit of a child says.
    fn succeeded(&self, status: ExitStatus, complaint: String) -> Result<(), ChildError> {
        match status.code() {
            Some(0) => Ok(()),
            Some(REFUSED) => Err(ChildError::Refused(complaint)),
            Some(FAILED) => Err(ChildError::Failed(complaint)),
            _ => {
                let command = self.command;
                tracing::warn!(command, %status, complaint, "a child process did not survive");
                Err(ChildError::Died(self.bounds))
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(&self.binary)
            .arg(self.command)
            .args(self.bounds.args())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            // A Ctrl-C at the terminal asks the host to stop in its own time.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Gives the child all of `input`, and then the end of it.
async fn feed(mut stdin: ChildStdin, input: &[&[u8]]) {
    for part in input {
        // A child that refuses early closes its end; its exit tells why.
        if stdin.write_all(part).await.is_err() {
            return;
        }
    }
}

/// What the child complains of.
async fn listen(mut stderr: ChildStderr) -> String {
    let mut complaint = Vec::new();
    let mut some = (&mut stderr).take(MAX_COMPLAINT_BYTES as u64);
    let _ = some.read_to_end(&mut complaint).await;
    // What a library says besides must not stop it.
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    let complaint = String::from_utf8_lossy(&complaint);
    printable(complaint.trim(), |c| c == '\n').into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a child that is this script of a shell, and that is given `abc`.
    async fn child(script: &str, time: Duration) -> Result<Vec<u8>, ChildError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("script");
        std::fs::write(&file, script).unwrap();
        let program = Program {
            binary: "/bin/sh".into(),
            // The shell is told the script's name where skep is told a command.
            command: file.to_str().unwrap().to_owned().leak(),
            environment: vec![("GIVEN", "given".into())],
            bounds: Bounds::here(7),
            time,
        };
        let receive = async |mut stdout: ChildStdout| {
            let mut all = Vec::new();
            let read = stdout.read_to_end(&mut all).await;
            read.map(|_| all).map_err(ChildError::Io)
        };
        program.run(&[b"a", b"bc"], receive).await
    }

    /// Longer than any script here runs.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_child_is_fed_and_heard_and_has_only_the_environment_that_it_is_given() {
        let out = child(
            "cat; printf ' %s %s|%s' \"$1\" \"$2\" \"$GIVEN$HOME\"",
            LONG,
        )
        .await;
        assert_eq!(out.unwrap(), b"abc --cpu-s 7|given");
    }

    #[tokio::test]
    async fn how_a_child_ends_tells_who_is_at_fault() {
        let refused = child("echo no >&2; exit 3", LONG).await;
        assert!(matches!(refused, Err(ChildError::Refused(text)) if text == "no"));
        let failed = child("echo no >&2; exit 4", LONG).await;
        assert!(matches!(failed, Err(ChildError::Failed(text)) if text == "no"));
        for died in ["kill -9 $$", "exit 1"] {
            let died = child(died, LONG).await;
            assert!(matches!(died, Err(ChildError::Died(_))), "{died:?}");
        }
        let slow = child("exec sleep 600", Duration::from_millis(50)).await;
        assert!(matches!(slow, Err(ChildError::TimedOut(_))), "{slow:?}");
    }

    #[tokio::test]
    async fn a_child_that_complains_at_length_is_cut_short_and_not_stopped() {
        // More than a pipe holds: it would wait for who does not read, and die of who hangs up.
        const COMPLAIN: &str =
            "i=0; while [ $i -lt 100 ]; do printf %04096d 0 >&2 || exit 9; i=$((i+1)); done; ";
        let done = child(&format!("{COMPLAIN} cat"), LONG).await;
        assert_eq!(done.unwrap(), b"abc");
        let refused = child(&format!("{COMPLAIN} exit 3"), LONG).await;
        assert!(
            matches!(&refused, Err(ChildError::Refused(text)) if text.len() == MAX_COMPLAINT_BYTES),
            "{refused:?}"
        );
    }
}

//! A server process that ends when the process that started it does, in whatever
//! way that ends.
//!
//! A shell starts the server and reads the names of signals from a pipe whose other
//! end only we hold. When we are gone, by `exit`, by a panic or by `kill -9`, the
//! kernel closes the pipe; the shell then kills the server and removes its
//! directory. Signals go by the same way: the shell is the server's parent, so that
//! its process id is never another process's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// The file in the server's directory that its output goes to.
pub(crate) const LOG: &str = "server.log";

const GUARD: &str = r#"
directory=$1
shift
exec 3<&0
"$@" </dev/null >>server.log 2>&1 &
server=$!
(
    while read -r signal; do kill -s "$signal" "$server" 2>/dev/null; done
    trap '' TERM
    kill -s KILL "$server" 2>/dev/null
    cd / && rm -rf "$directory"
) <&3 >/dev/null 2>&1 &
guard=$!
echo "$server"
wait "$server"
kill "$guard"
"#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Guarded {
    shell: Child,
    signals: Option<ChildStdin>,
    /// The server's process id.
    pub(crate) pid: u32,
}

impl Guarded {
    /// Starts `program` in `directory`, which belongs to it from now on.
    pub(crate) fn start(directory: &Path, program: &str, args: &[String]) -> Self {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(directory)
            .arg(program)
            .args(args)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C is for us; the guard then sees the pipe close.
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        let signals = shell.stdin.take();
        let mut line = String::new();
        let mut said = BufReader::new(shell.stdout.take().expect("the shell's output"));
        said.read_line(&mut line).expect("the shell answers");
        let pid = line.trim().parse().expect("the shell tells a process id");
        Self {
            shell,
            signals,
            pid,
        }
    }

    /// Sends a signal, such as `KILL`.
    pub(crate) fn signal(&mut self, name: &str) {
        if let Some(signals) = &mut self.signals {
            // A server that has ended needs no signal.
            let _ = writeln!(signals, "{name}").and_then(|()| signals.flush());
        }
    }

    /// Whether the server has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.shell.try_wait(), Ok(None))
    }

    /// Waits until the server has ended.
    pub(crate) fn wait(&mut self) {
        // The pipe stays open meanwhile: the directory is still needed.
        let _ = self.shell.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.signal("KILL");
        self.wait();
    }
}

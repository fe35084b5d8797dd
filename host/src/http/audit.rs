//! The audit log: who deployed, removed, cancelled, released, purged, made or revoked
//! what, and what came of it. One event each for the process's own log, and a line of
//! JSON for the file that the operator names, where strangers' names cannot begin a line.
//!
//! What cannot be written is done all the same, and said loudly: a disk that is full must
//! keep nobody from revoking a token (`docs/adr/0011`).

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::access::TokenId;
use crate::time::now_ms;

/// How much of an object's name is kept, in characters: more than any path that leads
/// anywhere.
const MAX_OBJECT_CHARS: usize = 512;

/// Where the audit log goes.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    file: Option<Arc<Mutex<File>>>,
}

/// What somebody is about to do.
pub(super) struct Deed {
    /// The address that they come from.
    pub(super) peer: Option<SocketAddr>,
    /// The token that they showed; none on a loopback address.
    pub(super) token: Option<TokenId>,
    /// The namespace that they do it in.
    pub(super) namespace: String,
    /// To what: the path, unless the handler says it better.
    pub(super) object: String,
}

/// Says in an answer what was done to what, where the path does not.
#[derive(Clone)]
pub(super) struct Concerns(pub(super) String);

/// A deed under way. It is noted when it has ended, also if the client has gone away
/// before it had.
pub(super) struct Audited {
    audit: Audit,
    action: &'static str,
    deed: Option<Deed>,
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    at_ms: u64,
    action: &'a str,
    object: String,
    outcome: &'a str,
    status: Option<u16>,
    namespace: &'a str,
    token: String,
    peer: String,
}

impl Audit {
    /// An audit log that also goes to a file, which is made if it is not there, for this
    /// user alone.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn to_file(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: Some(Arc::new(Mutex::new(file))),
        })
    }

    /// Begins to watch a deed.
    pub(super) fn begin(&self, action: &'static str, deed: Deed) -> Audited {
        Audited {
            audit: self.clone(),
            action,
            deed: Some(deed),
        }
    }

    fn note(&self, line: &Line<'_>) {
        tracing::info!(
            target: "skep::audit",
            action = line.action,
            object = ?line.object,
            outcome = line.outcome,
            status = line.status,
            namespace = line.namespace,
            token = line.token,
            peer = line.peer,
            "audit"
        );
        let Some(file) = &self.file else { return };
        let text = match serde_json::to_string(line) {
            Ok(text) => text + "\n",
            Err(error) => return tracing::error!(%error, "a deed has no JSON"),
        };
        // Whole lines, one after the other, none of them kept back.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(text.as_bytes()) {
            tracing::error!(%error, "the audit log cannot be written; make room for it");
        }
    }
}

impl Audited {
    /// Notes how it ended.
    pub(super) fn end(mut self, response: &mut Response) {
        let status = response.status();
        let concerns = response.extensions_mut().remove::<Concerns>();
        let outcome = match status {
            StatusCode::FORBIDDEN => "denied",
            status if status.is_success() => "done",
            _ => "failed",
        };
        self.note(outcome, Some(status), concerns.map(|concerns| concerns.0));
    }

    fn note(&mut self, outcome: &str, status: Option<StatusCode>, object: Option<String>) {
        let Some(deed) = self.deed.take() else { return };
        let object = object.unwrap_or(deed.object);
        let token = deed.token.map(|id| id.to_string());
        self.audit.note(&Line {
            at_ms: now_ms(),
            action: self.action,
            object: object.chars().take(MAX_OBJECT_CHARS).collect(),
            outcome,
            status: status.map(|status| status.as_u16()),
            namespace: &deed.namespace,
            token: token.unwrap_or_else(|| "loopback".to_owned()),
            peer: shown(deed.peer),
        });
    }
}

impl Drop for Audited {
    /// The client went away, and with it the handler: it may be done, or not.
    fn drop(&mut self) {
        self.note("cut off", None, None);
    }
}

/// An address for people; unknown only where no server put it beside the request.
pub(super) fn shown(peer: Option<SocketAddr>) -> String {
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use axum::response::IntoResponse as _;
    use serde_json::Value;

    use super::*;

    fn deed(object: &str) -> Deed {
        Deed {
            peer: "192.0.2.1:7".parse().ok(),
            token: None,
            namespace: "default".to_owned(),
            object: object.to_owned(),
        }
    }

    #[test]
    fn a_deed_is_a_line_whatever_its_name_and_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        let forged = "x\n{\"action\":\"forged\"}\r\u{2028}\x1b[2J";
        // Opened again, it goes on.
        for _ in 0..2 {
            let audit = Audit::to_file(&path).unwrap();
            audit
                .begin("deploy", deed(forged))
                .end(&mut StatusCode::OK.into_response());
            let mut refused = StatusCode::FORBIDDEN.into_response();
            refused.extensions_mut().insert(Concerns("f".repeat(9_999)));
            audit.begin("purge", deed("/")).end(&mut refused);
            drop(audit.begin("cancel", deed("/jobs/1")));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = (text.lines())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert_eq!(lines[0]["object"], forged);
        assert_eq!(lines[0]["token"], "loopback");
        let outcomes: Vec<_> = lines.iter().map(|line| &line["outcome"]).collect();
        assert_eq!(outcomes[3..], ["done", "denied", "cut off"]);
        assert_eq!(lines[1]["object"].as_str().unwrap().len(), MAX_OBJECT_CHARS);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

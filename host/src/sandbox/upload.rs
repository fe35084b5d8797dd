//! What an upload must be before it may serve jobs, and what it offers.
//!
//! The checks go from cheap to dear: its size and first bytes, its imports and
//! exports by name, compilation in a child process, its types, and at last its own
//! `functions()` in a sandbox where host calls are denied.

use std::collections::HashSet;

use bytes::Bytes;
use wasmparser::{Encoding, Parser, Payload};

use super::Sandbox;
use super::attempt::ask_functions;
use crate::job::{Digest, FunctionName};
use crate::schema::MessageSchema;

/// The largest component, in bytes. Interpreters of Python and JavaScript make up
/// 12 to 18 MB.
pub const MAX_COMPONENT_BYTES: usize = 64 << 20;

/// The most functions of one component: more are surely generated, and each costs
/// a record.
const MAX_FUNCTIONS: usize = 256;

/// The longest summary, in bytes: a line in a listing.
const MAX_SUMMARY_BYTES: usize = 1024;

/// The interface that every component exports.
const HANDLER: &str = "skep:jobs/handler@0.1.0";

/// What a component may import: prefixes of interface names.
const OFFERED: [&str; 10] = [
    "skep:jobs/types@0.1.",
    "skep:jobs/queue@0.1.",
    "skep:jobs/inference@0.1.",
    "skep:jobs/log@0.1.",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Why an upload was not admitted, or a component could not be prepared.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdmitError {
    /// The component is at fault; the text says what and how to mend it.
    #[error("{0}")]
    Refused(String),
    /// Compiling it takes more than this host gives; one that has less to do, or more
    /// memory, may succeed.
    #[error("{0}")]
    TooHard(String),
    /// It is larger than allowed.
    #[error("{0}")]
    TooLarge(String),
    /// The host is at fault.
    #[error("{0}")]
    Host(String),
}

/// A function that a component offers.
#[derive(Clone, Debug)]
pub struct OfferedFunction {
    /// Its name.
    pub name: FunctionName,
    /// One line for people.
    pub summary: String,
    /// A JSON Schema that messages must fit; it has been parsed once.
    pub message_schema: Option<String>,
}

/// What an admitted component offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The component.
    pub component: Digest,
    /// Its functions, in its own order.
    pub functions: Vec<OfferedFunction>,
}

/// The parent's part: everything from the bytes to the offer.
pub(super) async fn admit(sandbox: &Sandbox, bytes: &Bytes) -> Result<Offer, AdmitError> {
    check_size(bytes)?;
    let digest = Digest::of(bytes);
    let prepared = sandbox
        .prepare_from(digest, async || Ok(bytes.clone()))
        .await?;
    let functions = ask_functions(sandbox, &prepared).await?;
    Ok(Offer {
        component: digest,
        functions: check_functions(functions)?,
    })
}

fn check_size(bytes: &[u8]) -> Result<(), AdmitError> {
    if bytes.is_empty() {
        return Err(AdmitError::Refused(
            "the upload is empty; send the bytes of a WASM component".to_owned(),
        ));
    }
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(AdmitError::TooLarge(format!(
            "the component has {} bytes, {MAX_COMPONENT_BYTES} are allowed; strip it or optimise it for size",
            bytes.len()
        )));
    }
    Ok(())
}

/// Looks at the names in a component without compiling it. Runs in the compiler's
/// process.
pub(super) fn look(bytes: &[u8]) -> Result<(), String> {
    let broken = |error: wasmparser::BinaryReaderError| {
        format!("not a whole WASM component: {error}; was it truncated on its way?")
    };
    if !bytes.starts_with(b"\0asm") {
        return Err("not a WASM component: it does not begin with `\\0asm`; upload the .wasm file that the build wrote".to_owned());
    }
    let mut depth = 0_u32;
    let mut exports_handler = false;
    let mut foreign = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => {
                return Err("a core WASM module, not a component; build for a component (`cargo build --target wasm32-wasip2`, or scripts/build-guests), or wrap it with `wasm-tools component new`".to_owned());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import.map_err(broken)?.name.name;
                    if !OFFERED.iter().any(|offered| name.starts_with(offered)) {
                        foreign.push(format!("`{name}`"));
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports_handler |= export.map_err(broken)?.name.name == HANDLER;
                }
            }
            _ => {}
        }
    }
    if !foreign.is_empty() {
        return Err(format!(
            "the component imports {}, which skep does not offer; it offers skep:jobs@0.1.0 and WASI 0.2 (cli, clocks, filesystem, io, random, sockets)",
            foreign.join(", ")
        ));
    }
    if !exports_handler {
        return Err(format!(
            "the component does not export `{HANDLER}`; build it against the world `listener` in skep's wit/ folder"
        ));
    }
    Ok(())
}

fn check_functions(
    functions: Vec<super::bindings::types::FunctionInfo>,
) -> Result<Vec<OfferedFunction>, AdmitError> {
    let refused = |text: String| Err(AdmitError::Refused(text));
    if functions.is_empty() {
        return refused("the component lists no functions".to_owned());
    }
    if functions.len() > MAX_FUNCTIONS {
        return refused(format!(
            "the component lists {} functions, {MAX_FUNCTIONS} are allowed; split it",
            functions.len()
        ));
    }
    let mut names = HashSet::new();
    let mut offered = Vec::with_capacity(functions.len());
    for function in functions {
        let name: FunctionName = match function.name.parse() {
            Ok(name) => name,
            Err(error) => return refused(error.to_string()),
        };
        if !names.insert(name.clone()) {
            return refused(format!(
                "the component lists the function `{name}` twice; give each its own name"
            ));
        }
        if function.summary.len() > MAX_SUMMARY_BYTES {
            return refused(format!(
                "the summary of `{name}` has {} bytes, {MAX_SUMMARY_BYTES} are allowed",
                function.summary.len()
            ));
        }
        if let Some(Err(error)) = function.message_schema.as_deref().map(MessageSchema::parse) {
            return refused(format!("the message schema of `{name}`: {error}"));
        }
        offered.push(OfferedFunction {
            name,
            summary: function.summary,
            message_schema: function.message_schema,
        });
    }
    Ok(offered)
}

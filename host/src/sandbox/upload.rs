//! What an upload must be before it may serve jobs, and what it offers.
//!
//! The checks go from cheap to dear: its size and first bytes, then in a child process
//! its imports, exports and the number of everything ([`look`](super::look)) and its
//! compilation, then its types, and at last its own `functions()` in a sandbox where host
//! calls are denied.

use std::collections::HashSet;

use bytes::Bytes;

use super::Sandbox;
use super::attempt::ask_functions;
use super::look::glance;
use crate::job::{Digest, FunctionName, Namespace};
use crate::schema::MessageSchema;

/// The largest component, in bytes. Interpreters of Python and JavaScript make up
/// 12 to 18 MB.
pub const MAX_COMPONENT_BYTES: usize = 64 << 20;

/// The most functions of one component: more are surely generated, and each costs
/// a record.
const MAX_FUNCTIONS: usize = 256;

/// The longest summary, in bytes: a line in a listing.
const MAX_SUMMARY_BYTES: usize = 1024;

/// What the message schemas of one component may have together, in bytes: each is read
/// and weighed at upload, and stands in every listing.
const MAX_SCHEMAS_BYTES: usize = 1 << 20;

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
    /// Too many uploads wait already.
    #[error("{0}")]
    Busy(String),
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

/// Everything from the bytes to the offer.
pub(super) async fn admit(
    sandbox: &Sandbox,
    namespace: &Namespace,
    bytes: &Bytes,
) -> Result<Offer, AdmitError> {
    check_size(bytes)?;
    glance(bytes).map_err(AdmitError::Refused)?;
    let digest = Digest::of(bytes);
    let place = sandbox.line.join(namespace, bytes.len())?;
    let _front = place.front().await;
    if let Some(error) = sandbox.offended.of(digest) {
        return Err(error);
    }
    let prepared = sandbox
        .prepare_from(digest, async || Ok(bytes.clone()))
        .await?;
    let offer = async {
        let functions = ask_functions(sandbox, &prepared).await?;
        // Regular expressions in schemas are compiled to see how large they are.
        let functions = tokio::task::spawn_blocking(|| check_functions(functions))
            .await
            .map_err(|error| AdmitError::Host(format!("checking the functions: {error}")))??;
        Ok(Offer {
            component: digest,
            functions,
        })
    };
    offer
        .await
        .inspect_err(|error| sandbox.offended.remember(digest, error))
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
    let schemas = functions.iter().filter_map(|f| f.message_schema.as_ref());
    let schemas_bytes: usize = schemas.map(String::len).sum();
    if schemas_bytes > MAX_SCHEMAS_BYTES {
        return refused(format!(
            "the component's message schemas have {schemas_bytes} bytes together, {MAX_SCHEMAS_BYTES} are allowed; shorten their descriptions or split the component"
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

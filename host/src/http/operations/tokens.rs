//! Access tokens.

use serde_json::json;

use super::super::code::Code;
use super::super::openapi::{JSON, Operation, TEXT, Tag, text};
use super::super::tokens::{Tokens, Wanted};
use crate::access::Issued;

pub(in crate::http) fn list() -> Operation {
    Operation::new(
        Tag::Tokens,
        "listTokens",
        "The access tokens of the namespace",
        "The oldest first, never with a secret. An admin of all namespaces sees all.",
    )
    .json::<Tokens>(
        200,
        "The tokens.",
        json!({"tokens": [{
            "id": "bb9c6a4eaeca", "namespace": "default", "scopes": ["post", "read"], "label": "web shop",
            "created_at_ms": 1_795_000_000_000_u64, "expires_at_ms": null,
        }]}),
    )
}

pub(in crate::http) fn create() -> Operation {
    let mut operation = Operation::new(
        Tag::Tokens,
        "createToken",
        "Makes an access token",
        "Its secret is in this answer, and never again. A namespace has at most 1,000.",
    );
    let wanted = operation.named::<Wanted>();
    operation
        .takes(JSON, wanted, Some(json!({"scopes": ["post", "read"], "label": "web shop"})))
        .answer(200, "The secret.", TEXT, text(), Some("skep_…".into()))
        .json::<Issued<'_>>(
            200,
            "The token.",
            json!({
                "id": "bb9c6a4eaeca", "namespace": "default", "scopes": ["post", "read"], "label": "web shop",
                "created_at_ms": 1_795_000_000_000_u64, "expires_at_ms": null, "token": "skep_…",
            }),
        )
        .leads_to(200, "revokeToken")
        .fails(&[
            Code::InsufficientReach,
            Code::TooManyTokens,
            Code::UnsupportedMediaType,
            Code::BadToken,
        ])
}

pub(in crate::http) fn revoke() -> Operation {
    Operation::new(
        Tag::Tokens,
        "revokeToken",
        "Revokes an access token",
        "It counts on no host after a second.",
    )
    .done(204, "It counts no more.")
    .fails(&[Code::UnknownToken])
}

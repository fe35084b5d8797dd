//! `skep token revoke`.

use reqwest::Method;
use serde_json::json;

use super::super::{Global, failure::Failure, output};
use super::{Place, owner};
use crate::access::TokenId;

/// Revoke tokens: within a second none of them counts any more, on any host
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep token revoke 3f9a1c2b7d4e\n  skep token revoke 3f9a1c2b7d4e --store redis://127.0.0.1:6379/0\n\nWith --json: {\"id\": \"3f9a1c2b7d4e\", \"revoked\": true} for each, on a line."
)]
pub(super) struct Args {
    /// The tokens, by the ids that `skep token list` shows
    #[arg(required = true, value_name = "ID")]
    ids: Vec<TokenId>,
    #[command(flatten)]
    place: Place,
}

/// Revokes each, and says so.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let store = args.place.open().await?;
    for id in args.ids {
        match &store {
            Some(store) => {
                let tokens = store.tokens_now().await?;
                let owner = owner(global);
                let theirs = tokens.get(id).is_some_and(|token| owner.oversees(token));
                if !theirs || !store.revoke_token(id).await? {
                    return Err(Failure::failed(format!(
                        "there is no access token {id} there; see `skep token list`"
                    )));
                }
            }
            None => {
                let client = global.client()?;
                let request = client.request(Method::DELETE, &format!("tokens/{id}"))?;
                client.send(request).await?;
            }
        }
        match global.json {
            true => output::line(&json!({"id": id, "revoked": true}).to_string())?,
            false => output::line(&format!("revoked {id}"))?,
        }
    }
    Ok(())
}

//! `skep token list`.

use reqwest::Method;
use serde::Deserialize;

use super::super::duration::span;
use super::super::output::{self, one_line};
use super::super::table::{Head, Table};
use super::super::{Global, failure::Failure};
use super::{Place, owner};
use crate::access::AccessToken;
use crate::time::now_ms;

/// List the tokens of the namespace, or of all; never their secrets
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep token list\n  skep token list --namespace acme\n\nWith --json: an object for each token on a line."
)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
}

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<AccessToken>,
}

/// Prints a table, or one JSON document a line.
pub(super) async fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let tokens = match args.place.open().await? {
        Some(store) => {
            let (all, owner) = (store.tokens_now().await?, owner(global));
            let listed = all.list().into_iter().filter(|token| owner.oversees(token));
            listed.cloned().collect()
        }
        None => {
            let client = global.client()?;
            let request = client.request(Method::GET, "tokens")?;
            client.json::<Tokens>(request).await?.tokens
        }
    };
    if global.json {
        return output::lines_of_json(&tokens);
    }
    if tokens.is_empty() {
        output::note("there are no access tokens; make one with `skep token create`");
        return Ok(());
    }
    let rows: Vec<_> = (tokens.iter()).map(|token| row(token, now_ms())).collect();
    let heads = ["ID", "NAMESPACE", "SCOPES", "MADE", "EXPIRES", "LABEL"].map(Head::Text);
    Table::new(heads, &[3, 1, 4]).print(&rows)
}

fn row(token: &AccessToken, now_ms: u64) -> [String; 6] {
    let expires = match token.expires_at_ms {
        None => "never".to_owned(),
        Some(at) if at <= now_ms => "expired".to_owned(),
        Some(at) => format!("in {}", span(at - now_ms)),
    };
    [
        token.id.to_string(),
        token.reach.to_string(),
        token.scopes.to_string(),
        format!("{} ago", span(now_ms.saturating_sub(token.created_at_ms))),
        expires,
        one_line(token.label.as_str()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Reach, Scope, StoredToken};

    const HOUR_MS: u64 = 3_600_000;
    const DAY_MS: u64 = 24 * HOUR_MS;

    #[test]
    fn a_row_says_when_it_was_made_and_when_it_ends() {
        let scopes = vec![Scope::Post, Scope::Read].try_into().unwrap();
        let label = "shop".parse().unwrap();
        let issued = StoredToken::issue(Reach::All, scopes, label, 0, Some(90 * DAY_MS));
        let token = issued.unwrap().0.token;
        let row = |now_ms| row(&token, now_ms)[1..].join("|");
        assert_eq!(row(3 * HOUR_MS), "*|post, read|3h ago|in 89d|shop");
        assert_eq!(row(90 * DAY_MS), "*|post, read|90d ago|expired|shop");
    }
}

//! `skep token list`.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::super::output::{self, plain};
use super::super::{Global, failure::Failure};
use super::{Place, failed, owner};
use crate::access::AccessToken;
use crate::time::now_ms;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// List the tokens of the namespace, or of all; never their secrets
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  skep token list\n  skep token list --namespace acme --json")]
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
            let (all, owner) = (store.tokens_now().await.map_err(failed)?, owner(global));
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
        return (tokens.iter()).try_for_each(|token| output::line(&json!(token).to_string()));
    }
    if tokens.is_empty() {
        output::note("there are no access tokens; make one with `skep token create`");
        return Ok(());
    }
    let rows: Vec<_> = (tokens.iter()).map(|token| row(token, now_ms())).collect();
    let header = ["ID", "NAMESPACE", "SCOPES", "MADE", "EXPIRES", "LABEL"];
    let header = header.map(str::to_owned);
    let width = |column: usize| {
        let cells = std::iter::once(&header).chain(&rows);
        let lengths = cells.map(|cells| cells.get(column).map_or(0, |cell| cell.chars().count()));
        lengths.max().unwrap_or_default()
    };
    for cells in std::iter::once(&header).chain(&rows) {
        let cells = cells.iter().enumerate();
        let line: String = cells
            .map(|(column, cell)| format!("{cell:0$}  ", width(column)))
            .collect();
        output::line(line.trim_end())?;
    }
    Ok(())
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
        plain(token.label.as_str()),
    ]
}

/// A stretch of time in its largest unit, in which it is at least two.
fn span(ms: u64) -> String {
    match ms {
        ms if ms >= 2 * DAY_MS => format!("{}d", ms / DAY_MS),
        ms if ms >= 2 * HOUR_MS => format!("{}h", ms / HOUR_MS),
        ms if ms >= 2 * MINUTE_MS => format!("{}m", ms / MINUTE_MS),
        ms => format!("{}s", ms / SECOND_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Reach, Scope, StoredToken};

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

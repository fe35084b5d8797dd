//! `skep token create`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Global, duration, failure::Failure, output};
use super::{Place, owner};
use crate::access::{AccessToken, Issued, Label, Reach, Scope, Scopes, StoredToken, no_room};
use crate::store::Store;
use crate::time::now_ms;

/// Make a token; it is shown this once, on stdout, and kept as a hash
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep token create --scopes admin --store embedded:skep-data\n  SHOP=$(skep token create --scopes post,read --label 'web shop' --expires-in 90d)\n  skep token create --scopes admin --all-namespaces\n\nWith --json: {\"token\": \"skep_…\", \"id\", \"scopes\", \"label\", \"expires_at_ms\", …}."
)]
pub(super) struct Args {
    /// What it is for: post, read, deploy, admin (which is all of them)
    #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPES")]
    scopes: Vec<Scope>,
    /// Let it count in all namespaces: it names one with --namespace
    #[arg(long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// What to call it in lists
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: Label,
    /// How long it counts, as in 90d [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    place: Place,
}

fn lifetime(given: &str) -> Result<Duration, String> {
    let lifetime = duration::parse(given)?;
    match lifetime < Duration::from_secs(1) {
        true => Err("a token counts for a second or longer".to_owned()),
        false => Ok(lifetime),
    }
}

/// Makes it and prints it.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let scopes: Scopes = args.scopes.clone().try_into().map_err(Failure::usage)?;
    let answer = match args.place.open().await? {
        Some(store) => keep(&*store, scopes, args, global).await?,
        None => ask(scopes, &args, global).await?,
    };
    if global.json {
        return output::line(&answer.to_string());
    }
    let odd = |error| Failure::failed(format!("the server describes a token oddly: {error}"));
    let secret = answer.get("token").and_then(Value::as_str);
    let secret = secret.unwrap_or_default().to_owned();
    let token: AccessToken = serde_json::from_value(answer).map_err(odd)?;
    output::line(&output::plain(&secret))?;
    let place = match &token.reach {
        Reach::Namespace(namespace) => format!("namespace {namespace}"),
        Reach::All => "all namespaces".to_owned(),
    };
    output::note(&format!(
        "token {} for {place}: {}; it is not shown again",
        token.id, token.scopes
    ));
    Ok(())
}

/// Through a server.
async fn ask(scopes: Scopes, args: &Args, global: &Global) -> Result<Value, Failure> {
    let client = global.client()?;
    let wanted = json!({
        "scopes": scopes,
        "all_namespaces": args.all_namespaces,
        "label": args.label,
        "expires_in_s": args.expires_in.map(|lifetime| lifetime.as_secs()),
    });
    let request = client.request(Method::POST, "tokens")?;
    client.json(request.json(&wanted)).await
}

/// In a store.
async fn keep(
    store: &dyn Store,
    scopes: Scopes,
    args: Args,
    global: &Global,
) -> Result<Value, Failure> {
    let reach = match args.all_namespaces {
        true => Reach::All,
        false => Reach::Namespace(owner(global).namespace),
    };
    let lifetime = args.expires_in.map(duration::ms);
    let issued = StoredToken::issue(reach, scopes, args.label, now_ms(), lifetime);
    let (stored, secret) = issued.map_err(Failure::failed)?;
    let about = &stored.token;
    match store.put_token(&stored).await? {
        true => Ok(json!(Issued::new(about, &secret))),
        false => Err(Failure::failed(no_room(&about.reach))),
    }
}

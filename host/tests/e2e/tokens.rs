//! Tokens by the command line: how the first one is made, and how clients show theirs.

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::place::{Place, on_both_stores};
use crate::server::{Server, guest, run, skep, store_of};

on_both_stores! {
    tokens_are_made_listed_and_revoked,
}

/// A client command that shows a token.
fn client(server: &Server, token: &str, arguments: &[&str]) -> Command {
    let mut command = skep();
    command
        .args(["--url", &server.url])
        .args(arguments)
        .env("SKEP_TOKEN", token);
    command
}

fn on_store(store: &str, arguments: &[&str]) -> Command {
    let mut command = skep();
    command
        .arg("token")
        .args(arguments)
        .args(["--store", store]);
    command
}

async fn tokens_are_made_listed_and_revoked(mut place: Place) {
    let store = place.store();
    let (code, first, said) = run(on_store(&store, &["create", "--scopes", "admin"])).await;
    assert_eq!((code, first.len()), (Some(0), 90), "{said}");
    assert!(
        said.contains("namespace default") && said.contains("not shown again"),
        "{said}"
    );
    let server = place.server(&["--require-token"]).await;
    let ask = |arguments: &[&str]| run(client(&server, &first, arguments));

    let create = [
        "token",
        "create",
        "--scopes",
        "post,read",
        "--label",
        "web shop",
    ];
    let (_, made, said) = ask(&[&create[..], &["--expires-in", "90d", "--json"]].concat()).await;
    let made: Value = serde_json::from_str(&made).unwrap_or_else(|_| panic!("{said}"));
    let (id, second) = (
        made["id"].as_str().unwrap(),
        made["token"].as_str().unwrap(),
    );
    let (_, table, _) = ask(&["token", "list"]).await;
    assert!(table.starts_with("ID"), "{table}");
    let row = table.lines().find(|line| line.starts_with(id)).unwrap();
    for word in ["default", "post, read", "in 89d", "web shop"] {
        assert!(row.contains(word), "{row}");
    }
    assert!(!table.contains("skep_"), "{table}");
    let (_, lines, _) = ask(&["token", "list", "--json"]).await;
    assert_eq!(lines.lines().count(), 2);
    assert!(
        !lines.contains("skep_") && !lines.contains("hash"),
        "{lines}"
    );

    let (code, out, _) = run(client(&server, second, &["queue", "status"])).await;
    assert!(code == Some(0) && out.contains("Queued: 0"), "{out}");
    let (code, _, said) = run(client(&server, second, &["queue", "pause"])).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("needs the scope admin") && said.contains("post, read"),
        "{said}"
    );
    let (code, out, _) = ask(&["token", "revoke", id]).await;
    assert_eq!((code, out), (Some(0), format!("revoked {id}")));
    let (code, _, said) = ask(&["token", "revoke", id]).await;
    assert!(
        code == Some(1) && said.contains("skep token list"),
        "{said}"
    );
    let (code, _, said) = run(client(&server, second, &["queue", "status"])).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("revoked") && said.contains("SKEP_TOKEN"),
        "{said}"
    );
    assert!(!said.contains(second), "{said}");
}

#[tokio::test]
async fn a_client_without_a_token_is_told_how_to_get_one() {
    let directory = TempDir::new().unwrap();
    run(on_store(
        &store_of(&directory),
        &["create", "--scopes", "read"],
    ))
    .await;
    let server = Server::start_with(directory, &["--require-token"]).await;
    let mut command = skep();
    command.args(["--url", &server.url, "functions"]);
    let (code, _, said) = run(command).await;
    assert_eq!(code, Some(1));
    for word in ["--token", "SKEP_TOKEN", "skep token create"] {
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn a_namespace_is_the_tokens_unless_one_is_named() {
    let directory = TempDir::new().unwrap();
    let store = store_of(&directory);
    let create = [
        "create",
        "--scopes",
        "post,read,deploy",
        "--namespace",
        "acme",
    ];
    let (_, token, _) = run(on_store(&store, &create)).await;
    let server = Server::start_with(directory, &["--require-token"]).await;
    let file = guest("multiply");
    let deploy = ["deploy", file.to_str().unwrap()];
    let (code, _, said) = run(client(&server, &token, &deploy)).await;
    assert_eq!(code, Some(0), "{said}");
    let msg = r#"{"arg1": 6, "arg2": 7}"#;
    let post = ["post", msg, "--function", "multiply", "--wait"];
    let (_, out, said) = run(client(&server, &token, &post)).await;
    assert!(out.contains("42"), "{out} {said}");
    let (_, out, _) = run(client(&server, &token, &["get", "1", "--json"])).await;
    let record: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(record["namespace"], "acme");
    let (code, _, said) = run(client(&server, &token, &["functions", "--namespace", "b"])).await;
    assert!(code == Some(1) && said.contains("acme"), "{said}");
}

#[tokio::test]
async fn a_store_in_use_names_the_other_way() {
    let server = Server::start().await;
    let (code, out, said) = run(on_store(&server.store(), &["create", "--scopes", "admin"])).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        said.contains("in use") && said.contains("leave out --store"),
        "{said}"
    );
}

#[tokio::test]
async fn mistakes_with_tokens_are_told_and_show_none() {
    let (secret, mut command) = ("skep_0123456789ab_cafe", skep());
    command.args(["queue", "status", "--token", secret]);
    let (code, _, said) = run(command).await;
    assert_eq!(code, Some(2));
    assert!(
        said.contains("SKEP_TOKEN") && !said.contains(secret),
        "{said}"
    );
    let mut command = skep();
    command.args(["queue", "--help"]).env("SKEP_TOKEN", secret);
    let (_, help, _) = run(command).await;
    assert!(
        help.contains("SKEP_TOKEN") && !help.contains(secret),
        "{help}"
    );
    for bad in [
        &["create"][..],
        &["create", "--scopes", "root"],
        &["create", "--scopes", ""],
        &["create", "--scopes", "read", "--expires-in", "90"],
        &["create", "--scopes", "read", "--expires-in", "0s"],
        &["create", "--scopes", "read", "--label", "a\nb"],
        &[
            "create",
            "--scopes",
            "read",
            "--all-namespaces",
            "--namespace",
            "a",
        ],
        &["revoke", "me"],
    ] {
        let directory = TempDir::new().unwrap();
        let (code, out, said) = run(on_store(&store_of(&directory), bad)).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{bad:?}: {said}");
    }
}

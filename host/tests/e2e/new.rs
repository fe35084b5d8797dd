//! `skep new`: what it makes is built, tested, run and served as its README says.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::server::{Server, run, skep};

/// How long cargo may take: it may have to build all that a handler needs.
const PATIENCE: Duration = Duration::from_secs(900);

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a command of a project's README, in the project: with what was fetched for skep's
/// own guests, or else from the network.
async fn build(project: &Path, line: &str) {
    let mut said = String::new();
    for offline in ["true", "false"] {
        let mut command = Command::new("bash");
        command
            .args(["-ec", line])
            .current_dir(project)
            .env("CARGO_TARGET_DIR", root().join("target/guests-build"))
            .env("CARGO_NET_OFFLINE", offline)
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.unwrap().unwrap();
        if output.status.success() {
            return;
        }
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    panic!("{line}: {said}");
}

#[tokio::test]
async fn a_new_handler_works_as_its_readme_says() {
    let there = TempDir::new().unwrap();
    let project = there.path().join("count-things");
    let (code, out, err) = run(skep().arg("new").arg(&project)).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("README.md"), "{out}");
    // So that cargo takes the versions that it has.
    std::fs::copy(
        root().join("examples/Cargo.lock"),
        project.join("Cargo.lock"),
    )
    .unwrap();
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    let line = |with: &str| {
        let found = readme
            .lines()
            .find(|line| line.contains(with) && !line.starts_with('A'));
        found
            .unwrap_or_else(|| panic!("no {with} in {readme}"))
            .to_owned()
    };
    build(&project, &line("scripts/build-guests . ")).await;
    build(&project, &line("cargo test ")).await;
    let server = Server::start().await;
    for (verb, answer) in [
        ("skep run ", r#"{"be":2,"not":1,"or":1,"to":2}"#),
        ("skep deploy ", "deployed count-things version 1"),
        ("skep post ", r#"{"be":2,"not":1,"or":1,"to":2}"#),
    ] {
        let line = line(verb).replacen("skep", env!("CARGO_BIN_EXE_skep"), 1);
        let mut command = Command::new("bash");
        command
            .args(["-ec", &line])
            .current_dir(&project)
            .env("SKEP_URL", &server.url)
            .kill_on_drop(true);
        let (code, out, err) = run(command).await;
        assert_eq!((code, out.as_str()), (Some(0), answer), "{line}: {err}");
    }
}

#[tokio::test]
async fn nothing_is_written_over_and_what_cannot_be_is_refused() {
    let there = TempDir::new().unwrap();
    let taken = there.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    let (code, _, err) = run(skep().arg("new").arg(&taken)).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("is there already"), "{err}");
    assert_eq!(std::fs::read_dir(&taken).unwrap().count(), 0);
    for (name, sdk, word) in [
        ("Big", None, "small letters"),
        ("serde", None, "is called so"),
        ("fine", Some("/nowhere/sdk"), "name the directory sdk/"),
    ] {
        let mut command = skep();
        command.arg("new").arg(there.path().join(name));
        command.args(sdk.map(|sdk| format!("--sdk={sdk}")));
        let (code, _, err) = run(command).await;
        assert_eq!(code, Some(2), "{name}: {err}");
        assert!(err.contains(word), "{name}: {err}");
        assert!(!there.path().join(name).exists(), "{name}");
    }
    let json = there.path().join("with-json");
    let (_, out, _) = run(skep().args(["--json", "new"]).arg(&json)).await;
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["function"], "with-json");
    assert!(json.join(".cargo/config.toml").is_file());
}

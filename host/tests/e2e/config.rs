//! `skep.toml`: what it sets, what goes before it, and what is wrong with it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;
use crate::server::{Server, run, skep};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";

/// The command in a directory, and a home without configuration.
fn within(directory: &Path) -> Command {
    let mut command = skep();
    command
        .current_dir(directory)
        .env("HOME", directory)
        .env_remove("XDG_CONFIG_HOME");
    command
}

fn write(directory: &Path, text: &str) {
    std::fs::write(directory.join("skep.toml"), text).unwrap();
}

#[tokio::test]
async fn flags_go_before_variables_and_these_before_the_file() {
    let server = Server::start().await;
    let there = TempDir::new().unwrap();
    let url = &server.url;
    let status = ["queue", "status"];
    write(there.path(), &format!("url = \"{url}\"\njson = true\n"));
    let (code, out, err) = run(within(there.path()).args(status)).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with('{'), "{out}");
    let mut away = within(there.path());
    let (code, ..) = run(away.args(status).env("SKEP_URL", NOBODY)).await;
    assert_eq!(code, Some(3));
    let mut flag = within(there.path());
    flag.args(status)
        .args(["--url", url])
        .env("SKEP_URL", NOBODY);
    assert_eq!(run(flag).await.0, Some(0));

    // The file that is named goes before the one that is here, and this before the user's.
    let other = there.path().join("other.toml");
    std::fs::write(&other, format!("url = \"{NOBODY}\"\n")).unwrap();
    let mut named = within(there.path());
    let (code, ..) = run(named.args(status).arg("--config").arg(&other)).await;
    assert_eq!(code, Some(3));
    let users = there.path().join(".config/skep");
    std::fs::create_dir_all(&users).unwrap();
    write(&users, &format!("url = \"{NOBODY}\"\n"));
    assert_eq!(run(within(there.path()).args(status)).await.0, Some(0));
    std::fs::remove_file(there.path().join("skep.toml")).unwrap();
    assert_eq!(run(within(there.path()).args(status)).await.0, Some(3));
    let mut xdg = within(there.path());
    xdg.args(status).env("XDG_CONFIG_HOME", there.path());
    // It has none, so that the usual server is asked for, which may be there or not.
    let (_, _, err) = run(xdg.args(["--url", url])).await;
    assert_eq!(err, "");
}

#[tokio::test]
async fn a_server_begins_as_its_table_says() {
    let there = TempDir::new().unwrap();
    write(
        there.path(),
        "[serve]\nlisten = \"127.0.0.1:0\"\nstore = \"embedded:data\"\nno-worker = true\nrequire-token = false\nhost = [\"a.test\", \"b.test\"]\n[worker]\nstore = \"embedded:other\"\n",
    );
    let mut command = within(there.path());
    command.arg("serve");
    let directory = TempDir::new().unwrap();
    let server = Server::of(Process::of(command), directory).await;
    assert!(there.path().join("data").is_dir());
    let asked = server
        .request(reqwest::Method::GET, "/healthz")
        .header("host", "b.test");
    assert_eq!(asked.send().await.unwrap().status(), 200);
    let asked = server
        .request(reqwest::Method::GET, "/healthz")
        .header("host", "c.test");
    assert_eq!(asked.send().await.unwrap().status(), 421);
    server
        .upload(crate::server::guest_bytes("multiply"))
        .await
        .expect(200);
    let message = serde_json::json!({"arg1": 6, "arg2": 7});
    let id = server.post("multiply", message).await;
    let waited = server.get(&format!("/jobs/{id}/result?wait_ms=300")).await;
    assert_eq!(waited.status, 409, "there is no worker");
    drop(server.kill().await);

    // A flag that contradicts the file goes before it.
    let mut command = within(there.path());
    command.args(["serve", "--workers", "1"]);
    let server = Server::of(Process::of(command), TempDir::new().unwrap()).await;
    assert_eq!(server.ended(&id).await["state"], "completed");
}

#[tokio::test]
async fn what_is_wrong_with_it_is_told_with_its_line() {
    let there = TempDir::new().unwrap();
    for (text, words) in [
        ("\n\nulr = \"x\"\n", ["line 3", "did you mean url?"]),
        (
            "url = \"x\"\n[serv]\nlisten = \"x\"\n",
            ["line 2", "did you mean serve?"],
        ),
        (
            "[serve]\n\nworkres = 3\n",
            ["line 3", "did you mean workers?"],
        ),
        (
            "[serve]\ntls_cert = \"x\"\n",
            ["line 2", "did you mean tls-cert?"],
        ),
        (
            "[serve]\nlease = \"5s\"\n",
            ["line 2", "no option \"lease\""],
        ),
        ("[serve]\nworkers = \"many\"\n", ["line 2", "invalid digit"]),
        ("[serve]\nno-worker = 1\n", ["line 2", "true or false"]),
        (
            "[serve]\nlisten = [\"a\"]\n",
            ["line 2", "a text in quotes"],
        ),
        ("namespace = \"a b\"\n", ["line 1", "namespace \"a b\""]),
        ("config = \"x\"\n", ["line 1", "no option \"config\""]),
        ("url = \n", ["line 1", "skep.toml"]),
    ] {
        write(there.path(), text);
        let (code, out, err) = run(within(there.path()).arg("jobs")).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{text}: {err}");
        assert!(words.iter().all(|word| err.contains(word)), "{text}: {err}");
    }
    write(
        there.path(),
        "[serve]\ntls-cert = \"x\"\nlisten = \"127.0.0.1:0\"\n",
    );
    let (code, _, err) = run(within(there.path()).arg("serve")).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("--tls-key"), "{err}");
    write(there.path(), &"#".repeat(70_000));
    assert_eq!(run(within(there.path()).arg("jobs")).await.0, Some(2));
    // Help helps, whatever the file says.
    assert_eq!(run(within(there.path()).arg("--help")).await.0, Some(0));
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_warned_of_and_what_others_can_write_is_not_read() {
    let server = Server::start().await;
    let there = TempDir::new().unwrap();
    let file = there.path().join("skep.toml");
    let allow = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&file, mode).unwrap();
    };
    write(
        there.path(),
        &format!("url = \"{}\"\ntoken = \"\"\n", server.url),
    );
    let status = async || run(within(there.path()).args(["queue", "status"])).await;
    allow(0o644);
    let (code, _, err) = status().await;
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("chmod 600"), "{err}");
    allow(0o600);
    assert_eq!(status().await.2, "");
    allow(0o606);
    let (code, _, err) = status().await;
    assert_eq!(code, Some(2));
    assert!(err.contains("--config"), "{err}");
}

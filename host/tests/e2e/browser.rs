//! Our own page, and a stranger's, in a real browser: what it shows, and what it complains
//! of on its console.

use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::server::{PATIENCE, Server};

/// What browsers are called, in the order in which they are tried.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-headless-shell",
    "chromium-browser",
    "google-chrome",
    "chrome",
];

/// The browser: that of SKEP_BROWSER, or the first one in the PATH.
fn browser() -> std::path::PathBuf {
    if let Some(named) = std::env::var_os("SKEP_BROWSER") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap();
    let found = NAMES.iter().find_map(|name| {
        let places = std::env::split_paths(&path).map(|directory| directory.join(name));
        places.into_iter().find(|place| place.is_file())
    });
    found.expect("there is no browser; scripts/browser installs one, SKEP_BROWSER names another")
}

/// A page as the browser has it once it is loaded, and what it said on its console.
async fn shown(url: &str) -> (String, Vec<String>) {
    let profile = TempDir::new().unwrap();
    let output = Command::new(browser())
        // Containers have no namespaces for its own sandbox; it sees our pages only.
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let console = said.lines().filter(|line| line.contains("CONSOLE"));
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!page.is_empty(), "{said}");
    (page, console.map(ToOwned::to_owned).collect())
}

#[tokio::test]
async fn the_reference_is_shown_in_a_browser_which_has_nothing_to_complain_of() {
    let server = Server::start().await;
    let document = server.json("/openapi.json").await;
    let (page, console) = shown(&format!("{}/docs", server.url)).await;
    assert!(console.is_empty(), "{console:?}");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20);
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let heading = format!("<h3>{} {path}</h3>", method.to_uppercase());
            assert!(page.contains(&heading), "{heading}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(page.contains(&format!("<a id=\"{id}\">")), "{id}");
            assert!(page.contains(&format!("href=\"#{id}\"")), "{id}");
        }
    }
}

#[tokio::test]
async fn a_browser_runs_nothing_of_a_result() {
    let server = Server::with("probe").await;
    let script = "<p id=\"it\">as it came</p><script>document.getElementById('it').textContent = 'changed'</script>";
    let id = server
        .post_bytes("echo", "text/html", script.as_bytes().to_vec())
        .await;
    let record: Value = server.ended(&id).await;
    assert_eq!(record["state"], "completed");
    let (page, console) = shown(&format!("{}/jobs/{id}/result", server.url)).await;
    assert!(page.contains(">as it came</p>"), "{page}");
    // The browser says so; and so this is how it says what it does not like.
    assert_eq!(console.len(), 1, "{console:?}");
    assert!(
        console[0].contains("Blocked script execution"),
        "{console:?}"
    );
}

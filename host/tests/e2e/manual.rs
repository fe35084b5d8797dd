//! What the command line says of itself: `docs/cli.md`, manual pages, completions.

use tempfile::TempDir;
use tokio::process::Command;

use crate::server::{run, skep};

#[tokio::test]
async fn the_reference_is_what_the_verbs_say() {
    let mut command = skep();
    // Neither changes what the page says.
    command
        .arg("reference")
        .envs([("SKEP_URL", "http://elsewhere"), ("COLUMNS", "40")]);
    let (code, printed, _) = run(command).await;
    assert_eq!(code, Some(0));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let page = std::fs::read_to_string(page).unwrap_or_default();
    assert!(
        page.trim_end() == printed,
        "docs/cli.md is stale; mend it with: target/release/skep reference > docs/cli.md"
    );
    for section in ["## skep jobs", "### skep dead purge", "[env: SKEP_URL]"] {
        assert!(page.contains(section), "{section}");
    }
}

#[tokio::test]
async fn there_is_a_manual_page_for_each_verb() {
    let there = TempDir::new().unwrap();
    let pages = there.path().join("man1");
    let (code, _, err) = run(skep().arg("man").arg(&pages)).await;
    assert_eq!(code, Some(0), "{err}");
    for name in ["skep.1", "skep-post.1", "skep-dead-purge.1"] {
        let page = std::fs::read_to_string(pages.join(name)).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(!pages.join("skep-compile-component.1").exists());
    let (_, page, _) = run(skep().arg("man")).await;
    assert!(page.contains(".TH skep 1"), "{page}");
    let (code, _, err) = run(skep().args(["man", "/proc/man"])).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot write the manual"), "{err}");
}

#[tokio::test]
async fn completions_are_taken_by_the_shell() {
    let mut bash = Command::new("bash");
    let source = r#"source <("$0" completions bash); complete -p skep; COMP_WORDS=(skep dead pu); COMP_CWORD=2; _skep skep pu dead; echo "${COMPREPLY[@]}""#;
    bash.args(["-ec", source, env!("CARGO_BIN_EXE_skep")])
        .kill_on_drop(true);
    let (code, out, err) = run(bash).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.ends_with("\npurge"), "{out}");
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        let (code, script, _) = run(skep().args(["completions", shell])).await;
        assert_eq!(code, Some(0));
        assert!(script.contains("requeue"), "{shell}");
    }
}

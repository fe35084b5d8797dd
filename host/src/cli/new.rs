//! `skep new`: the beginnings of a handler, in a directory of its own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf, absolute};

use serde_json::json;

use super::hosting::this_binary;
use super::{Global, failure::Failure, output};
use crate::job::FunctionName;

/// Names of crates that a handler needs, which can be no handler's.
const TAKEN: [&str; 8] = [
    "alloc",
    "core",
    "proc-macro",
    "schemars",
    "serde",
    "skep-sdk",
    "std",
    "test",
];

/// Each file of a project. How it is built is as for skep's own examples.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.txt")),
    (
        ".cargo/config.toml",
        include_str!("../../../examples/.cargo/config.toml"),
    ),
    ("src/lib.rs", include_str!("new/lib.rs.txt")),
    ("README.md", include_str!("new/README.md.txt")),
    ("message.json", include_str!("new/message.json.txt")),
    (".gitignore", include_str!("new/gitignore.txt")),
];

/// Make a directory with a handler to begin from, in Rust
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep new words\n  skep new ~/handlers/words --sdk ~/src/skep/sdk\n\nThe project's README.md says how it is built, run and deployed. Nothing that is there is written over. With --json: {\"directory\": \"…\", \"function\": \"words\"}."
)]
pub(super) struct Args {
    /// The directory to make; the function is called as its last part
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The SDK: the directory sdk/ of skep's sources [default: the one that this skep was
    /// built beside]
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// Makes the project.
pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let name = name(&args.directory)?;
    let skep = sources(args.sdk.as_deref())?;
    let unmade = |error| {
        let shown = args.directory.display();
        Failure::failed(format!("cannot make {shown}: {error}"))
    };
    if args.directory.exists() {
        return Err(Failure::usage(format!(
            "{} is there already; choose another name, or remove it",
            args.directory.display()
        )));
    }
    fs::create_dir_all(&args.directory).map_err(unmade)?;
    let sdk = skep.join("sdk").display().to_string();
    let skep = skep.display().to_string();
    for (path, template) in FILES {
        let text = template
            .replace("{{name}}", name.as_str())
            .replace("{{sdk}}", &sdk)
            .replace("{{skep}}", &skep);
        write(&args.directory.join(path), &text).map_err(unmade)?;
    }
    if global.json {
        return output::json(&json!({"directory": args.directory, "function": name}));
    }
    output::line(&format!(
        "made {}; see its README.md",
        args.directory.display()
    ))
}

/// Writes a file that is not there.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

/// What the function and the crate are called.
fn name(directory: &Path) -> Result<FunctionName, Failure> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let wrong = |why: &str| {
        Failure::usage(format!(
            "{name:?} cannot be a handler's name: {why}; write one such as count-words"
        ))
    };
    let is_letter = |c: char| c.is_ascii_lowercase();
    let fits = |c: char| is_letter(c) || c.is_ascii_digit() || c == '-';
    if !name.starts_with(is_letter) || !name.chars().all(fits) {
        return Err(wrong(
            "it takes small letters, digits and dashes, a letter first",
        ));
    }
    if TAKEN.contains(&&*name) {
        return Err(wrong("a crate that it needs is called so"));
    }
    name.parse().map_err(|error| wrong(&format!("{error}")))
}

/// The directory of skep's sources.
fn sources(sdk: Option<&Path>) -> Result<PathBuf, Failure> {
    let is_sources = |root: &&Path| {
        root.join("sdk/Cargo.toml").is_file() && root.join("scripts/build-guests").is_file()
    };
    if let Some(sdk) = sdk {
        let whole = absolute(sdk).ok().filter(|sdk| sdk.ends_with("sdk"));
        let root = whole.as_deref().and_then(Path::parent).filter(is_sources);
        return root.map(Path::to_owned).ok_or_else(|| {
            Failure::usage(format!(
                "{} is not the SDK: name the directory sdk/ of skep's sources",
                sdk.display()
            ))
        });
    }
    let binary = this_binary()?;
    let root = binary.ancestors().find(|root| is_sources(root));
    root.map(Path::to_owned).ok_or_else(|| {
        Failure::usage("skep's sources are not where this skep is; name their directory sdk/ with --sdk, as in --sdk ~/src/skep/sdk")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_a_crate_and_a_function_can_have() {
        assert_eq!(
            name(Path::new("a/b/count-words")).unwrap().as_str(),
            "count-words"
        );
        for bad in [
            "",
            "..",
            "Words",
            "1st",
            "count words",
            "serde",
            "a_b",
            &"a".repeat(300),
        ] {
            assert!(
                matches!(name(Path::new(bad)), Err(Failure::Usage(_))),
                "{bad:?}"
            );
        }
    }
}

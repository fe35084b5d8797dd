//! `skep man`: the manual pages.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::{Cli, failure::Failure, output};

/// Print the manual page, or write the pages of all verbs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep man | man -l -\n  skep man ~/.local/share/man/man1 && man skep-post"
)]
pub(super) struct Args {
    /// Write skep.1, skep-post.1, … to this directory; it is made if it is not there
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Prints the page, or writes all.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let unwritten = |error| Failure::failed(format!("cannot write the manual: {error}"));
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        Man::new(Cli::command())
            .render(&mut page)
            .map_err(unwritten)?;
        return output::bytes(&page);
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(unwritten)?;
    output::note(&format!("wrote the manual to {}", directory.display()));
    Ok(())
}

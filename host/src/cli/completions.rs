//! `skep completions`: what a shell is to know of the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, failure::Failure, output};

/// Print what makes a shell complete this command line
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  source <(skep completions bash)\n  skep completions zsh > ~/.zfunc/_skep\n  skep completions fish > ~/.config/fish/completions/skep.fish"
)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skep", &mut script);
    output::bytes(&script)
}

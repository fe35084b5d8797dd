//! `skep reference`: `docs/cli.md`, from what the verbs say of themselves. A test sees
//! to it that the file is as this prints it.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use super::{Cli, failure::Failure, output};

/// What no verb says: how they all behave.
const INTRODUCTION: &str = include_str!("reference/introduction.md");

/// How wide the help is printed.
const COLUMNS: usize = 100;

/// Print docs/cli.md
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {}

/// Prints it.
pub(super) fn run() -> Result<(), Failure> {
    let mut command = Cli::command().term_width(COLUMNS);
    command.build();
    let mut text = INTRODUCTION.to_owned();
    describe(command, "skep", &mut text);
    output::bytes(text.as_bytes())
}

/// The help of a command and of those below it. Writing to a String cannot fail.
fn describe(command: Command, name: &str, text: &mut String) {
    let level = name.split(' ').count() + 1;
    // What all verbs have is said at the top, and the values of variables are those of
    // whoever prints this.
    let mut shown = command.clone().mut_args(|arg| {
        let is_said = level > 2 && arg.is_global_set();
        let is_hidden = is_said || arg.is_hide_set();
        arg.hide_env_values(true).hide(is_hidden)
    });
    let help = shown.render_help().to_string();
    let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(
        text,
        "\n{} {name}\n\n```text\n{}\n```\n",
        "#".repeat(level),
        lines.join("\n")
    );
    for verb in command.get_subcommands() {
        if !verb.is_hide_set() && verb.get_name() != "help" {
            describe(verb.clone(), &format!("{name} {}", verb.get_name()), text);
        }
    }
}

//! Whether to color what a person reads: on a terminal that can, unless `NO_COLOR`,
//! `CLICOLOR=0` or `--color` says otherwise.

use clap::ValueEnum;

/// When to color.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum When {
    // On a terminal that can. Not in the help, which would grow long by it.
    #[default]
    Auto,
    // Also in a pipe.
    Always,
    // Not at all.
    Never,
}

/// Makes it so for all that is written from now on.
pub(super) fn choose(when: When) {
    let colored = match when {
        When::Auto => return,
        When::Always => true,
        When::Never => false,
    };
    console::set_colors_enabled(colored);
    console::set_colors_enabled_stderr(colored);
}

/// A text in a color of a terminal, by its code, if stdout is colored.
pub(super) fn paint(text: &str, code: Option<u8>) -> String {
    match code.filter(|_| console::colors_enabled()) {
        Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
        None => text.to_owned(),
    }
}

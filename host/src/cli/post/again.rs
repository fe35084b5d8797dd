//! The command that goes on where a run of `post --file` was cut off: the same once more,
//! from another line on.

use std::ffi::OsString;

/// The command of this process, from a line on, as a shell takes it.
pub(super) fn command(line: u64) -> String {
    from_line(std::env::args_os(), line)
}

fn from_line(arguments: impl Iterator<Item = OsString>, line: u64) -> String {
    let mut words = Vec::new();
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        match name {
            "--from-line" | "--token" => {
                if value.is_none() {
                    arguments.next();
                }
                // What was typed once need not stand in a log.
                if name == "--token" {
                    words.push("--token \"$SKEP_TOKEN\"".to_owned());
                }
            }
            _ => words.push(quoted(&argument)),
        }
    }
    words.push(format!("--from-line {line}"));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    // No argument holds a NUL, which is all that cannot be quoted.
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), |quoted| quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(arguments: &[&str]) -> String {
        from_line(arguments.iter().map(OsString::from), 812)
    }

    #[test]
    fn the_command_is_the_same_but_for_the_line() {
        assert_eq!(
            again(&[
                "skep",
                "post",
                "--file",
                "my jobs.jsonl",
                "-f",
                "f",
                "--from-line",
                "3"
            ]),
            "skep post --file 'my jobs.jsonl' -f f --from-line 812"
        );
        let text = again(&[
            "skep",
            "post",
            "--from-line=3",
            "--file=-",
            "--limit=fuel=1e9",
        ]);
        assert_eq!(
            text,
            "skep post '--file=-' '--limit=fuel=1e9' --from-line 812"
        );
    }

    #[test]
    fn a_token_is_not_repeated() {
        for arguments in [
            &["skep", "--token", "skep_x", "post"][..],
            &["skep", "--token=skep_x", "post"],
        ] {
            let text = again(arguments);
            assert_eq!(text, "skep --token \"$SKEP_TOKEN\" post --from-line 812");
        }
    }
}

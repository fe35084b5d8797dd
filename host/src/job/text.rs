//! Strangers' texts made safe to print: what a guest writes must not move the cursor
//! of whoever reads it, retitle a terminal, or turn its lines around.

use std::borrow::Cow;

/// The text with its control characters spelled out, but those that `kept` keeps; and
/// with what turns the direction of writing, with which a line can show what it is not.
pub fn printable(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let harms = |c: char| (c.is_control() && !kept(c)) || turns(c);
    if !text.chars().any(harms) {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match harms(c) {
            true => spelled.extend(c.escape_default()),
            false => spelled.push(c),
        }
    }
    Cow::Owned(spelled)
}

/// Overrides, embeddings and isolates of the direction (Unicode's UAX 9).
fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_harms_is_spelled_out() {
        let lines = |c| matches!(c, '\n' | '\t');
        assert!(matches!(printable("a\n\tbé☃", lines), Cow::Borrowed(_)));
        assert_eq!(
            printable("a\x1b[2J\n\u{9b}1m", lines),
            "a\\u{1b}[2J\n\\u{9b}1m"
        );
        assert_eq!(printable("a\nb", |_| false), "a\\nb");
        assert_eq!(printable("exe\u{202e}gpj", lines), "exe\\u{202e}gpj");
    }
}

//! Texts of bounded length about values of any length.

use std::fmt::{self, Display, Write};

/// What `value` displays, cut after `most` bytes. The rest is not even produced:
/// an error may display a message of megabytes.
pub(super) fn bounded(value: &dyn Display, most: usize) -> String {
    let mut text = Bounded {
        text: String::new(),
        most,
        cut: false,
    };
    // The only error is our own, at the bound.
    let _ = write!(text, "{value}");
    if text.cut {
        text.text.push('…');
    }
    text.text
}

struct Bounded {
    text: String,
    most: usize,
    cut: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.most - self.text.len();
        if part.len() <= room {
            self.text.push_str(part);
            return Ok(());
        }
        let (head, _) = part.split_at(part.floor_char_boundary(room));
        self.text.push_str(head);
        self.cut = true;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(bounded(&"short", 8), "short");
        assert_eq!(bounded(&"ääää", 5), "ää…");
        assert_eq!(bounded(&"x".repeat(1 << 20), 3), "xxx…");
    }
}

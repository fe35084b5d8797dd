//! What Magika's model sees of a file: how it begins and how it ends. No host.
//!
//! The same as `magika/src/input.rs` of the crate magika, so that the model sees what it was trained on.

/// How much of the file's beginning the model sees, and how much of its end.
const SIDE: usize = 1024;
/// Where the white space at the beginning may reach, and the end's.
const BLOCK: usize = 4096;
/// Stands where there is no byte.
const PADDING: i32 = 256;
/// With fewer bytes there is nothing to see.
const LEAST: usize = 8;

/// What there is to see of a file.
pub(crate) enum Seen {
    Nothing,
    /// A few bytes, and white space.
    Little {
        text: bool,
    },
    Enough(Vec<i32>),
}

/// What there is to see of a file.
pub(crate) fn of(file: &[u8]) -> Seen {
    let block = file.len().min(BLOCK);
    let (Some(first), Some(last)) = (file.get(..block), file.get(file.len() - block..)) else {
        return Seen::Nothing;
    };
    if file.is_empty() {
        return Seen::Nothing;
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let begin = first.iter().skip_while(|byte| is_space(byte));
    if begin.clone().count() < LEAST {
        let text = str::from_utf8(first).is_ok();
        return Seen::Little { text };
    }
    let end = last.iter().rev().skip_while(|byte| is_space(byte));

    let mut features = vec![PADDING; 2 * SIDE];
    let (beginning, ending) = features.split_at_mut(SIDE);
    beginning
        .iter_mut()
        .zip(begin)
        .for_each(|(seen, byte)| *seen = i32::from(*byte));
    // From the back, so that what is missing is missing in the middle.
    ending
        .iter_mut()
        .rev()
        .zip(end)
        .for_each(|(seen, byte)| *seen = i32::from(*byte));
    Seen::Enough(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(file: &[u8]) -> Vec<i32> {
        match of(file) {
            Seen::Enough(features) => features,
            _ => panic!("too little"),
        }
    }

    #[test]
    fn a_short_file_is_seen_twice_without_the_space_around_it() {
        let seen = features(b" \x0b\r\n12345678\t");
        assert_eq!(seen[..9], [49, 50, 51, 52, 53, 54, 55, 56, 9]);
        assert_eq!(seen[9..2048 - 12], [256; 2048 - 12 - 9]);
        assert_eq!(seen[2048 - 12..2048 - 8], [32, 11, 13, 10]);
        assert_eq!(seen[2047], 56);
    }

    #[test]
    fn of_a_long_file_only_its_ends_are_seen() {
        let mut file = vec![b'a'; 1024];
        file.extend([b'b'; 10_000]);
        file.extend([b'c'; 1023]);
        file.extend([b'\n'; 3]);
        let seen = features(&file);
        assert_eq!(seen[..1024], [97; 1024]);
        assert_eq!(seen[1024], 98);
        assert_eq!(seen[1025..], [99; 1023]);
    }

    #[test]
    fn space_beyond_the_block_hides_what_comes_then() {
        let mut file = vec![b' '; BLOCK];
        file.extend(b"text after that");
        assert!(matches!(of(&file), Seen::Little { text: true }));
        file.drain(..LEAST);
        assert_eq!(features(&file)[..5], [116, 101, 120, 116, 32]);
    }
}

//! Texts, chunks and words: no host.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The length of a chunk, in bytes: ten chunks for a short book. To count one takes
/// a millisecond, beside which the post of a job costs little.
const CHUNK: usize = 16 * 1024;

/// How far beyond that a chunk may go to end between two words, in bytes. What
/// has no gap for so long is no word.
const LONGEST: usize = 1024;

/// The text in pieces that end between words.
pub(crate) fn chunks(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (chunk, rest) = text.split_at_checked(end(text))?;
        text = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Where a text's first chunk ends.
fn end(text: &str) -> usize {
    let least = text.floor_char_boundary(CHUNK);
    let most = text.floor_char_boundary(CHUNK + LONGEST);
    let gap = text
        .get(least..most)
        .and_then(|word| word.find(|c| !in_word(c)));
    gap.map_or(most, |gap| least + gap)
}

/// The words of a text in lower case: letters and digits, with apostrophes within.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c| !in_word(c))
        .map(|word| word.trim_matches(APOSTROPHES))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

const APOSTROPHES: [char; 2] = ['\'', '’'];

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || APOSTROPHES.contains(&c)
}

/// The words by their counts, the most frequent first, and then by the alphabet.
pub(crate) fn ranking(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut ranking: Vec<_> = counts.iter().map(|(word, n)| (word.as_str(), *n)).collect();
    // Stable: the map had them by the alphabet.
    ranking.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    ranking
}

/// A table of words and counts. No word has anything to quote.
pub(crate) fn csv(ranking: &[(&str, u64)]) -> String {
    let mut csv = String::from("word,count\n");
    for (word, n) in ranking {
        // Writing to a `String` cannot fail.
        let _ = writeln!(csv, "{word},{n}");
    }
    csv
}

/// One line for people.
pub(crate) fn summary(ranking: &[(&str, u64)]) -> String {
    let all: u64 = ranking.iter().map(|(_, n)| n).sum();
    let different = ranking.len() as u64;
    let mut summary = format!(
        "{} words, {} different",
        thousands(all),
        thousands(different)
    );
    if let Some((word, n)) = ranking.first() {
        let _ = write!(summary, "; {word}: {}", thousands(*n));
    }
    summary
}

/// `1234567` as `1,234,567`.
fn thousands(n: u64) -> String {
    match n {
        0..1000 => n.to_string(),
        _ => format!("{},{:03}", thousands(n / 1000), n % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn words_are_letters_digits_and_apostrophes_within() {
        assert_eq!(
            list("`Don't!' said 2 naïve HARES--'twas ’ late."),
            ["don't", "said", "2", "naïve", "hares", "twas", "late"]
        );
        assert!(list(" -- '' ").is_empty());
    }

    #[test]
    fn no_word_is_cut_and_nothing_is_lost() {
        let text = "éin wort, und noch eins; ".repeat(3000);
        let pieces: Vec<_> = chunks(&text).collect();
        assert!(pieces.len() > 3);
        assert_eq!(pieces.concat(), text);
        let cut: Vec<_> = pieces.iter().flat_map(|chunk| words(chunk)).collect();
        assert_eq!(cut, list(&text));
        assert_eq!(chunks("").count(), 0);
    }

    #[test]
    fn a_text_without_gaps_comes_in_bounded_chunks() {
        let text = "é".repeat(100_000);
        let pieces: Vec<_> = chunks(&text).collect();
        assert_eq!(pieces.concat(), text);
        assert!(pieces.iter().all(|chunk| chunk.len() <= CHUNK + LONGEST));
    }

    #[test]
    fn the_summary_has_the_first_word_if_there_is_one() {
        assert_eq!(
            summary(&[("the", 1234), ("a", 1_000_000)]),
            "1,001,234 words, 2 different; the: 1,234"
        );
        assert_eq!(summary(&[]), "0 words, 0 different");
    }
}

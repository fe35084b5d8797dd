//! The name that somebody may have meant.

/// The nearest of some names to one that is none of them, if it is near.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let near = names.filter_map(|candidate| {
        let lower = candidate.to_lowercase();
        // A third of the letters may be wrong; one always may.
        let bound = (wanted.len().max(lower.len()) / 3).max(1);
        let distance = strsim::osa_distance(&wanted, &lower);
        (distance <= bound).then_some((distance, candidate))
    });
    near.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_name_and_a_stranger_finds_none() {
        let near = |name| nearest(name, ["iris", "filetype", "speech"].into_iter());
        assert_eq!(near("Iris"), Some("iris"));
        assert_eq!(near("fieltype"), Some("filetype"));
        assert_eq!(near("speach"), Some("speech"));
        assert_eq!(near("translate"), None);
    }
}

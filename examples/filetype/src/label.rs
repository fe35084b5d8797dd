//! The labels of Magika's model, and when it is sure enough of one. No host.

/// Written by `labels.py` from the package of the model.
const TABLE: &str = include_str!("labels.tsv");

/// A kind of file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    pub(crate) mime: &'static str,
    text: bool,
    /// The score from which on the model is believed.
    threshold: f32,
    /// The label that is said instead.
    replaced_by: &'static str,
}

impl Label {
    /// The one of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        labels().find(|label| label.name == name)
    }

    fn read(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        Some(Label {
            name: fields.next()?,
            group: fields.next()?,
            mime: fields.next()?,
            text: fields.next()? == "1",
            threshold: fields.next()?.parse().ok()?,
            replaced_by: fields.next()?,
        })
    }
}

/// In the model's order.
fn labels() -> impl Iterator<Item = Label> {
    TABLE.lines().skip(1).filter_map(Label::read)
}

/// What to say when the model's best label is the one at this place.
pub(crate) fn answer(place: usize, score: f32) -> Option<Label> {
    let best = labels().nth(place)?;
    Label::of(match (score >= best.threshold, best.text) {
        (true, _) => best.replaced_by,
        // It knows text from bytes also where it does not know which.
        (false, true) => "txt",
        (false, false) => "unknown",
    })
}

/// Where the model has a label.
#[cfg(test)]
pub(crate) fn position(name: &str) -> usize {
    labels().position(|label| label.name == name).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_label() {
        assert_eq!(labels().count(), 214 + 2);
        assert_eq!(TABLE.lines().count(), 214 + 2 + 1);
        assert!(labels().all(|label| Label::of(label.replaced_by).is_some()));
    }
}

//! Probabilities as parts of a recording. No host.
//!
//! The rule and its numbers are those of `get_speech_timestamps` in the package silero-vad, with its defaults.

use serde::Serialize;

use crate::vad::WINDOW;
use crate::wav::{RATE, seconds};

/// From here on it is speech.
const BEGINS: f32 = 0.5;
/// Below this it no longer is.
const ENDS: f32 = 0.35;

const MS: usize = RATE as usize / 1000;
/// A shorter silence does not part speech, in samples.
const LEAST_SILENCE: usize = 100 * MS;
/// What is shorter is no speech, in samples.
const LEAST_SPEECH: usize = 250 * MS;
/// What a part has of the silence around it, in samples.
const MARGIN: usize = 30 * MS;

/// A part in which somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Segment {
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
}

/// The parts in which somebody speaks, of a recording of so many samples.
pub(crate) fn of(probabilities: &[f32], samples: usize) -> Vec<Segment> {
    let mut parts = Vec::<(usize, usize)>::new();
    let mut start = None;
    let mut silent = None;
    for (nth, probability) in probabilities.iter().enumerate() {
        let at = nth * WINDOW;
        if *probability >= BEGINS {
            silent = None;
            start.get_or_insert(at);
        } else if let Some(begun) = start
            && *probability < ENDS
        {
            let since = *silent.get_or_insert(at);
            if at - since >= LEAST_SILENCE {
                parts.push((begun, since));
                (start, silent) = (None, None);
            }
        }
    }
    parts.extend(start.map(|begun| (begun, samples)));
    parts.retain(|(start, end)| end - start > LEAST_SPEECH);

    // What two parts have of the silence between them does not overlap.
    let mut before = None;
    let widened: Vec<_> = (0..parts.len())
        .filter_map(|nth| {
            let (start, end) = *parts.get(nth)?;
            let after = parts.get(nth + 1).map(|(next, _)| next - end);
            let margin = |silence: Option<usize>| silence.map_or(MARGIN, |s| MARGIN.min(s / 2));
            let part = (
                start.saturating_sub(margin(before)),
                samples.min(end + margin(after)),
            );
            before = after;
            Some(part)
        })
        .collect();
    let ms = |samples| (seconds(samples) * 1e3).round() / 1e3;
    let segment = |(start, end)| Segment {
        start_s: ms(start),
        end_s: ms(end),
    };
    widened.into_iter().map(segment).collect()
}

/// One line for people.
pub(crate) fn summary(segments: &[Segment]) -> String {
    let parts: Vec<_> = segments
        .iter()
        .map(|part| format!("{:.2} to {:.2} s", part.start_s, part.end_s))
        .collect();
    match parts.is_empty() {
        true => "nobody speaks".to_owned(),
        false => format!("speech from {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so many windows each.
    fn parts(windows: &[(usize, f32)]) -> Vec<(f64, f64)> {
        let probabilities: Vec<_> = windows
            .iter()
            .flat_map(|(count, probability)| vec![*probability; *count])
            .collect();
        let found = of(&probabilities, probabilities.len() * WINDOW);
        found
            .iter()
            .map(|part| (part.start_s, part.end_s))
            .collect()
    }

    #[test]
    fn speech_has_a_margin_and_a_least_length() {
        assert_eq!(parts(&[(10, 0.1), (10, 0.9), (10, 0.1)]), [(0.29, 0.67)]);
        assert_eq!(parts(&[(10, 0.1), (7, 0.9), (10, 0.1)]), []);
        assert_eq!(parts(&[(10, 0.9)]), [(0.0, 0.32)]);
        assert_eq!(parts(&[]), []);
    }

    #[test]
    fn only_a_silence_parts_it() {
        assert_eq!(parts(&[(10, 0.9), (3, 0.1), (10, 0.9)]), [(0.0, 0.736)]);
        assert_eq!(parts(&[(10, 0.9), (9, 0.4), (10, 0.9)]), [(0.0, 0.928)]);
        let two = parts(&[(10, 0.9), (5, 0.1), (10, 0.9)]);
        assert_eq!(two, [(0.0, 0.35), (0.45, 0.8)]);
    }

    #[test]
    fn a_summary_names_them() {
        let segment = Segment {
            start_s: 0.226,
            end_s: 2.878,
        };
        assert_eq!(summary(&[segment]), "speech from 0.23 to 2.88 s");
        assert_eq!(summary(&[]), "nobody speaks");
    }
}

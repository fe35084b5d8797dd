//! A recording as a picture: how loud it is, and above that how likely it is that somebody speaks. No host.

use std::fmt::Write as _;

use crate::segments::Segment;
use crate::vad::WINDOW;
use crate::wav::seconds;

/// How wide a second is.
const SECOND: f64 = 120.0;
const HEIGHT: f64 = 160.0;
/// The line in the middle of what is drawn of the recording.
const MIDDLE: f64 = 100.0;

/// The picture.
pub(crate) fn svg(samples: &[f32], probabilities: &[f32], segments: &[Segment]) -> String {
    let width = seconds(samples.len()) * SECOND;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {HEIGHT}" font-family="sans-serif" font-size="10">
<rect width="100%" height="100%" fill="white"/>
"#
    );
    // Writing to a `String` cannot fail.
    for Segment { start_s, end_s } in segments {
        let _ = writeln!(
            svg,
            r##"<rect class="speech" x="{:.1}" width="{:.1}" height="{HEIGHT}" fill="#ffe9b8"/><text x="{:.1}" y="155">{start_s:.2} to {end_s:.2} s</text>"##,
            start_s * SECOND,
            (end_s - start_s) * SECOND,
            start_s * SECOND + 3.0
        );
    }
    let x = |window: usize| seconds(window * WINDOW) * SECOND;
    svg.push_str(r##"<path fill="none" stroke="#777" d=""##);
    for (nth, window) in samples.chunks(WINDOW).enumerate() {
        let loudest = window
            .iter()
            .fold(0.0_f32, |most, sample| most.max(sample.abs()));
        let half = (40.0 * f64::from(loudest)).max(0.3);
        let _ = write!(svg, "M{:.1} {:.1}v{:.1}", x(nth), MIDDLE - half, 2.0 * half);
    }
    svg.push_str("\"/>\n<polyline fill=\"none\" stroke=\"#c30\" stroke-width=\"1.5\" points=\"");
    for (nth, probability) in probabilities.iter().enumerate() {
        let _ = write!(
            svg,
            "{:.1},{:.1} ",
            x(nth),
            50.0 - 40.0 * f64::from(*probability)
        );
    }
    svg.push_str("\"/>\n</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_it_is_so_wide() {
        let segment = Segment {
            start_s: 0.25,
            end_s: 0.75,
        };
        let svg = svg(&[0.5; 16_000], &[0.0, 1.0], &[segment]);
        assert!(svg.contains(r#"viewBox="0 0 120 160""#), "{svg}");
        assert!(svg.contains(r#"x="30.0" width="60.0""#), "{svg}");
        assert!(svg.contains(r#"points="0.0,50.0 3.8,10.0 ""#), "{svg}");
        assert!(svg.contains("M0.0 80.0v40.0"), "{svg}");
    }
}

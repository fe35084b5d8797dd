//! Recordings as samples. No host.

use hound::{SampleFormat, WavReader};
use skep_sdk::Failure;

/// Samples a second: what the model was trained on.
pub(crate) const RATE: u32 = 16_000;

/// How long so many samples last.
pub(crate) fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(RATE)
}

/// The samples of a WAV file, from -1 to 1, its channels mixed into one.
pub(crate) fn samples(file: &[u8]) -> Result<Vec<f32>, Failure> {
    let unreadable =
        |error| Failure::invalid(format_args!("cannot read this as a WAV file: {error}"));
    let mut reader = WavReader::new(file).map_err(unreadable)?;
    let spec = reader.spec();
    if spec.sample_rate != RATE {
        return Err(Failure::invalid(format_args!(
            "the recording has {} samples a second, and the model takes {RATE}: `sox IN.wav -r 16k OUT.wav` converts it",
            spec.sample_rate
        )));
    }
    let samples: Result<Vec<f32>, _> = match spec.sample_format {
        SampleFormat::Float => reader.samples().collect(),
        SampleFormat::Int => {
            let full = (1_u64 << (spec.bits_per_sample - 1)) as f32;
            let samples = reader.samples::<i32>();
            samples.map(|sample| Ok(sample? as f32 / full)).collect()
        }
    };
    let samples = samples.map_err(unreadable)?;
    let channels = usize::from(spec.channels);
    let frames = samples.chunks_exact(channels);
    Ok(frames
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use hound::{WavSpec, WavWriter};

    use super::*;

    fn wav(spec: WavSpec, samples: &[i32]) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file, spec).unwrap();
        samples
            .iter()
            .for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
        file.into_inner()
    }

    const SPEC: WavSpec = WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };

    #[test]
    fn samples_of_any_width_are_from_minus_1_to_1() {
        assert_eq!(
            samples(&wav(SPEC, &[-32768, 0, 16384])).unwrap(),
            [-1.0, 0.0, 0.5]
        );
        let narrow = WavSpec {
            bits_per_sample: 8,
            ..SPEC
        };
        assert_eq!(
            samples(&wav(narrow, &[-128, 0, 64])).unwrap(),
            [-1.0, 0.0, 0.5]
        );
        let stereo = WavSpec {
            channels: 2,
            ..SPEC
        };
        assert_eq!(
            samples(&wav(stereo, &[-32768, 0, 16384, 16384])).unwrap(),
            [-0.5, 0.5]
        );
    }

    #[test]
    fn another_rate_is_refused_with_what_to_do() {
        let spec = WavSpec {
            sample_rate: 44_100,
            ..SPEC
        };
        let Failure::Invalid(why) = samples(&wav(spec, &[0])).unwrap_err() else {
            panic!("not invalid");
        };
        assert!(why.contains("44100") && why.contains("sox"), "{why}");
    }

    #[test]
    fn a_file_that_was_cut_off_is_refused() {
        let whole = wav(SPEC, &[0; 100]);
        assert!(samples(&whole[..whole.len() - 50]).is_err());
    }
}

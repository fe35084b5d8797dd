//! Where somebody speaks in a recording, by [Silero](https://github.com/snakers4/silero-vad)'s model.

mod segments;
mod timeline;
mod vad;
mod wav;

use serde::Serialize;
use skep_sdk::{Context, Failure, Output, Payload};

use segments::Segment;

/// Where somebody speaks.
#[derive(Serialize)]
struct Speech {
    duration_s: f64,
    segments: Vec<Segment>,
}

/// Finds the parts of a recording in which somebody speaks: a WAV file, 16 kHz.
#[skep_sdk::listener]
fn speech(recording: Vec<u8>, ctx: &Context) -> Result<Speech, Failure> {
    let samples = wav::samples(&recording)?;
    let probabilities = vad::probabilities(ctx, &samples)?;
    Ok(Speech {
        duration_s: wav::seconds(samples.len()),
        segments: segments::of(&probabilities, samples.len()),
    })
}

/// Draws the same as a picture, SVG: the recording, what the model makes of it, and the parts.
#[skep_sdk::listener(name = "speech-timeline")]
fn speech_timeline(recording: Vec<u8>, ctx: &Context) -> Result<Output, Failure> {
    let samples = wav::samples(&recording)?;
    let probabilities = vad::probabilities(ctx, &samples)?;
    let segments = segments::of(&probabilities, samples.len());
    let svg = timeline::svg(&samples, &probabilities, &segments);
    Ok(Output::new(
        segments::summary(&segments),
        Payload::new("image/svg+xml", svg),
    ))
}

skep_sdk::export!(speech, speech_timeline);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use skep_sdk::{NamedTensor, Tensor, TestHost};

    use super::*;

    const RECORDING: &[u8] = include_bytes!("../speech.wav");

    /// Serves with a stand-in for the model, which `test.sh` runs: it takes what is loud for speech, and counts its calls in
    /// the state.
    fn host() -> TestHost {
        let calls = Cell::new(0.0);
        let loud = move |inputs: &[NamedTensor]| {
            let names: Vec<_> = inputs.iter().map(|input| &*input.name).collect();
            assert_eq!(names, ["input", "state", "sr"]);
            let samples = inputs[0].value.to_f32().unwrap();
            let state = inputs[1].value.to_f32().unwrap();
            assert_eq!((samples.len(), state.len()), (64 + 512, 2 * 128));
            // A new recording begins with nothing.
            if state[0] == 0.0 {
                calls.set(0.0);
                assert_eq!(samples[..64], [0.0; 64]);
            }
            assert_eq!(state, [calls.get(); 256]);
            calls.set(calls.get() + 1.0);
            let power = samples.iter().map(|x| x * x).sum::<f32>() / 576.0;
            vec![
                NamedTensor::new("output", Tensor::f32(&[1, 1], &[(500.0 * power).min(1.0)])),
                NamedTensor::new("stateN", Tensor::f32(&[2, 1, 128], &[calls.get(); 256])),
            ]
        };
        TestHost::new()
            .with::<speech>()
            .with::<speech_timeline>()
            .model("silero-vad", loud)
    }

    #[test]
    fn the_state_goes_from_call_to_call_and_the_parts_come_out() {
        let output: Payload = host().run("speech", &RECORDING.to_vec()).unwrap();
        let said = String::from_utf8(output.data).unwrap();
        assert!(
            said.starts_with(r#"{"duration_s":6.2,"segments":[{"start_s":0."#),
            "{said}"
        );
        assert!(said.matches("start_s").count() > 1, "{said}");
    }

    #[test]
    fn a_picture_of_it_has_a_part_for_each() {
        let output: Output = host().run("speech-timeline", &RECORDING.to_vec()).unwrap();
        assert_eq!(output.result.content_type, "image/svg+xml");
        let parts = output.short_result.unwrap().matches(" to ").count();
        let svg = String::from_utf8(output.result.data).unwrap();
        assert_eq!(svg.matches("<rect class=\"speech\"").count(), parts);
    }

    #[test]
    fn what_is_no_recording_says_so() {
        let Failure::Invalid(why) = host()
            .run::<Payload>("speech", &b"RIFF, or not".to_vec())
            .unwrap_err()
        else {
            panic!("not invalid");
        };
        assert!(why.contains("WAV"), "{why}");
    }
}

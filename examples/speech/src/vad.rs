//! The model `silero-vad`, as the host has it: the state that it gives is what it is to be given with the next samples.

use skep_sdk::{Context, Failure, Tensor};

use crate::wav::{RATE, seconds};

/// How many samples a probability is for: 32 ms.
pub(crate) const WINDOW: usize = 512;
/// How many samples before these the model sees again.
const CONTEXT: usize = 64;
/// What the model remembers.
const STATE: [u64; 3] = [2, 1, 128];

/// How likely it is that somebody speaks, for each window.
pub(crate) fn probabilities(ctx: &Context, samples: &[f32]) -> Result<Vec<f32>, Failure> {
    let windows = samples.len().div_ceil(WINDOW);
    let mut probabilities = Vec::with_capacity(windows);
    let mut state = Tensor::f32(&STATE, &[0.0; 256]);
    let mut seen = [0.0; CONTEXT + WINDOW];
    for (nth, window) in samples.chunks(WINDOW).enumerate() {
        if nth.is_multiple_of(RATE as usize / WINDOW) {
            let percent = 100 * nth / windows;
            ctx.progress(percent as u8, &format!("{:.0} s", seconds(nth * WINDOW)))?;
        }
        seen.copy_within(WINDOW.., 0);
        // Silence after the end.
        let following = window.iter().copied().chain(std::iter::repeat(0.0));
        seen.iter_mut()
            .skip(CONTEXT)
            .zip(following)
            .for_each(|(seen, sample)| *seen = sample);

        let answer = ctx
            .infer("silero-vad")
            .input("input", &[seen])?
            .tensor("state", state)
            .input("sr", &i64::from(RATE))?
            .run()?;
        let probability = answer.get::<f32>("output")?.first().copied();
        probabilities.extend(probability);
        state = Tensor::f32(&STATE, &answer.get::<f32>("stateN")?);
    }
    Ok(probabilities)
}

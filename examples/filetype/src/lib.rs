//! What kind of file some bytes are, by [Magika](https://github.com/google/magika)'s model.

mod features;
mod label;

use features::Seen;
use serde::Serialize;
use skep_sdk::{Context, Failure};

use label::Label;

/// What some bytes are.
#[derive(Debug, Serialize)]
struct FileType {
    label: &'static str,
    /// How sure the model is, from 0 to 1.
    score: f64,
    group: &'static str,
    mime: &'static str,
}

/// Says what kind of file the message is, whatever its content type claims.
#[skep_sdk::listener]
fn filetype(file: Vec<u8>, ctx: &Context) -> Result<FileType, Failure> {
    let (label, score) = match features::of(&file) {
        Seen::Nothing => (Label::of("empty"), 1.0),
        Seen::Little { text: true } => (Label::of("txt"), 1.0),
        Seen::Little { text: false } => (Label::of("unknown"), 1.0),
        Seen::Enough(features) => {
            let answer = ctx.infer("magika").input("bytes", &[features])?.run()?;
            let scores = answer.get::<f32>("target_label")?;
            let score = scores.iter().copied().fold(0.0, f32::max);
            let first = scores.iter().position(|other| *other == score);
            (label::answer(first.unwrap_or_default(), score), score)
        }
    };
    let label = label.ok_or_else(|| {
        Failure::failed("the model has more labels than src/labels.tsv: is it another version?")
    })?;
    Ok(FileType {
        label: label.name,
        // The third digit of a doubtful one is another on another engine.
        score: (f64::from(score) * 1e2).round() / 1e2,
        group: label.group,
        mime: label.mime,
    })
}

skep_sdk::export!(filetype);

#[cfg(test)]
mod tests {
    use skep_sdk::{NamedTensor, Payload, Tensor, TestHost};

    use super::*;

    /// What comes of a file when the model says so, in place of the model, which `test.sh` runs.
    fn run(file: &[u8], says: &'static str, score: f32) -> String {
        let host = TestHost::new()
            .with::<filetype>()
            .model("magika", move |inputs| {
                assert_eq!(inputs[0].value.shape, [1, 2048]);
                let mut scores = [0.0; 214];
                scores[label::position(says)] = score;
                vec![NamedTensor::new(
                    "target_label",
                    Tensor::f32(&[1, 214], &scores),
                )]
            });
        let output: Payload = host.run("filetype", &file.to_vec()).unwrap();
        String::from_utf8(output.data).unwrap()
    }

    #[test]
    fn the_best_label_counts_if_the_model_is_sure() {
        let toml = run(b"[package]\n", "toml", 0.62);
        assert_eq!(
            toml,
            r#"{"label":"toml","score":0.62,"group":"text","mime":"application/toml"}"#
        );
        assert!(run(b"# A heading\n", "markdown", 0.74).contains(r#""label":"txt""#));
        assert!(run(b"# A heading\n", "markdown", 0.76).contains(r#""label":"markdown""#));
        assert!(run(b"\x00 something", "png", 0.3).contains(r#""label":"unknown""#));
        assert!(run(b"lorem ipsum", "randomtxt", 0.9).contains(r#""label":"txt""#));
    }

    #[test]
    fn the_model_is_not_asked_about_a_few_bytes() {
        let empty = run(b"", "png", 1.0);
        assert_eq!(
            empty,
            r#"{"label":"empty","score":1.0,"group":"inode","mime":"inode/x-empty"}"#
        );
        assert!(run(b"     hello \n", "png", 1.0).contains(r#""label":"txt""#));
        assert!(run(b"\xff\xfe", "png", 1.0).contains(r#""label":"unknown""#));
    }
}

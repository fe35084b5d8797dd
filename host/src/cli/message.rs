//! The message of a job, from the command line, a file or stdin.

use std::io::Read as _;
use std::path::Path;

use serde_json::value::RawValue;

use super::failure::Failure;
use crate::job::{JSON, Payload};

/// A message of JSON text; `-` reads it from stdin.
pub(super) fn json(given: &str) -> Result<Payload, Failure> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
    }
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(raw) => Ok(Payload::json(raw.get().to_owned())),
        Err(error) => Err(Failure::usage(format!(
            "the message is not JSON: {error}; a text needs its own quotes, as in '\"text\"'"
        ))),
    }
}

/// A message of a file's bytes; the type is guessed from the name unless given.
pub(super) fn file(path: &Path, content_type: Option<&str>) -> Result<Payload, Failure> {
    let data = read(path)?;
    let content_type = content_type.map_or_else(|| guess(path), ToOwned::to_owned);
    Ok(Payload {
        content_type,
        data: data.into(),
    })
}

/// A file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
}

fn guess(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    // The guess for it is `application/json` too, but by way of a table.
    if extension.eq_ignore_ascii_case("json") {
        return JSON.to_owned();
    }
    let guess = mime_guess::from_ext(&extension);
    guess
        .first_raw()
        .unwrap_or("application/octet-stream")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_written_and_a_bare_word_is_explained() {
        assert_eq!(json(" {\"a\": 1.10}").unwrap().data, "{\"a\": 1.10}");
        let Err(Failure::Usage(text)) = json("hello") else {
            panic!("a bare word is no JSON");
        };
        assert!(text.contains("quotes"), "{text}");
    }

    #[test]
    fn the_type_of_a_file_comes_from_its_name() {
        assert_eq!(guess(Path::new("a/b.PNG")), "image/png");
        assert_eq!(guess(Path::new("x.json")), JSON);
        assert_eq!(guess(Path::new("noext")), "application/octet-stream");
    }
}

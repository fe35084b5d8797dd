//! What came of a line of `run --jobs`, as a line of JSON.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::job::{Cause, Output};
use crate::store::Outcome;

/// A line of the output. What there is none of is left out.
#[derive(Default, Serialize)]
struct Told<'o> {
    line: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_result: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'o RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'o Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'o str>,
}

/// What to say of a line that is no job.
pub(super) fn of_refused(line: u64, problem: &str) -> serde_json::Result<String> {
    serde_json::to_string(&Told {
        line,
        state: "refused",
        problem: Some(problem),
        ..Told::default()
    })
}

/// What to say of a line whose job has ended.
pub(super) fn of_outcome(line: u64, outcome: &Outcome) -> serde_json::Result<String> {
    let told = Told {
        line,
        ..Told::default()
    };
    match outcome {
        Outcome::Completed(output) => of_output(told, output),
        Outcome::Failed(cause) => serde_json::to_string(&Told {
            state: "failed",
            cause: Some(cause),
            ..told
        }),
        Outcome::Cancelled => serde_json::to_string(&Told {
            state: "cancelled",
            ..told
        }),
        Outcome::Unknown | Outcome::Open | Outcome::Expired => serde_json::to_string(&Told {
            state: "failed",
            problem: Some("what came of it is gone; this is a fault of skep"),
            ..told
        }),
    }
}

fn of_output(told: Told<'_>, output: &Output) -> serde_json::Result<String> {
    let told = Told {
        state: "completed",
        short_result: output.short_result.as_deref(),
        content_type: Some(&output.result.content_type),
        ..told
    };
    let one_line = one_line(&output.result.data);
    // A guest may call anything JSON.
    let json = (output.result.is_json()).then(|| serde_json::from_slice::<&RawValue>(&one_line));
    match json {
        Some(Ok(json)) => serde_json::to_string(&Told {
            result: Some(json),
            ..told
        }),
        _ => serde_json::to_string(&Told {
            result_base64: Some(BASE64.encode(&output.result.data)),
            ..told
        }),
    }
}

/// JSON on one line: between its values a line feed is as good as a space, and within them
/// there is none.
fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !json.iter().any(ends) {
        return Cow::Borrowed(json);
    }
    let plain = |byte: &u8| if ends(byte) { b' ' } else { *byte };
    Cow::Owned(json.iter().map(plain).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{CauseKind, Payload};

    fn completed(content_type: &str, data: &'static [u8]) -> String {
        let output = Output {
            short_result: None,
            result: Payload {
                content_type: content_type.to_owned(),
                data: data.into(),
            },
        };
        of_outcome(7, &Outcome::Completed(output)).unwrap()
    }

    #[test]
    fn a_result_is_json_as_written_or_base64() {
        let json = completed(
            "application/json",
            b"{\n\"n\": 1234567890123456789012.50\r\n}",
        );
        assert_eq!(
            json,
            r#"{"line":7,"state":"completed","result":{ "n": 1234567890123456789012.50  },"content_type":"application/json"}"#
        );
        for (content_type, data) in [
            ("image/png", &b"\x89PNG"[..]),
            ("application/json", b"{\"a\": "),
            ("application/json", b"1}\n{\"line\":8"),
        ] {
            let told: serde_json::Value =
                serde_json::from_str(&completed(content_type, data)).unwrap();
            let encoded = told["result_base64"].as_str().unwrap();
            assert_eq!(BASE64.decode(encoded).unwrap(), data);
            assert!(told.get("result").is_none());
        }
    }

    #[test]
    fn what_did_not_complete_says_why() {
        let cause = Cause::new(CauseKind::Trap, "unreachable\nat f");
        assert_eq!(
            of_outcome(3, &Outcome::Failed(cause)).unwrap(),
            r#"{"line":3,"state":"failed","cause":{"kind":"trap","message":"unreachable\nat f"}}"#
        );
        assert_eq!(
            of_refused(4, "not JSON").unwrap(),
            r#"{"line":4,"state":"refused","problem":"not JSON"}"#
        );
    }
}

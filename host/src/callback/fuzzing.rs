//! The reading of callbacks' URLs, for the fuzz target `callback_urls`.

use super::{CallbackPolicy, Target};

/// Reads a URL.
///
/// # Panics
///
/// When what was accepted is not what would be called.
pub fn url(text: &str) {
    let Ok(target) = Target::parse(text) else {
        return;
    };
    let again = Target::parse(target.as_str());
    assert_eq!(again.as_ref(), Ok(&target), "{text:?} is read in two ways");
    let line = target.path_and_query();
    assert!(
        line.bytes().all(|byte| (b'!'..=b'~').contains(&byte)),
        "{line:?} does not fit the first line of a request"
    );
    let _ = CallbackPolicy::default().judge_literal(&target.host(), target.port());
    for location in ["/", "//example.com/", "http://127.0.0.1/", text] {
        let _ = target.redirected(location);
    }
}

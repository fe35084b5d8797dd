//! Serves strangers' bytes so that a browser shows them and runs nothing that is in
//! them: a result must not be able to act as this server's origin, whatever it is and
//! whatever it calls itself.
//!
//! `sandbox` takes its origin away from a page, and with it scripts, forms and other
//! windows; `default-src 'none'` keeps it from loading anything; and what a page of ours
//! could load as a script or a style is served as text.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Response;

use super::body::essence;

/// For what a browser shows as a page: it may look like something, and that is all.
const PAGE: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// For a picture, sound or film, which for a browser is a page with the address itself
/// as its source. There is no markup in these that could name another.
const MEDIA: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'",
);

/// What is served when the handler's content type is none.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What is served instead of a script.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What browsers load as a script or a style, by the WHATWG's list.
const ACTIVE: [&str; 21] = [
    "application/ecmascript",
    "application/javascript",
    "application/x-ecmascript",
    "application/x-javascript",
    "application/xslt+xml",
    "text/css",
    "text/ecmascript",
    "text/javascript",
    "text/javascript1.0",
    "text/javascript1.1",
    "text/javascript1.2",
    "text/javascript1.3",
    "text/javascript1.4",
    "text/javascript1.5",
    "text/jscript",
    "text/livescript",
    "text/x-ecmascript",
    "text/x-javascript",
    "text/xsl",
    // No script, but a page's second origin, in browsers that still know them.
    "text/cache-manifest",
    "application/x-web-app-manifest+json",
];

/// Text of a stranger.
pub(super) fn text(text: impl Into<Body>) -> Response {
    answer(text, "text/plain; charset=utf-8", "text")
}

/// Bytes of a stranger, who says what they are. `name` is what they are called once they
/// are saved; it is ours.
pub(super) fn answer(content: impl Into<Body>, content_type: &str, name: &str) -> Response {
    let content_type = safe(content_type);
    let essence = essence(content_type.to_str().unwrap_or_default());
    let mut response = Response::new(content.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(
        CONTENT_SECURITY_POLICY,
        if is_media(&essence) { MEDIA } else { PAGE },
    );
    // What a browser would hand to another program, or not show in a sandbox (a PDF).
    if !is_shown(&essence)
        && let Ok(saved) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
    {
        headers.insert(CONTENT_DISPOSITION, saved);
    }
    response
}

/// The content type of an extension.
pub(super) fn of_extension(extension: &str) -> Option<String> {
    let media = mime_guess::from_ext(extension).first_raw()?;
    Some(match media.starts_with("text/") {
        true => format!("{media}; charset=utf-8"),
        false => media.to_owned(),
    })
}

/// A stranger's content type, or what is served instead.
fn safe(content_type: &str) -> HeaderValue {
    let essence = essence(content_type);
    let mut parts = essence.split('/');
    let is_token = |part: Option<&str>| {
        part.is_some_and(|part| {
            let other = |byte| b"!#$%&'*+-.^_`|~".contains(&byte);
            let token = |byte: u8| byte.is_ascii_alphanumeric() || other(byte);
            !part.is_empty() && part.bytes().all(token)
        })
    };
    let is_one = is_token(parts.next()) && is_token(parts.next()) && parts.next().is_none();
    // A part of such an answer would be shown as whatever it says it is.
    let in_parts = essence.starts_with("multipart/") || essence.starts_with("message/");
    if !is_one || in_parts {
        return BYTES;
    }
    if ACTIVE.contains(&essence.as_str()) {
        return TEXT;
    }
    // Browsers read a list of types by its last; so much for parameters with a comma.
    let whole = if content_type.contains(',') || !content_type.is_ascii() {
        &essence
    } else {
        content_type
    };
    HeaderValue::from_str(whole).unwrap_or(BYTES)
}

fn is_media(essence: &str) -> bool {
    let media = ["image/", "audio/", "video/"];
    media.iter().any(|kind| essence.starts_with(kind)) && !essence.ends_with("+xml")
}

fn is_shown(essence: &str) -> bool {
    let texts = [
        "application/json",
        "application/xml",
        "application/x-ndjson",
    ];
    is_media(essence)
        || essence.starts_with("text/")
        || texts.contains(&essence)
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_is_one_is_kept() {
        for kept in [
            "image/png",
            "text/html; charset=utf-8",
            "image/svg+xml",
            "application/json",
            "application/x-odd",
            "application/vnd.a+b.c-d",
        ] {
            assert_eq!(safe(kept), kept);
        }
        assert_eq!(safe("video/mp4; codecs=\"avc1, mp4a\""), "video/mp4");
        assert_eq!(safe("text/plain; n=\u{fc}"), "text/plain");
    }

    #[test]
    fn a_type_that_is_none_or_several_is_bytes() {
        for bad in [
            "",
            "png",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "a b/c",
            "text/html, text/javascript",
            "text/plain,text/html",
            "a/b\r\nSet-Cookie: x=1",
            "a/b; x=\r\n\r\n<script>",
            "a/b\0",
            "text/\u{443}ml",
            "multipart/x-mixed-replace; boundary=x",
            "Multipart/Related",
            "message/rfc822",
        ] {
            assert_eq!(safe(bad), BYTES, "{bad:?}");
        }
    }

    #[test]
    fn scripts_and_styles_are_text() {
        for active in [
            "text/javascript",
            "Text/JavaScript ; charset=utf-8",
            "application/javascript;x=\"a,b\"",
            "text/css",
            "text/xsl",
        ] {
            assert_eq!(safe(active), TEXT, "{active}");
        }
        for extension in ["js", "mjs", "css"] {
            let guessed = of_extension(extension).unwrap();
            assert_eq!(safe(&guessed), TEXT, "{extension}: {guessed}");
        }
    }

    #[test]
    fn what_is_not_shown_is_saved_under_our_name() {
        let disposition = |content_type: &str| {
            let answer = answer("", content_type, "result-1.pdf");
            answer.headers().get(CONTENT_DISPOSITION).cloned()
        };
        for shown in ["image/png", "text/html", "image/svg+xml", "a/b+json"] {
            assert_eq!(disposition(shown), None, "{shown}");
        }
        for saved in ["application/pdf", "application/zip", "nonsense"] {
            let saved = disposition(saved).unwrap();
            assert_eq!(saved, "attachment; filename=\"result-1.pdf\"");
        }
    }

    #[test]
    fn only_what_has_no_markup_may_name_a_source() {
        let policy = |content_type| {
            let answer = answer("", content_type, "x");
            answer.headers()[CONTENT_SECURITY_POLICY].clone()
        };
        assert_eq!(policy("image/png"), MEDIA);
        assert_eq!(policy("image/svg+xml; charset=utf-8"), PAGE);
        assert_eq!(policy("text/html"), PAGE);
        for policy in [PAGE, MEDIA] {
            let policy = policy.to_str().unwrap();
            assert!(
                policy.starts_with("sandbox; default-src 'none';"),
                "{policy}"
            );
            assert!(!policy.contains("allow-"), "{policy}");
        }
    }
}

//! `GET /docs`: the reference as a page of its own. No script and nothing from elsewhere,
//! so that it works offline and within the strictest policy.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use pulldown_cmark::{Options, Parser, html};
use sha2::{Digest as _, Sha256};

use super::super::problem::Problem;
use super::super::representation::Wanted;
use super::reference::reference;

const STYLE: &str = include_str!("page.css");

static PAGE: LazyLock<Bytes> = LazyLock::new(|| render().into());

/// Lets in the style by its hash, an empty icon, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// `GET /docs`.
pub(in crate::http) async fn docs(wanted: Wanted) -> Result<Response, Problem> {
    let mut head = Response::default();
    let headers = head.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    let policy = HeaderValue::from_str(&POLICY).map_err(|error| Problem::internal(&error))?;
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    wanted.of(head, PAGE.clone()).await
}

fn render() -> String {
    let reference = reference();
    let mut body = String::new();
    html::push_html(
        &mut body,
        Parser::new_ext(&reference, Options::ENABLE_TABLES),
    );
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>skep: HTTP API</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n<main>\n{body}</main>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_loads_nothing() {
        let page = render();
        assert!(
            !page.contains("<script") && !page.contains("src="),
            "{page}"
        );
        assert_eq!(page.matches("<link ").count(), 1);
        for route in super::super::super::route_table() {
            // Of a pattern that the router cannot express, the fixed part.
            let path = route.path.replace("{view}", "result.");
            assert!(page.contains(&path), "{path}");
        }
        let open = page.matches("<details>").count();
        assert_eq!(open, page.matches("</details>").count());
        assert!(open > 10);
    }
}

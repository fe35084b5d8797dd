//! The URL of a callback: which ones are accepted, and what is requested when the job
//! has ended.

use url::form_urlencoded::byte_serialize;
use url::{Host, Url};

use crate::store::Callback;

/// The longest URL of a callback, in bytes, once it is normalised. With the result it
/// must fit into the 8 KiB that common servers and proxies take as the first line of a
/// request.
const MAX_URL_BYTES: usize = 2048;

/// The most that a short result may add to the URL, in bytes, once it is encoded.
const MAX_RESULT_BYTES: usize = 4096;

/// Where a callback goes: an absolute `http` or `https` URL without user, password or
/// fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Reads the URL of a callback.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong and how to mend it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_URL_BYTES {
            return Err(too_long(text.len()));
        }
        // What a URL parser drops or takes for a slash is read differently by another.
        if text.chars().any(|c| c <= ' ' || c == '\u{7f}' || c == '\\') {
            return Err(
                "callback must be a URL without spaces, control characters and backslashes; write them as %20, %5C and so on"
                    .to_owned(),
            );
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        if !scheme.is_some_and(is_http) {
            return Err(not_http(text));
        }
        let url = Url::parse(text).map_err(|error| {
            format!("callback is not a URL: {error}; write one such as {EXAMPLE}")
        })?;
        Self::of(url)
    }

    /// The target of a redirect: what `location` means at this one.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, String> {
        let url = self.0.join(location);
        let url = url.map_err(|error| format!("its location is not a URL: {error}"))?;
        if self.0.scheme() == "https" && url.scheme() == "http" {
            return Err("it leads from https to http".to_owned());
        }
        Self::of(url)
    }

    fn of(mut url: Url) -> Result<Self, String> {
        if !is_http(url.scheme()) {
            return Err(not_http(url.as_str()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "callback must hold no user and no password, since they would be shown on the job's record; put a token into the path or query, or check the signature"
                    .to_owned(),
            );
        }
        if url.port() == Some(0) {
            return Err("callback must have a port from 1 to 65535".to_owned());
        }
        url.set_fragment(None);
        match url.as_str().len() {
            length if length > MAX_URL_BYTES => Err(too_long(length)),
            _ => Ok(Self(url)),
        }
    }

    /// Its text, normalised.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Its host.
    pub(crate) fn host(&self) -> Host<&str> {
        // An http URL without a host is not parsed.
        self.0.host().unwrap_or(Host::Domain(""))
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(80)
    }

    /// Whether it is reached over TLS.
    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host and port, as they stand in a `Host` header.
    pub(super) fn authority(&self) -> &str {
        self.0.authority()
    }

    /// Path and query, as they stand in a request.
    pub(super) fn path_and_query(&self) -> &str {
        let full = self.0.as_str();
        let begin = full.find("://").map_or(0, |at| at + "://".len());
        let rest = full.get(begin..).unwrap_or_default();
        let path = rest.find('/').unwrap_or(rest.len());
        rest.get(path..).unwrap_or_default()
    }

    /// What is requested once the job has ended: what stands in the query stays, and
    /// the outcome is added.
    pub(super) fn with_outcome(&self, callback: &Callback) -> Self {
        let outcome = format!(
            "success={}&job_id={}&short_result={}",
            u8::from(callback.success),
            callback.id,
            encode(callback.short_result.as_deref().unwrap_or_default()),
        );
        let query = match self.0.query() {
            None | Some("") => outcome,
            Some(query) => format!("{query}&{outcome}"),
        };
        let mut url = self.0.clone();
        url.set_query(Some(&query));
        Self(url)
    }
}

const EXAMPLE: &str = "https://example.com/done?order=7";

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

fn not_http(text: &str) -> String {
    let shown: String = text.chars().take(64).collect();
    format!(
        "callback must be an absolute URL that begins with http:// or https://, such as {EXAMPLE}, not {shown:?}"
    )
}

fn too_long(length: usize) -> String {
    format!(
        "callback has {length} bytes, and {MAX_URL_BYTES} are allowed, since the result is added to it; keep the rest at the receiver, under a key in the URL"
    )
}

/// Encodes a short result as part of a query; what is too long is cut at a character.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for c in text.chars() {
        let before = encoded.len();
        for part in byte_serialize(c.encode_utf8(&mut [0; 4]).as_bytes()) {
            // A plus is a space in forms only; this is one everywhere.
            encoded.push_str(if part == "+" { "%20" } else { part });
        }
        if encoded.len() > MAX_RESULT_BYTES {
            encoded.truncate(before);
            break;
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobId, Namespace};

    fn requested(url: &str, success: bool, short: Option<&str>) -> String {
        let target = Target::parse(url).unwrap();
        let callback = Callback {
            namespace: Namespace::default(),
            id: JobId(53),
            url: target.as_str().to_owned(),
            number: 1,
            tried: 0,
            success,
            short_result: short.map(ToOwned::to_owned),
            ended_at_ms: 0,
            trace: None,
        };
        target.with_outcome(&callback).as_str().to_owned()
    }

    #[test]
    fn the_outcome_is_added_to_the_query() {
        let added = "success=1&job_id=53&short_result=ok";
        for (url, expected) in [
            ("http://a.test", format!("http://a.test/?{added}")),
            ("http://a.test?", format!("http://a.test/?{added}")),
            ("http://a.test/x?", format!("http://a.test/x?{added}")),
            (
                "http://a.test/x?k=v",
                format!("http://a.test/x?k=v&{added}"),
            ),
            (
                "http://a.test/x?k=v%20&&a+b=%26#frag?ment",
                format!("http://a.test/x?k=v%20&&a+b=%26&{added}"),
            ),
            (
                "HTTPS://A.test:443/ü?ü#",
                format!("https://a.test/%C3%BC?%C3%BC&{added}"),
            ),
            (
                "http://[::1]:8080/x",
                format!("http://[::1]:8080/x?{added}"),
            ),
        ] {
            assert_eq!(requested(url, true, Some("ok")), expected, "{url}");
        }
        assert_eq!(
            requested("http://a.test", false, None),
            "http://a.test/?success=0&job_id=53&short_result="
        );
    }

    #[test]
    fn a_short_result_cannot_reach_out_of_its_place() {
        let url = requested("http://a.test/", true, Some("a&success=0#x y+z\r\nü%\"\\"));
        assert!(
            url.ends_with("short_result=a%26success%3D0%23x%20y%2Bz%0D%0A%C3%BC%25%22%5C"),
            "{url}"
        );
    }

    #[test]
    fn a_long_short_result_is_cut_at_a_character() {
        let url = requested("http://a.test/", true, Some(&"ü".repeat(4096)));
        let cut = url.split_once("short_result=").unwrap().1;
        assert_eq!(cut, "%C3%BC".repeat(MAX_RESULT_BYTES / 6));
    }

    #[test]
    fn what_is_requested_is_cut_from_the_url() {
        for (url, authority, path) in [
            ("http://a.test", "a.test", "/"),
            ("https://a.test:444/b/c?d=/e", "a.test:444", "/b/c?d=/e"),
            ("http://[::1]:80/?x", "[::1]", "/?x"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                (target.authority(), target.path_and_query()),
                (authority, path)
            );
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_fix() {
        let long = format!("http://a.test/{}", "x".repeat(MAX_URL_BYTES));
        let longer_once_encoded = format!("http://a.test/{}", "ü".repeat(MAX_URL_BYTES / 3));
        for (url, word) in [
            ("", "http://"),
            ("/relative", "absolute"),
            ("//a.test/", "absolute"),
            ("a.test/done", "absolute"),
            ("http:a.test", "absolute"),
            ("file:///etc/passwd", "https://"),
            ("gopher://a.test/", "https://"),
            ("javascript://a.test/%0aalert(1)", "https://"),
            ("http://", "empty host"),
            ("http://a.test:0/", "port"),
            ("http://a.test:65536/", "port"),
            ("http://user@a.test/", "password"),
            ("http://:secret@a.test/", "password"),
            ("http://a.test\\@b.test/", "backslashes"),
            (" http://a.test/", "spaces"),
            ("http://a.test/\r\nX: y", "control"),
            ("ht\ntp://a.test/", "control"),
            (&long, "2048"),
            (&longer_once_encoded, "2048"),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains(word), "{url}: {error}");
            assert!(error.len() < 300, "{error}");
        }
    }

    #[test]
    fn an_address_in_disguise_is_an_address() {
        for url in [
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://%31%32%37.0.0.1/",
            "http://１２７.0.0.1/",
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                target.host(),
                Host::<&str>::Ipv4(std::net::Ipv4Addr::LOCALHOST),
                "{url}"
            );
        }
    }

    #[test]
    fn a_redirect_is_read_like_any_target() {
        let from = Target::parse("https://a.test/b/c?d").unwrap();
        let to = |location: &str| from.redirected(location).map(|to| to.as_str().to_owned());
        assert_eq!(to("/x").unwrap(), "https://a.test/x");
        assert_eq!(to("y?z#f").unwrap(), "https://a.test/b/y?z");
        assert_eq!(to("//b.test/").unwrap(), "https://b.test/");
        assert!(to("http://a.test/").unwrap_err().contains("https to http"));
        assert!(to("file:///etc/passwd").is_err());
        assert!(to("https://u:p@a.test/").is_err());
        assert!(to(&"x".repeat(MAX_URL_BYTES)).is_err());
    }
}

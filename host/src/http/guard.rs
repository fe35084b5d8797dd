//! Keeps web pages of strangers from using their reader's browser against a server that
//! trusts whoever reaches its address.
//!
//! Three ways in are shut: a page that sends requests to another site than its own
//! ([`foreign`]); one whose name was made to lead to this machine, so that for the
//! browser it is the same site (DNS rebinding, [`HostNames`]); and a result that
//! registers itself as a service worker.
//!
//! Not here: who may do what. Programs that are no browsers pass.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::code::Code;
use super::problem::Problem;

/// Under which names this server may be asked.
#[derive(Clone, Debug)]
pub struct HostNames(Option<Arc<[String]>>);

impl HostNames {
    /// Any: for a server that asks for a token, which no rebound page has.
    pub fn any() -> Self {
        Self(None)
    }

    /// These, `localhost`, and IP addresses: no page can be of an address that is not
    /// its own.
    pub fn only(names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().map(|name| plain(&name));
        Self(Some(names.collect()))
    }

    fn allows(&self, authority: &Authority) -> bool {
        let Some(names) = &self.0 else { return true };
        let host = plain(authority.host());
        let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<Ipv4Addr>().is_ok()
            || address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
            || names.contains(&host)
    }
}

/// A host name as it is compared.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Refuses what a stranger's page makes its reader's browser send.
pub(super) async fn refuse_foreign_pages(
    State(hosts): State<HostNames>,
    request: Request,
    next: Next,
) -> Response {
    let host = match asked(request.uri(), request.version(), request.headers()) {
        Ok(host) => host,
        Err(problem) => return problem.into_response(),
    };
    if let Some(host) = host.iter().find(|host| !hosts.allows(host)) {
        let refusal = Problem::new(
            Code::UnknownHost,
            format!(
                "this server does not go by the name {:?}; use its IP address, or start it with --host NAME if the name is its own",
                host.as_str().chars().take(80).collect::<String>()
            ),
        );
        return refusal.into_response();
    }
    if !request.method().is_safe() && foreign(request.headers(), host.first()) {
        let refusal = Problem::new(
            Code::CrossSite,
            "a page of another site may not change anything here; call skep from that site's server instead",
        );
        return refusal.into_response();
    }
    if request.headers().contains_key("service-worker") {
        let refusal = Problem::new(
            Code::NoServiceWorker,
            "there is no service worker here, and a result is none",
        );
        return refusal.into_response();
    }
    next.run(request).await
}

/// What the request says whom it asks: `:authority` or an absolute target, and `Host`.
fn asked(uri: &Uri, version: Version, headers: &HeaderMap) -> Result<Vec<Authority>, Problem> {
    let mut asked: Vec<Authority> = uri.authority().cloned().into_iter().collect();
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).ok();
            // One with a user in it is nobody's `Host`.
            let host = host.filter(|host| !host.as_str().contains('@'));
            asked.push(host.ok_or_else(|| {
                Problem::bad_request("the header Host is no name or address with an optional port")
            })?);
        }
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request(
                "there are several headers Host; send one",
            ));
        }
        // Older than the header.
        (None, _) if version <= Version::HTTP_10 => {}
        (None, _) if asked.is_empty() => {
            return Err(Problem::bad_request(
                "there is no header Host; HTTP/1.1 asks for one",
            ));
        }
        (None, _) => {}
    }
    Ok(asked)
}

/// Whether a page of another site sends this. Browsers say so in headers that no page
/// can forge: `Sec-Fetch-Site`, or, if they are old or the connection is not one that
/// they trust, `Origin`. Programs send neither.
fn foreign(headers: &HeaderMap, host: Option<&Authority>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        // `same-site` is another port of this machine, or another name of this domain;
        // `none` is the person at the browser.
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let origin = origin.to_str().ok().and_then(|origin| {
        let (scheme, authority) = origin.split_once("://")?;
        let authority: Authority = authority.parse().ok()?;
        Some((plain(authority.host()), port(&authority, scheme)?, scheme))
    });
    let (Some((name, origin_port, scheme)), Some(host)) = (origin, host) else {
        // `null` is the origin of whoever hides his.
        return true;
    };
    name != plain(host.host()) || Some(origin_port) != port(host, scheme)
}

/// A port, or that of the scheme.
fn port(authority: &Authority, scheme: &str) -> Option<u16> {
    authority.port_u16().or(match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &HostNames, host: &str) -> bool {
        hosts.allows(&host.parse().unwrap())
    }

    #[test]
    fn addresses_and_names_of_its_own_are_what_a_server_goes_by() {
        let hosts = HostNames::only(["Skep.Example.com.".to_owned()]);
        for good in [
            "localhost",
            "LOCALHOST:5000",
            "localhost.",
            "skep.localhost:5000",
            "127.0.0.1:5000",
            "192.0.2.7",
            "[::1]:5000",
            "[fe80::1]",
            "skep.example.com",
            "SKEP.example.com.:443",
        ] {
            assert!(allowed(&hosts, good), "{good}");
            assert!(allowed(&HostNames::any(), good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "127.0.0.1.evil.example",
            "127.1",
            "0x7f000001",
            "2130706433",
            "example.com",
            "a.skep.example.com",
        ] {
            assert!(!allowed(&hosts, bad), "{bad}");
            assert!(allowed(&HostNames::any(), bad), "{bad}");
        }
    }

    fn is_foreign(host: &str, headers: &[(&'static str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            let name = axum::http::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        foreign(&HeaderMap::from_iter(headers), host.parse().ok().as_ref())
    }

    #[test]
    fn browsers_tell_on_foreign_pages() {
        let host = "127.0.0.1:5000";
        for own in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://127.0.0.1:5000")],
            // A proxy may have changed `Host`; the browser knows better.
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://skep.example.com"),
            ],
        ] {
            assert!(!is_foreign(host, own), "{own:?}");
        }
        for foreign in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://127.0.0.1:5001")],
            &[("origin", "http://127.0.0.1")],
            &[("origin", "http://localhost:5000")],
            &[("origin", "file://")],
            &[("origin", "http://evil.example:5000")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://127.0.0.1:5000"),
            ],
        ] {
            assert!(is_foreign(host, foreign), "{foreign:?}");
        }
        assert!(!is_foreign(
            "skep.example.com",
            &[("origin", "https://skep.example.com")]
        ));
        assert!(!is_foreign(
            "SKEP.example.com:443",
            &[("origin", "https://skep.example.com")]
        ));
        assert!(is_foreign(
            "skep.example.com:80",
            &[("origin", "https://skep.example.com")]
        ));
    }
}

//! Where Redis is: one server, the sentinels that know it, or a cluster.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};

/// Why an address is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no address of a Redis: {why}; write redis://HOST:PORT/DB, rediss://USER:PASSWORD@HOST:PORT/DB for TLS, redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DB or redis-cluster://HOST:PORT,HOST:PORT"
)]
pub struct AddressError {
    given: String,
    why: String,
}

/// Where Redis is, as it is given on a command line:
///
/// - `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`,
/// - `redis-sentinel://[USER[:PASSWORD]@]HOST[:PORT],../MASTER[/DB]`,
/// - `redis-cluster://[USER[:PASSWORD]@]HOST[:PORT],..`,
/// - and the same with `rediss` for TLS.
#[derive(Clone)]
pub struct Address {
    pub(super) place: Place,
    /// As it was given, without the password.
    shown: String,
    /// As it was given.
    given: String,
}

#[derive(Clone)]
pub(super) enum Place {
    /// One server.
    Server(ConnectionInfo),
    /// Whoever the sentinels say is the master of that name.
    Sentinels {
        sentinels: Vec<ConnectionInfo>,
        master: String,
    },
    /// A cluster, by some of its nodes.
    Cluster(Vec<ConnectionInfo>),
}

const SENTINEL_PORT: u16 = 26379;
const PORT: u16 = 6379;

impl Address {
    /// The whole address, to hand on to another process; never to be shown.
    pub fn with_password(&self) -> &str {
        &self.given
    }

    /// The server, if it is just one.
    pub fn server(&self) -> Option<ConnectionInfo> {
        match &self.place {
            Place::Server(server) => Some(server.clone()),
            _ => None,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let shown = without_password(given);
        let refused = |why: &str| AddressError {
            given: shown.clone(),
            why: why.to_owned(),
        };
        let (scheme, rest) = given
            .split_once("://")
            .ok_or_else(|| refused("it has no scheme"))?;
        let (tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (
                false,
                scheme
                    .strip_prefix("redis")
                    .ok_or_else(|| refused("its scheme is not redis"))?,
            ),
        };
        let plain = if tls { "rediss" } else { "redis" };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (format!("{login}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        if hosts.is_empty() {
            return Err(refused("it names no host"));
        }
        let one = |host: &str, port: u16, db: &str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| {
                !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
            });
            let host = if has_port {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            };
            format!("{plain}://{login}{host}/{db}")
                .into_connection_info()
                .map_err(|error| refused(&error.to_string()))
        };
        let all = |port, db| -> Result<Vec<_>, _> {
            hosts.split(',').map(|host| one(host, port, db)).collect()
        };
        let place = match kind {
            "" => Place::Server(one(hosts, PORT, path)?),
            "-cluster" if path.is_empty() || path == "0" => Place::Cluster(all(PORT, "")?),
            "-cluster" => return Err(refused("a cluster has no databases")),
            "-sentinel" => {
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(refused("it does not name the master"));
                }
                Place::Sentinels {
                    sentinels: all(SENTINEL_PORT, db)?,
                    master: master.to_owned(),
                }
            }
            _ => return Err(refused("its scheme is not known")),
        };
        Ok(Self {
            place,
            shown,
            given: given.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address that may be shown.
fn without_password(given: &str) -> String {
    match (given.split_once("://"), given.rsplit_once('@')) {
        (Some((scheme, _)), Some((login, rest))) => {
            let login = login.get(scheme.len() + 3..).unwrap_or_default();
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{rest}")
        }
        _ => given.to_owned(),
    }
}

/// Whether a node is spoken to over TLS.
pub(super) fn is_tls(node: &ConnectionInfo) -> bool {
    matches!(node.addr(), ConnectionAddr::TcpTls { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(given: &str) -> Address {
        given.parse().unwrap()
    }

    #[test]
    fn each_kind_is_understood() {
        for given in [
            "redis://localhost",
            "redis://localhost:7000/3",
            "rediss://user:secret@example.org:6380",
        ] {
            assert!(matches!(address(given).place, Place::Server(_)), "{given}");
        }
        let cluster = address("redis-cluster://a:1,b:2,c");
        assert!(matches!(cluster.place, Place::Cluster(nodes) if nodes.len() == 3));
        let sentinels = address("redis-sentinel://:secret@a,b:7/mymaster/2");
        let Place::Sentinels { sentinels, master } = sentinels.place else {
            panic!("sentinels");
        };
        assert_eq!((sentinels.len(), master.as_str()), (2, "mymaster"));
        assert_eq!(sentinels[0].addr().to_string(), "a:26379");
        assert_eq!(sentinels[1].redis_settings().password(), Some("secret"));
        assert_eq!(sentinels[1].redis_settings().db(), 2);
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = address("rediss://user:p@ss:w@example.org/1").to_string();
        assert_eq!(shown, "rediss://user:***@example.org/1");
        let error = "redis-cluster://u:secret@h/7"
            .parse::<Address>()
            .unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_right_form() {
        for bad in [
            "",
            "redis",
            "redis://",
            "http://localhost",
            "redis-cluster://a/1",
            "redis-sentinel://a",
            "redis-foo://a",
            "redis://host:port",
            "redis://localhost/x",
        ] {
            let error = bad.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("redis://HOST:PORT/DB"), "{error}");
        }
    }
}

//! Where callbacks may go. Whoever posts a job names an address for this host to
//! connect to, so that it must not be one that only this host can reach.
//!
//! A literal address is judged when a job is posted. A name is judged when it is
//! looked up, each time, by the very addresses that are connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use url::Host;

use super::address::Reach;

/// Where callbacks may go, beside the public internet.
#[derive(Clone, Debug, Default)]
pub struct CallbackPolicy {
    allowed: Vec<Allowed>,
}

impl CallbackPolicy {
    /// What an operator allows.
    pub fn allowing(allowed: Vec<Allowed>) -> Self {
        Self { allowed }
    }

    /// Loopback too: for a host that nobody reaches from elsewhere, so that its posters
    /// are on this machine as well.
    pub fn with_loopback() -> Self {
        let net = |net| Allowed::Net(net, None);
        Self::allowing(vec![
            net(IpNet::V4(Ipv4Net::new_assert(
                Ipv4Addr::new(127, 0, 0, 0),
                8,
            ))),
            net(Ipv6Addr::LOCALHOST.into_net()),
        ])
    }

    /// Judges a literal address; a name passes, to be judged when it is looked up.
    ///
    /// # Errors
    ///
    /// When the address is refused.
    pub fn judge_literal(&self, host: &Host<&str>, port: u16) -> Result<(), Refused> {
        match *host {
            Host::Ipv4(ip) => self.judge(host, (ip, port).into()),
            Host::Ipv6(ip) => self.judge(host, (ip, port).into()),
            Host::Domain(_) => Ok(()),
        }
    }

    /// Judges an address that `host` stands for.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub(super) fn judge(&self, host: &Host<&str>, address: SocketAddr) -> Result<(), Refused> {
        let ip = address.ip().to_canonical();
        let reach = Reach::of(ip);
        let allows = |rule: &Allowed| rule.allows(host, ip, address.port());
        if reach == Reach::Public || self.allowed.iter().any(allows) {
            return Ok(());
        }
        Err(Refused { reach })
    }
}

/// An address that is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address is {}, and this host calls public ones only, unless its operator allows others with --callback-allow",
    reach.word()
)]
pub struct Refused {
    reach: Reach,
}

/// Something that an operator allows beside the public internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Nothing; it replaces what would be allowed otherwise.
    Nothing,
    /// Addresses, on one port or on all.
    Net(IpNet, Option<u16>),
    /// Whatever a host name stands for, on one port or on all.
    Name(String, Option<u16>),
}

impl Allowed {
    fn allows(&self, host: &Host<&str>, ip: IpAddr, port: u16) -> bool {
        let (matches, only) = match self {
            Self::Nothing => return false,
            Self::Net(net, only) => (net.contains(&ip), only),
            Self::Name(name, only) => match host {
                Host::Domain(asked) => (asked.trim_end_matches('.') == name, only),
                _ => return false,
            },
        };
        matches && only.is_none_or(|only| only == port)
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text == "none" {
            return Ok(Self::Nothing);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Net(ip.into_net(), None));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Net(address.ip().into_net(), Some(address.port())));
        }
        if text.contains('/') {
            let net = text.parse::<IpNet>();
            return net.map(|net| Self::Net(net, None)).map_err(|_| odd(text));
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| odd(text))?)),
            None => (text, None),
        };
        match Host::parse(name) {
            Ok(Host::Domain(name)) => Ok(Self::Name(name.trim_end_matches('.').to_owned(), port)),
            _ => Err(odd(text)),
        }
    }
}

fn odd(text: &str) -> String {
    format!(
        "{text:?} is none of: an address (10.1.2.3), a network (10.0.0.0/8), a host name (hooks.internal), each but the network with a port if you like (hooks.internal:8080), or none"
    )
}

/// One address as a network.
trait IntoNet {
    fn into_net(self) -> IpNet;
}

impl<T: Into<IpAddr>> IntoNet for T {
    fn into_net(self) -> IpNet {
        self.into().to_canonical().into()
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Net(net, None) => net.fmt(f),
            Self::Net(net, Some(port)) => SocketAddr::new(net.addr(), *port).fmt(f),
            Self::Name(name, None) => f.write_str(name),
            Self::Name(name, Some(port)) => write!(f, "{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str]) -> CallbackPolicy {
        CallbackPolicy::allowing(allowed.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn allows(policy: &CallbackPolicy, host: &str, address: &str) -> bool {
        let host = Host::parse(host).unwrap();
        let host = match &host {
            Host::Domain(name) => Host::Domain(name.as_str()),
            Host::Ipv4(ip) => Host::Ipv4(*ip),
            Host::Ipv6(ip) => Host::Ipv6(*ip),
        };
        policy.judge(&host, address.parse().unwrap()).is_ok()
    }

    #[test]
    fn without_a_rule_only_the_internet_is_called() {
        let strict = CallbackPolicy::default();
        assert!(allows(&strict, "example.com", "93.184.215.14:443"));
        assert!(allows(&strict, "example.com", "[2606:4700::1]:80"));
        for address in ["127.0.0.1:80", "10.0.0.1:80", "[::1]:80", "[fe80::1]:80"] {
            assert!(!allows(&strict, "example.com", address), "{address}");
        }
        let said = strict
            .judge_literal(&Host::Ipv4(Ipv4Addr::new(169, 254, 169, 254)), 80)
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("link-local") && said.contains("--callback-allow"),
            "{said}"
        );
        assert!(strict.judge_literal(&Host::Domain("localhost"), 80).is_ok());
    }

    #[test]
    fn loopback_is_loopback_however_it_is_written_and_nothing_else() {
        let local = CallbackPolicy::with_loopback();
        for address in [
            "127.0.0.1:80",
            "127.9.9.9:1",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert!(allows(&local, "localhost", address), "{address}");
        }
        for address in [
            "0.0.0.0:80",
            "[::]:80",
            "10.0.0.1:80",
            "169.254.169.254:80",
            "[64:ff9b::7f00:1]:80",
        ] {
            assert!(!allows(&local, "localhost", address), "{address}");
        }
    }

    #[test]
    fn a_rule_allows_what_it_says() {
        let nets = policy(&["10.0.0.0/8", "192.168.1.5:8080", "fd00::/8", "[fd01::1]:9"]);
        assert!(allows(&nets, "a.test", "10.255.0.1:1"));
        assert!(allows(&nets, "a.test", "[::ffff:10.0.0.1]:1"));
        assert!(allows(&nets, "a.test", "192.168.1.5:8080"));
        assert!(!allows(&nets, "a.test", "192.168.1.5:80"));
        assert!(!allows(&nets, "a.test", "192.168.1.6:8080"));
        assert!(allows(&nets, "a.test", "[fd12::1]:80"));
        assert!(!allows(&nets, "a.test", "127.0.0.1:80"));

        let names = policy(&["Hooks.Internal", "other.internal:8080"]);
        assert!(allows(&names, "hooks.internal", "10.0.0.1:1"));
        assert!(allows(&names, "hooks.internal.", "10.0.0.1:1"));
        assert!(!allows(&names, "x.hooks.internal", "10.0.0.1:1"));
        assert!(!allows(&names, "10.0.0.1", "10.0.0.1:1"));
        assert!(allows(&names, "other.internal", "10.0.0.1:8080"));
        assert!(!allows(&names, "other.internal", "10.0.0.1:80"));

        assert!(!allows(&policy(&["none"]), "a.test", "127.0.0.1:80"));
        assert!(allows(&policy(&["0.0.0.0/0"]), "a.test", "127.0.0.1:80"));
    }

    #[test]
    fn rules_are_read_and_shown_as_written() {
        for text in [
            "none",
            "10.0.0.0/8",
            "10.1.2.3:80",
            "[fd00::1]:80",
            "fd00::/8",
            "hooks.internal",
            "hooks.internal:8080",
        ] {
            assert_eq!(text.parse::<Allowed>().unwrap().to_string(), text);
        }
        for text in [
            "10.0.0.0/33",
            "http://hooks.internal",
            "a b",
            "host:port",
            "[::1",
            "*.internal/",
        ] {
            let error = text.parse::<Allowed>().unwrap_err();
            assert!(error.contains("10.0.0.0/8"), "{error}");
        }
    }
}

//! Which addresses belong to the public internet.
//!
//! What is not known to be public is refused: for IPv6, that is all outside of
//! 2000::/3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anywhere on the internet.
    Public,
    /// To this machine.
    Loopback,
    /// Into a private network.
    Private,
    /// To a neighbour on the link; the metadata of clouds is there.
    LinkLocal,
    /// To no single host of the internet.
    Reserved,
}

impl Reach {
    /// Where `ip` leads.
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => of_v4(ip),
            IpAddr::V6(ip) => of_v6(ip),
        }
    }

    /// For a text: "the address is ...".
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Reserved => "reserved",
        }
    }
}

/// By the registry of special-purpose addresses (RFC 6890 and its successors).
fn of_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [127, ..] => Reach::Loopback,
        // "This host", to which Linux connects as to loopback.
        [0, ..] => Reach::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private,
        // Behind a carrier's NAT; Alibaba's metadata is there.
        [100, 64..=127, ..] => Reach::Private,
        [169, 254, ..] => Reach::LinkLocal,
        // Protocol assignments; Oracle's metadata is there.
        [192, 0, 0, _] => Reach::Reserved,
        // Documentation, relays of 6to4, benchmarks.
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Reserved,
        [192, 88, 99, _] | [198, 18..=19, ..] => Reach::Reserved,
        // Looks public, and is the host of each virtual machine on Azure.
        [168, 63, 129, 16] => Reach::LinkLocal,
        // Multicast, what was never assigned, broadcast.
        [224..=255, ..] => Reach::Reserved,
        _ => Reach::Public,
    }
}

fn of_v6(ip: Ipv6Addr) -> Reach {
    let segments = ip.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Reach::Loopback,
        // NAT64 and 6to4 lead to the IPv4 address that they hold.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        [0xfc00..=0xfdff, ..] => Reach::Private,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        // Protocol assignments, Teredo among them; documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Reserved,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Reserved,
    }
}

/// Through a gateway even a loopback address would be that of another machine.
fn embedded(high: u16, low: u16) -> Reach {
    let bits = (u32::from(high) << 16) | u32::from(low);
    match of_v4(Ipv4Addr::from_bits(bits)) {
        Reach::Loopback => Reach::Reserved,
        reach => reach,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(ip: &str) -> Reach {
        Reach::of(ip.parse().unwrap())
    }

    #[test]
    fn only_the_internet_is_public() {
        for ip in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "168.63.129.17",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert_eq!(reach(ip), Reach::Public, "{ip}");
        }
    }

    #[test]
    fn all_else_has_a_name() {
        for (expected, ips) in [
            (
                Reach::Loopback,
                &[
                    "127.0.0.1",
                    "127.255.255.254",
                    "0.0.0.0",
                    "0.1.2.3",
                    "::",
                    "::1",
                    "::ffff:127.0.0.1",
                    "::ffff:0.0.0.0",
                ][..],
            ),
            (
                Reach::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                    "100.64.0.1",
                    "100.100.100.200",
                    "100.127.255.255",
                    "fc00::1",
                    "fd00:ec2::254",
                    "fdff::1",
                    "::ffff:192.168.1.1",
                    "64:ff9b::10.0.0.1",
                    "2002:c0a8:101::1",
                ],
            ),
            (
                Reach::LinkLocal,
                &[
                    "169.254.0.1",
                    "169.254.169.254",
                    "168.63.129.16",
                    "fe80::1",
                    "febf::1",
                    "::ffff:169.254.169.254",
                    "64:ff9b::169.254.169.254",
                    "2002:a9fe:a9fe::",
                ],
            ),
            (
                Reach::Reserved,
                &[
                    "192.0.0.192",
                    "192.0.2.1",
                    "192.88.99.1",
                    "198.18.0.1",
                    "198.51.100.1",
                    "203.0.113.1",
                    "224.0.0.1",
                    "239.255.255.255",
                    "240.0.0.1",
                    "255.255.255.255",
                    "64:ff9b::127.0.0.1",
                    "64:ff9b:1::1",
                    "2002:7f00:1::",
                    "2001::1",
                    "2001:db8::1",
                    "3fff::1",
                    "100::1",
                    "::1.1.1.1",
                    "::ffff:0:1.1.1.1",
                    "fec0::1",
                    "ff02::1",
                    "ff0e::1",
                    "4000::1",
                    "5f00::1",
                ],
            ),
        ] {
            for ip in ips {
                assert_eq!(reach(ip), expected, "{ip}");
            }
        }
    }
}

//! Which addresses are nobody's business but the machine's and its network's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not for URLs that come from others; `None` for one that is anybody's. An IPv4 address within an IPv6 one is looked
/// at as what it is: the kernel, a NAT64 gateway or a relay connects to it.
pub fn refusal(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => refusal_v4(ip),
        IpAddr::V6(ip) => refusal_v6(ip),
    }
}

/// The networks of the IANA registry of special-purpose addresses (RFC 6890) that lead to no host of the internet, and those of
/// clouds' metadata that are not in it.
const V4: [(Ipv4Addr, u32, &str); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "it is unspecified: this machine"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, PRIVATE),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "it is within a carrier's network (RFC 6598), as a cloud's metadata is"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, LOOPBACK),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "it is link-local, as a cloud's metadata is"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, PRIVATE),
    (Ipv4Addr::new(192, 0, 0, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 0, 2, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(192, 31, 196, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 52, 193, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 88, 99, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 168, 0, 0), 16, PRIVATE),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "it is for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(203, 0, 113, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(224, 0, 0, 0), 4, MULTICAST),
    (Ipv4Addr::new(240, 0, 0, 0), 4, RESERVED),
    (METADATA_OF_AZURE, 32, "it is a cloud's metadata"),
];

/// The wire server of Azure, an address of the internet that answers the machines within.
const METADATA_OF_AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

const PRIVATE: &str = "it is within a private network";
const LOOPBACK: &str = "it is this machine";
const DOCUMENTATION: &str = "it is for examples in documents";
const MULTICAST: &str = "it is many machines (multicast)";
const RESERVED: &str = "it is reserved";

fn refusal_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let is_within = |network: Ipv4Addr, bits: u32| (ip.to_bits() ^ network.to_bits()).leading_zeros() >= bits;
    V4.iter().find(|(network, bits, _)| is_within(*network, *bits)).map(|(_, _, why)| *why)
}

fn refusal_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if ip.is_loopback() {
        return Some(LOOPBACK);
    }
    if ip.is_unspecified() {
        return Some("it is unspecified: this machine");
    }
    if let Some(v4) = embedded(ip) {
        return refusal_v4(v4);
    }
    let [first, second, ..] = ip.segments();
    match (first, second) {
        (0xfc00..=0xfdff, _) => Some("it is unique-local: within a private network"),
        (0xfe80..=0xfebf, _) => Some("it is link-local"),
        (0xfec0..=0xfeff, _) => Some("it is site-local: within a private network"),
        (0xff00..=0xffff, _) => Some(MULTICAST),
        (0x2001, 0x0db8) | (0x3fff, 0x0000..=0x0fff) => Some(DOCUMENTATION),
        (0x2001, 0x0002) => Some("it is for benchmarks"),
        // Teredo's server and client stand in it scrambled; ORCHID's are no addresses; the rest of 2001::/23 is for protocols.
        (0x2001, 0x0000..=0x01ff) => Some(RESERVED),
        // Only 2000::/3 is given out to hosts.
        (0x2000..=0x3fff, _) => None,
        (0x0000..=0xfbff | 0xfe00..=0xfe7f, _) => Some(RESERVED),
    }
}

/// The IPv4 address in an IPv6 one: mapped, compatible, translated (RFC 6052, RFC 2765), 6to4 (RFC 3056) or ISATAP (RFC 5214).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        [_, _, _, _, 0 | 0x0200, 0x5efe, high, low] => v4(high, low),
        [..] => None,
    }
}

//! Networks of the operator's own that upstreams may live in.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::is_public;

/// Which hosts upstreams may have: an operator's choice, never a tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reach {
    /// Public ones, with TLS.
    #[default]
    Public,
    /// Those, and hosts in these networks, also without TLS.
    Networks(Arc<[Network]>),
    /// All, loopback and plain http too; for development.
    Anywhere,
}

impl Reach {
    /// Whether a connection to the address may be made.
    ///
    /// ```
    /// use bulkhead_policy::address::Reach;
    ///
    /// let reach = Reach::from_iter(["10.2.0.0/16".parse()?]);
    /// assert!(reach.admits("10.2.3.4".parse()?, false) && reach.admits("1.1.1.1".parse()?, true));
    /// assert!(!reach.admits("10.3.0.1".parse()?, true) && !reach.admits("1.1.1.1".parse()?, false));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn admits(&self, address: IpAddr, tls: bool) -> bool {
        let is_ours = match self {
            Self::Public => false,
            Self::Networks(networks) => networks.iter().any(|network| network.contains(address)),
            Self::Anywhere => true,
        };
        is_ours || tls && is_public(address)
    }
}

impl FromIterator<Network> for Reach {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let networks: Arc<[Network]> = networks.into_iter().collect();
        if networks.is_empty() { Self::Public } else { Self::Networks(networks) }
    }
}

/// Addresses with the same beginning, as in `10.2.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// A text that names no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a network such as 10.2.0.0/16 or an address; the bits behind the prefix must be 0, and not all bits can be"
)]
pub struct InvalidNetwork;

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.address.is_ipv4() == address.is_ipv4() && first_bits(address, self.prefix) == bits(self.address)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| InvalidNetwork)?)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| InvalidNetwork)?.to_canonical();
        let prefix = prefix.unwrap_or_else(|| width(address));
        let is_network =
            (1..=width(address)).contains(&prefix) && first_bits(address, prefix) == bits(address);
        if is_network { Ok(Self { address, prefix }) } else { Err(InvalidNetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The bits of an address, from the top of the number on.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn first_bits(address: IpAddr, prefix: u32) -> u128 {
    bits(address) & u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, inside, outside) in [
            (
                "10.2.0.0/16",
                vec!["10.2.0.0", "10.2.255.255", "::ffff:10.2.3.4"],
                vec!["10.3.0.0", "10.1.255.255", "a02::"],
            ),
            ("192.168.7.9", vec!["192.168.7.9"], vec!["192.168.7.8", "192.168.7.10"]),
            ("128.0.0.0/1", vec!["255.1.1.1"], vec!["127.0.0.1"]),
            ("fd00:1::/32", vec!["fd00:1:2::3"], vec!["fd00:2::", "253.0.0.1"]),
            ("fd00::1/128", vec!["fd00::1"], vec!["fd00::2"]),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(inside.iter().all(|address| parsed.contains(address.parse().unwrap())), "{network}");
            assert!(!outside.iter().any(|address| parsed.contains(address.parse().unwrap())), "{network}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10",
            "10.2.0.0/33",
            "10.2.0.0/0",
            "10.2.0.1/16",
            "::/0",
            "fd00::/129",
            "10.2.0.0/",
            "10.2.0.0/x",
            "host",
        ] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork), "{text}");
        }
    }
}

//! Where an upstream may live: base URLs, and which addresses count as public.
//!
//! The check on a document's base URL is the first of two. A name can resolve to anything, so whoever
//! connects must ask [`Reach::admits`] again for the address at hand.

mod network;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

pub use network::{InvalidNetwork, Network, Reach};

/// The address of an upstream, taken apart.
///
/// ```
/// use bulkhead_policy::address::{BaseUrl, Reach};
/// let base = BaseUrl::parse("https://api.example.com/openai/v1/", &Reach::Public)?;
/// assert_eq!((base.host.as_str(), base.port, base.path_prefix.as_str()), ("api.example.com", 443, "/openai"));
/// assert!(BaseUrl::parse("http://api.example.com", &Reach::Public).is_err());
/// # Ok::<(), bulkhead_policy::address::InvalidBaseUrl>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    /// True for https.
    pub tls: bool,
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What goes before a request's path: empty, or `/..` without a slash at its end. A final `/v1` is left
    /// out, because requests bring it themselves.
    pub path_prefix: String,
}

/// Says what is wrong with a base URL; holds nothing of it, since credentials hide in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    /// Not a URL with a host.
    #[error("an absolute https URL such as https://api.example.com")]
    Syntax,
    /// Neither https nor, where allowed, http.
    #[error("an https URL; plain http is for hosts in the networks that the operator allows")]
    Scheme,
    /// With user or password.
    #[error("a URL without user or password; name a credential instead")]
    UserInfo,
    /// With query or fragment.
    #[error("a URL without query and fragment")]
    Query,
    /// A host inside a network.
    #[error("a public host, or one in the networks that the operator allows (`proxy.private_upstreams`)")]
    Private,
}

impl BaseUrl {
    /// Longest base URL, in bytes.
    pub const LENGTH_MAX: usize = 512;

    /// Reads a base URL. A name that is not public passes where any network is within reach: it is judged by what it
    /// resolves to.
    ///
    /// # Errors
    /// [`InvalidBaseUrl`], worded as what was expected.
    pub fn parse(text: &str, reach: &Reach) -> Result<Self, InvalidBaseUrl> {
        let url =
            Some(text).filter(|text| text.len() <= Self::LENGTH_MAX).and_then(|text| Url::parse(text).ok());
        let url = url.ok_or(InvalidBaseUrl::Syntax)?;
        let tls = match url.scheme() {
            "https" => true,
            "http" if *reach != Reach::Public => false,
            _ => return Err(InvalidBaseUrl::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidBaseUrl::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidBaseUrl::Query);
        }
        let (host, is_within) = match url.host().ok_or(InvalidBaseUrl::Syntax)? {
            Host::Domain(name) => (name.to_owned(), is_public_name(name) || *reach != Reach::Public),
            Host::Ipv4(address) => (address.to_string(), reach.admits(address.into(), tls)),
            Host::Ipv6(address) => (address.to_string(), reach.admits(address.into(), tls)),
        };
        if !is_within {
            return Err(InvalidBaseUrl::Private);
        }
        let port = url.port_or_known_default().ok_or(InvalidBaseUrl::Syntax)?;
        let path = url.path().trim_end_matches('/');
        let path_prefix = path.strip_suffix("/v1").unwrap_or(path).to_owned();
        Ok(Self { tls, host, port, path_prefix })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}{}", self.host, self.port, self.path_prefix)
    }
}

/// Names that by convention never leave a network; any other name is judged by what it resolves to.
fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let inside = ["localhost", "local", "internal", "home.arpa"];
    !inside
        .iter()
        .any(|suffix| name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Says whether an address lies on the public internet.
///
/// False for private, loopback, link-local (the cloud's metadata service among them), shared, multicast,
/// documentation and reserved ranges of the IANA special-purpose registries, also where IPv6 wraps such an
/// IPv4 address.
///
/// ```
/// use bulkhead_policy::address::is_public;
/// assert!(is_public("1.1.1.1".parse()?));
/// assert!(!is_public("169.254.169.254".parse()?));
/// assert!(!is_public("::ffff:127.0.0.1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let inside = match address.octets() {
        [0 | 10 | 127, ..] => true,
        [100, second, ..] => second & 0xc0 == 64,
        [169, 254, ..] | [192, 168, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => true,
        [172, second, ..] => second & 0xf0 == 16,
        [198, second, third, _] => second & 0xfe == 18 || (second, third) == (51, 100),
        [203, 0, 113, _] => true,
        [first, ..] => first >= 224,
    };
    !inside
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Mapped, NAT64 and 6to4 carry an IPv4 address that is reached in the end.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo, benchmarking, ORCHID and the rest of 2001::/23; documentation.
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        // Documentation again; everything else that is global unicast lies in 2000::/3.
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests;

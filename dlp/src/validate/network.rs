//! Addresses and telephone numbers.

use std::net::Ipv6Addr;

/// A North American number: no service code (N11) as area or exchange.
pub(crate) fn nanp(text: &[u8]) -> bool {
    let mut digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let mut is_service_code = || {
        let (_, second, third) = (digits.next(), digits.next(), digits.next());
        second == Some(&b'1') && third == Some(&b'1')
    };
    !is_service_code() && !is_service_code()
}

/// An IPv6 address in any of its text forms (RFC 4291 section 2.2).
pub(crate) fn ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// A hardware address that was given to a device: one kind of separator, not all bits equal.
pub(crate) fn mac(text: &[u8]) -> bool {
    let separators = |separator: u8| text.contains(&separator);
    let digits = || text.iter().filter(|byte| byte.is_ascii_hexdigit());
    separators(b':') != separators(b'-')
        && digits().any(|&byte| byte != b'0')
        && digits().any(|&byte| !byte.eq_ignore_ascii_case(&b'f'))
}

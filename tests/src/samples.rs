//! Values a policy must find. Made here, so that no real-looking secret stands in the repository.

/// A card number that passes the Luhn check and is in no vendor's documentation.
pub const CARD: &str = "4539 5787 6362 1486";

/// A second one, for texts with two findings.
pub const OTHER_CARD: &str = "5550 1273 9846 1529";

/// An address under a domain that no allow-list of examples knows.
pub const EMAIL: &str = "mara.lindqvist@norrbacken-logistik.se";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A GitHub token with a valid checksum; another `seed` gives another token.
pub fn github_token(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let body: String = (0..30)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            base62(state % 62)
        })
        .collect();
    let mut checksum = u64::from(crc32fast::hash(body.as_bytes()));
    let mut tail = [0_u64; 6];
    for digit in tail.iter_mut().rev() {
        *digit = checksum % 62;
        checksum /= 62;
    }
    let tail: String = tail.into_iter().map(base62).collect();
    format!("{}{body}{tail}", ["gh", "p_"].concat())
}

fn base62(digit: u64) -> char {
    BASE62[usize::try_from(digit).expect("below 62")].into()
}

/// Writes every character of `text` as a JSON `\u` escape.
pub fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

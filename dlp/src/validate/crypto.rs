//! Addresses and keys of cryptocurrencies, which carry their own checksums.

use ring::digest::{SHA256, digest};

/// The longest payload in base 58 that is looked at: a private key with its version, flag and checksum.
const BASE58_BYTES_MAX: usize = 40;

/// Base58Check (BIP-13): the last four bytes are the start of a double SHA-256 of the others.
pub(crate) fn base58check(text: &[u8]) -> bool {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    // Little end first.
    let mut bytes: Vec<u8> = Vec::with_capacity(BASE58_BYTES_MAX);
    for letter in text {
        let Some(value) = ALPHABET.iter().position(|known| known == letter) else { return false };
        let mut carry = u32::try_from(value).unwrap_or_default();
        for byte in &mut bytes {
            carry += u32::from(*byte) * 58;
            let [_, _, high, low] = carry.to_be_bytes();
            *byte = low;
            carry = u32::from(high);
        }
        if let Ok(byte @ 1..) = u8::try_from(carry) {
            bytes.push(byte);
        }
        if bytes.len() > BASE58_BYTES_MAX {
            return false;
        }
    }
    // A leading one stands for a leading zero byte.
    bytes.extend(text.iter().take_while(|&&letter| letter == b'1').map(|_| 0));
    bytes.reverse();
    let Some((payload, check)) = bytes.len().checked_sub(4).and_then(|at| bytes.split_at_checked(at)) else {
        return false;
    };
    digest(&SHA256, digest(&SHA256, payload).as_ref()).as_ref().starts_with(check)
}

/// Bech32 or Bech32m (BIP-173, BIP-350) with the human-readable part `bc`.
pub(crate) fn bech32(text: &[u8]) -> bool {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    const BECH32: u32 = 1;
    const BECH32M: u32 = 0x2bc8_30a3;
    // The human-readable part, spread as the standard says: high bits, a zero, low bits.
    let prefix = [3, 3, 0, 2, 3];
    let data = text.iter().skip(3).map(|letter| {
        let value = ALPHABET.iter().position(|known| known == letter);
        value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default()
    });
    let checksum = prefix.into_iter().chain(data).fold(1_u32, |checksum, value| {
        let top = checksum >> 25;
        let next = (checksum & 0x01ff_ffff) << 5 ^ value;
        let bits = GENERATORS.iter().zip(0..).filter(|(_, bit)| top >> bit & 1 == 1);
        bits.fold(next, |next, (generator, _)| next ^ generator)
    });
    matches!(checksum, BECH32 | BECH32M)
}

/// Twelve or more words that could be a seed: none is one of the common words that BIP-39 leaves out, and
/// hardly any occurs twice.
pub(crate) fn mnemonic(text: &[u8]) -> bool {
    let mut words: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
    let count = words.len();
    let is_common = |word: &&[u8]| COMMON_WORDS.iter().any(|common| common.as_bytes() == *word);
    if !matches!(count, 12 | 15 | 18 | 21 | 24) || words.iter().any(is_common) {
        return false;
    }
    words.sort_unstable();
    words.dedup();
    count - words.len() <= 3
}

/// Words that most sentences have and the BIP-39 list has not.
const COMMON_WORDS: [&str; 20] = [
    "the", "and", "for", "are", "was", "you", "not", "his", "her", "has", "had", "but", "our", "were",
    "been", "from", "have", "your", "which", "would",
];

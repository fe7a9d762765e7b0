//! Numbers of persons in Asia, Africa and Oceania.

use super::checksum::{base36, digits, number, weighted};
use super::dates::{is_day, pair};

pub(crate) use super::checksum::{luhn, verhoeff};

/// The two digits that the letter of a Taiwanese or similar number stands for, from A to Z.
#[rustfmt::skip]
const TAIWANESE_LETTERS: [u32; 26] = [
    10, 11, 12, 13, 14, 15, 16, 17, 34, 18, 19, 20, 21, 22, 35, 23, 24, 25, 26, 27, 28, 29, 32, 30, 31, 33,
];

/// An Indian tax registration: base 36 with weights 1 and 2, the digits of each product added.
pub(crate) fn in_gstin(text: &[u8]) -> bool {
    let Some((&check, rest)) = text.split_last() else { return false };
    let sum: u32 = rest
        .iter()
        .zip([1, 2].into_iter().cycle())
        .map(|(&byte, weight)| base36(byte) * weight)
        .map(|product| product / 36 + product % 36)
        .sum();
    base36(check) == (36 - sum % 36) % 36
}

/// A Singaporean number: a letter by a weighted sum, from a table for citizens and one for foreigners.
pub(crate) fn sg_nric(text: &[u8]) -> bool {
    let (table, offset): (&[u8; 11], u32) = match text.first() {
        Some(b'S') => (b"JZIHGFEDCBA", 0),
        Some(b'T') => (b"JZIHGFEDCBA", 4),
        Some(b'F') => (b"XWUTRQPNMLK", 0),
        Some(b'G') => (b"XWUTRQPNMLK", 4),
        _ => (b"XWUTRQPNJLK", 3),
    };
    let sum = offset + weighted(digits(text), &[2, 7, 6, 5, 4, 3, 2]);
    text.last() == table.get(sum as usize % 11)
}

/// A Chinese resident's number: a day, and ISO 7064 MOD 11-2 with X for ten.
pub(crate) fn cn_resident_id(text: &[u8]) -> bool {
    let value = |byte: u8| if byte.eq_ignore_ascii_case(&b'X') { 10 } else { base36(byte) };
    let remainder = text.iter().fold(0, |remainder, &byte| (remainder * 2 + value(byte)) % 11);
    remainder == 1 && is_day(pair(text, 12), pair(text, 10))
}

/// A Japanese individual number: one check digit modulo 11.
pub(crate) fn jp_my_number(text: &[u8]) -> bool {
    let remainder = weighted(digits(text), &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
    digits(text).last() == Some(if remainder <= 1 { 0 } else { 11 - remainder })
}

/// A Korean registration number: a day, and a check digit for persons born before October 2020.
///
/// Numbers issued since then end in digits drawn at random.
pub(crate) fn kr_rrn(text: &[u8]) -> bool {
    let sum = weighted(digits(text), &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    let holds = digits(text).last() == Some((11 - sum % 11) % 10);
    let is_since_2000 = matches!(digits(text).nth(6), Some(3 | 4 | 7 | 8));
    let year_and_month = number(digits(text).take(4));
    (holds || is_since_2000 && year_and_month >= 2010) && is_day(pair(text, 4), pair(text, 2))
}

/// A South African number: a day, and Luhn.
pub(crate) fn za_id(text: &[u8]) -> bool {
    luhn(text) && is_day(pair(text, 4), pair(text, 2))
}

/// An Australian tax file number: a weighted sum modulo 11.
pub(crate) fn au_tfn(text: &[u8]) -> bool {
    let sum = weighted(digits(text), &[1, 4, 3, 7, 5, 8, 6, 9, 10]);
    sum > 0 && sum.is_multiple_of(11)
}

/// An Australian health card: the ninth digit checks the eight before it.
pub(crate) fn au_medicare(text: &[u8]) -> bool {
    let sum = weighted(digits(text), &[1, 3, 7, 9, 1, 3, 7, 9]);
    digits(text).nth(8) == Some(sum % 10)
}

/// A Taiwanese number: the letter as two digits, and a weighted sum.
pub(crate) fn tw_national_id(text: &[u8]) -> bool {
    let letter = text.first().map(|letter| usize::from(letter.wrapping_sub(b'A')));
    let Some(&letter) = letter.and_then(|index| TAIWANESE_LETTERS.get(index)) else { return false };
    let sum = letter / 10 + letter % 10 * 9 + weighted(digits(text), &[8, 7, 6, 5, 4, 3, 2, 1, 1]);
    sum.is_multiple_of(10)
}

/// A Hong Kong identity card: weights 9 to 1 modulo 11, a missing first letter counting 36.
pub(crate) fn hk_id(text: &[u8]) -> bool {
    let characters: Vec<u32> =
        text.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(|&byte| base36(byte)).collect();
    let padding = if characters.len() == 8 { Some(36) } else { None };
    let sum = weighted(padding.into_iter().chain(characters), &[9, 8, 7, 6, 5, 4, 3, 2, 1]);
    sum.is_multiple_of(11)
}

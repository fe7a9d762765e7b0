//! Numbers of persons, companies and vehicles in the Americas, and international ones.

use super::checksum::{base36, digits, luhn, number, weighted};
use super::dates::{is_day, pair};

/// A US social security number: an area, group and serial that can have been issued.
pub(crate) fn us_ssn(text: &[u8]) -> bool {
    let part = |from: usize, len: usize| number(digits(text).skip(from).take(len));
    !matches!(part(0, 3), 0 | 666 | 900..) && part(3, 2) != 0 && part(5, 4) != 0
}

/// A US employer identification number: a prefix that the IRS gives out.
pub(crate) fn us_ein(text: &[u8]) -> bool {
    matches!(
        pair(text, 0),
        1..=6 | 10..=16 | 20..=27 | 30..=48 | 50..=68 | 71..=77 | 80..=88 | 90..=95 | 98 | 99
    )
}

/// A US provider identifier: Luhn with the prefix of US health applications, 80840 (45 CFR 162.406).
pub(crate) fn us_npi(text: &[u8]) -> bool {
    luhn(&[b"80840", text].concat())
}

/// A registration of the US Drug Enforcement Administration: two letters and a weighted sum (21 CFR 1301).
pub(crate) fn us_dea(text: &[u8]) -> bool {
    let number = text.get(2..).unwrap_or_default();
    let check = digits(number).last();
    check == Some(weighted(digits(number), &[1, 2, 1, 2, 1, 2]) % 10)
}

/// A Brazilian person's number: two check digits, and not one digit repeated.
pub(crate) fn br_cpf(text: &[u8]) -> bool {
    let check = |count: u32| {
        let sum: u32 = digits(text).zip((2..=count + 1).rev()).map(|(digit, weight)| digit * weight).sum();
        digits(text).nth(count as usize) == Some(sum * 10 % 11 % 10)
    };
    let first = digits(text).next();
    digits(text).count() == 11 && digits(text).any(|digit| Some(digit) != first) && check(9) && check(10)
}

/// A Brazilian company's number, with letters since 2026: a character counts as its ASCII code less 48.
pub(crate) fn br_cnpj(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let values: Vec<u32> = text
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|&byte| u32::from(byte.wrapping_sub(b'0')))
        .collect();
    let check = |weights: &[u32]| {
        let rest = weighted(values.iter().copied(), weights) % 11;
        values.get(weights.len()) == Some(&if rest < 2 { 0 } else { 11 - rest })
    };
    let first = values.first();
    let [_, shorter @ ..] = &WEIGHTS;
    values.len() == 14 && values.iter().any(|value| Some(value) != first) && check(shorter) && check(&WEIGHTS)
}

/// A Mexican population register code: a date, and a check digit over an alphabet that has N with a tilde.
pub(crate) fn mx_curp(text: &[u8]) -> bool {
    // That letter stands between N and O and never occurs here, so letters from O on count one more.
    let value = |&byte: &u8| base36(byte) + u32::from(byte >= b'O');
    let sum: u32 =
        text.iter().take(17).map(value).zip((2..=18).rev()).map(|(value, weight)| value * weight).sum();
    let check = text.last().map(|&byte| base36(byte));
    check == Some((10 - sum % 10) % 10) && is_day(pair(text, 4), pair(text, 2))
}

/// A vehicle's number as used in North America: check digit in the ninth place (49 CFR 565.15).
pub(crate) fn vin(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |&byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'I' => u32::from(byte - b'A') + 1,
        b'J'..=b'R' => u32::from(byte - b'J') + 1,
        b'S'..=b'Z' => u32::from(byte - b'S') + 2,
        _ => 0,
    };
    let remainder = weighted(text.iter().map(value), &WEIGHTS) % 11;
    let check = text.get(8).map(|&byte| if byte == b'X' { 10 } else { value(&byte) });
    check == Some(remainder) && text.iter().any(u8::is_ascii_digit)
}

/// The machine-readable zone of a passport: five check digits in its second line (ICAO Doc 9303 part 4).
pub(crate) fn mrz_passport(text: &[u8]) -> bool {
    let Some(line) = text.len().checked_sub(44).and_then(|at| text.get(at..)) else { return false };
    let parts = |ranges: &[(usize, usize)]| -> Vec<u8> {
        ranges.iter().flat_map(|&(from, to)| line.get(from..to).unwrap_or_default()).copied().collect()
    };
    let holds = |ranges: &[(usize, usize)], check: usize| {
        line.get(check).is_some_and(|&check| mrz_sum(&parts(ranges)) % 10 == mrz_value(check))
    };
    holds(&[(0, 9)], 9)
        && holds(&[(13, 19)], 19)
        && holds(&[(21, 27)], 27)
        && holds(&[(28, 42)], 42)
        && holds(&[(0, 10), (13, 20), (21, 43)], 43)
}

/// A German identity card's number: the check digit of a machine-readable zone.
pub(crate) fn mrz_number(text: &[u8]) -> bool {
    let Some((&check, number)) = text.split_last() else { return false };
    mrz_sum(number) % 10 == mrz_value(check)
}

fn mrz_sum(text: &[u8]) -> u32 {
    text.iter().zip([7, 3, 1].into_iter().cycle()).map(|(&byte, weight)| mrz_value(byte) * weight).sum()
}

fn mrz_value(byte: u8) -> u32 {
    base36(byte)
}

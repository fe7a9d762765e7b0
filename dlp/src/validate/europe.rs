//! Numbers of persons in Europe.

use super::checksum::{base36, digits, luhn, mod11_10, number, weighted};
use super::dates::{is_day, pair};

pub(crate) use super::dates::date_of_birth;

/// The letters by which Spanish numbers are checked, by the number modulo 23.
const SPANISH_LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// The characters by which Finnish codes are checked, by the number modulo 31.
const FINNISH_CHARACTERS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

/// What odd places of an Italian tax code count, for 0 to 9 and A to Z.
#[rustfmt::skip]
const ITALIAN_ODD: [u32; 36] = [
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
];

/// A British health service number: weights 10 to 1 give a multiple of eleven.
pub(crate) fn uk_nhs(text: &[u8]) -> bool {
    weighted(digits(text), &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
        && digits(text).any(|digit| digit != 0)
}

/// A British national insurance number: a prefix that is given out.
pub(crate) fn uk_nino(text: &[u8]) -> bool {
    !matches!(text.get(..2), Some(b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ"))
}

/// A British tax reference: the first digit checks the others.
pub(crate) fn uk_utr(text: &[u8]) -> bool {
    let sum = weighted(digits(text).skip(1), &[6, 7, 8, 9, 10, 5, 4, 3, 2]);
    let check = [2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1].get(sum as usize % 11);
    digits(text).next() == check.copied()
}

/// A German tax number: ISO 7064, and one digit, only one, two or three times among the first ten.
pub(crate) fn de_steuer_id(text: &[u8]) -> bool {
    let count = |wanted: u32| digits(text).take(10).filter(|&digit| digit == wanted).count();
    let repeated: Vec<usize> = (0..10).map(count).filter(|&count| count > 1).collect();
    matches!(repeated[..], [2 | 3]) && mod11_10(digits(text))
}

/// A French social security number: 97 less the number modulo 97; the departments of Corsica count as 19 and 18.
pub(crate) fn fr_nir(text: &[u8]) -> bool {
    let plain: Vec<u8> = text.iter().copied().filter(|&byte| byte != b' ').collect();
    let digits: Vec<u8> = plain
        .iter()
        .zip(0..)
        .map(|(&byte, at)| match (at, byte) {
            (6, b'A') => b'9',
            (6, b'B') => b'8',
            _ => byte,
        })
        .collect();
    let mut digits = digits;
    if matches!(plain.get(6), Some(b'A' | b'B'))
        && let Some(tens) = digits.get_mut(5)
    {
        *tens = b'1';
    }
    let value = |from: usize, len: usize| number(super::checksum::digits(&digits).skip(from).take(len));
    digits.len() == 15 && value(13, 2) == 97 - value(0, 13) % 97
}

/// A Spanish citizen's or resident's number: a letter by the number modulo 23, X, Y and Z counting 0 to 2.
pub(crate) fn es_nif(text: &[u8]) -> bool {
    let leading = match text.first() {
        Some(b'Y') => 1,
        Some(b'Z') => 2,
        _ => 0,
    };
    let value = leading * 10_000_000 + number(digits(text));
    let letter = usize::try_from(value % 23).ok().and_then(|index| SPANISH_LETTERS.get(index));
    text.last() == letter
}

/// An Italian tax code: a day that exists and a letter over all others; letters may stand for digits.
pub(crate) fn it_codice_fiscale(text: &[u8]) -> bool {
    let Some((&check, rest)) = text.split_last() else { return false };
    let sum: u32 = rest
        .iter()
        .zip([true, false].into_iter().cycle())
        .map(|(&byte, is_odd)| match (is_odd, byte) {
            (true, _) => ITALIAN_ODD.get(base36(byte) as usize).copied().unwrap_or_default(),
            (false, b'0'..=b'9') => base36(byte),
            (false, _) => base36(byte) - 10,
        })
        .sum();
    // Digits that clash with another person's are replaced by these letters, from the right.
    let digit = |at: usize| {
        let byte = rest.get(at).copied().unwrap_or_default();
        b"LMNPQRSTUV"
            .iter()
            .position(|&letter| letter == byte)
            .map_or(u64::from(base36(byte)), |digit| digit as u64)
    };
    let day = digit(9) * 10 + digit(10);
    u32::from(check.wrapping_sub(b'A')) == sum % 26 && matches!(day, 1..=31 | 41..=71)
}

/// A Dutch service number: the eleven test, with the last digit subtracted.
pub(crate) fn nl_bsn(text: &[u8]) -> bool {
    let sum = weighted(digits(text), &[9, 8, 7, 6, 5, 4, 3, 2]);
    let last = digits(text).last().unwrap_or_default();
    sum > 0 && sum % 11 == last % 11
}

/// A Belgian register number: 97 less the number modulo 97, with a 2 in front for births from 2000 on.
pub(crate) fn be_nrn(text: &[u8]) -> bool {
    let value = number(digits(text).take(9));
    let check = pair(text, 9);
    let month = pair(text, 2) % 20;
    let holds = |value: u64| check == 97 - value % 97;
    month <= 12 && (holds(value) || holds(2_000_000_000 + value))
}

/// A Polish number: a day, the century in its month, and a weighted sum.
pub(crate) fn pl_pesel(text: &[u8]) -> bool {
    let sum = weighted(digits(text), &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    sum.is_multiple_of(10) && is_day(pair(text, 4), pair(text, 2) % 20)
}

/// A Swedish number: Luhn over the last ten digits, and a day, plus 60 for coordination numbers.
pub(crate) fn se_personnummer(text: &[u8]) -> bool {
    let all: Vec<u8> = text.iter().copied().filter(u8::is_ascii_digit).collect();
    let Some(last_ten) = all.len().checked_sub(10).and_then(|at| all.get(at..)) else { return false };
    let day = pair(last_ten, 4);
    luhn(last_ten) && is_day(if day > 60 { day - 60 } else { day }, pair(last_ten, 2))
}

/// A Finnish code: a day, and a character by the digits modulo 31.
pub(crate) fn fi_hetu(text: &[u8]) -> bool {
    let value = number(digits(text.get(..10).unwrap_or_default()));
    let check = usize::try_from(value % 31).ok().and_then(|index| FINNISH_CHARACTERS.get(index));
    text.last() == check && is_day(pair(text, 0), pair(text, 2))
}

/// A Danish number: a day. Its check digit has not been kept since 2007.
pub(crate) fn dk_cpr(text: &[u8]) -> bool {
    is_day(pair(text, 0), pair(text, 2))
}

/// A Norwegian number: two check digits modulo 11, and a day, plus 40 for others than residents.
pub(crate) fn no_fnr(text: &[u8]) -> bool {
    let day = pair(text, 0);
    weighted(digits(text), &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(digits(text), &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
        && is_day(if day > 40 { day - 40 } else { day }, pair(text, 2) % 40)
}

/// An EAN-13, as Swiss social security numbers are: weights 1 and 3 give a multiple of ten.
pub(crate) fn ean13(text: &[u8]) -> bool {
    weighted(digits(text), &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// A Russian pension number: weights 9 to 1, modulo 101, modulo 100.
pub(crate) fn ru_snils(text: &[u8]) -> bool {
    let sum = weighted(digits(text), &[9, 8, 7, 6, 5, 4, 3, 2, 1]);
    u64::from(sum % 101 % 100) == pair(text, 9)
}

/// A Turkish number: two check digits over the nine others.
pub(crate) fn tr_tckn(text: &[u8]) -> bool {
    let odd = weighted(digits(text), &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
    let even = weighted(digits(text), &[0, 1, 0, 1, 0, 1, 0, 1]);
    let sum: u32 = digits(text).take(10).sum();
    // A multiple of ten keeps the difference positive.
    let tenth = (odd * 7 + 40 - even) % 10;
    digits(text).nth(9) == Some(tenth) && digits(text).nth(10) == Some(sum % 10)
}

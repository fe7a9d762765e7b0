//! The arithmetic that check digits share.

/// The decimal digits of a text as numbers, separators left out.
pub(super) fn digits(text: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone {
    text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'))
}

/// The digits as one number; for at most 18 of them.
pub(super) fn number(digits: impl Iterator<Item = u32>) -> u64 {
    digits.take(18).fold(0, |number, digit| number * 10 + u64::from(digit))
}

/// The sum of the products of each digit and its weight, up to the shorter of the two.
pub(super) fn weighted(digits: impl Iterator<Item = u32>, weights: &[u32]) -> u32 {
    digits.zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// A character's value in base 36: 0 to 9, then A to Z.
pub(super) fn base36(byte: u8) -> u32 {
    char::from(byte).to_digit(36).unwrap_or_default()
}

/// ISO/IEC 7812-1 annex B: the last digit completes the sum, with every second one doubled, to a multiple of ten.
pub(crate) fn luhn(text: &[u8]) -> bool {
    let doubled = |digit: u32| if digit < 5 { digit * 2 } else { digit * 2 - 9 };
    let sum: u32 = digits(text)
        .rev()
        .zip([false, true].into_iter().cycle())
        .map(|(digit, is_second)| if is_second { doubled(digit) } else { digit })
        .sum();
    sum.is_multiple_of(10)
}

/// ISO 7064, MOD 11,10: a check digit over decimal digits.
pub(super) fn mod11_10(digits: impl Iterator<Item = u32>) -> bool {
    let mut product = 10;
    let mut last_sum = 0;
    for digit in digits {
        last_sum = (digit + product) % 10;
        let sum = if last_sum == 0 { 10 } else { last_sum };
        product = sum * 2 % 11;
    }
    last_sum == 1
}

/// The Verhoeff check digit, which catches every single error and every swap of neighbours.
pub(crate) fn verhoeff(text: &[u8]) -> bool {
    const MULTIPLY: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const PERMUTE: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let cell = |row: &[u8; 10], column: u32| row.get(column as usize).copied().map(u32::from);
    let mut check = 0_u32;
    for (digit, permutation) in digits(text).rev().zip(PERMUTE.iter().cycle()) {
        let permuted = cell(permutation, digit).unwrap_or_default();
        let row = MULTIPLY.get(check as usize);
        check = row.and_then(|row| cell(row, permuted)).unwrap_or_default();
    }
    check == 0
}

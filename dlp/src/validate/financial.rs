//! Cards, accounts and banks.

use super::checksum::{digits, luhn, number, weighted};

/// A payment card number: an issuer's range with its lengths (ISO/IEC 7812), the Luhn check digit, and either one
/// kind of separator or the groups that are printed on a card.
pub(crate) fn credit_card(text: &[u8]) -> bool {
    is_plainly_separated(text) && is_card_issuer(&Prefix::of(digits(text))) && luhn(text)
}

/// Whether a card number is written as people write it: columns of numbers and lists of versions are none.
fn is_plainly_separated(text: &[u8]) -> bool {
    let mut separators = text.split(u8::is_ascii_digit).filter(|separator| !separator.is_empty());
    let Some(first) = separators.next() else { return true };
    if matches!(first, b" " | b"-") && separators.all(|separator| separator == first) {
        return true;
    }
    let groups = text.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).filter(|&len| len > 0);
    let is_printed = CARD_GROUPS.iter().any(|printed| groups.clone().eq(printed.iter().copied()));
    is_printed && text.iter().filter(|&&byte| byte == b'\n').count() <= 1
}

/// Groups of digits on cards: most, 19 digits, American Express, Diners Club.
const CARD_GROUPS: [&[usize]; 4] = [&[4, 4, 4, 4], &[4, 4, 4, 4, 3], &[4, 6, 5], &[4, 6, 4]];

/// The leading digits of a number and how many digits it has.
struct Prefix {
    /// The first four digits as a number.
    first: u64,
    len: usize,
}

impl Prefix {
    fn of(digits: impl Iterator<Item = u32> + Clone) -> Self {
        Self { first: number(digits.clone().take(4)), len: digits.count() }
    }
}

fn is_card_issuer(prefix: &Prefix) -> bool {
    let lengths = match prefix.first {
        4000..=4999 => return matches!(prefix.len, 13 | 16 | 19), // Visa
        3400..=3499 | 3700..=3799 => 15..=15,                     // American Express
        5100..=5599 | 2221..=2720 => 16..=16,                     // Mastercard
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => 14..=19, // Diners Club
        3528..=3589 => 16..=19,                                   // JCB
        6011 | 6440..=6599 | 6200..=6299 => 16..=19,              // Discover, UnionPay
        5000..=5099 | 5600..=6999 => 12..=19,                     // Maestro
        2200..=2204 => 16..=19,                                   // Mir
        _ => return false,
    };
    lengths.contains(&prefix.len)
}

/// The second track of a card: a card number, and an expiry with a month that exists.
pub(crate) fn track2(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |&byte| byte == b'=');
    let (number_part, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    credit_card(number_part) && matches!(number(digits(rest).skip(2).take(2)), 1..=12)
}

/// A US bank's routing number: weights 3, 7, 1 give a multiple of ten.
pub(crate) fn aba_routing(text: &[u8]) -> bool {
    weighted(digits(text), &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}

/// A bank identifier code: a country that banks have (ISO 9362, ISO 3166).
pub(crate) fn swift_bic(text: &[u8]) -> bool {
    let country = text.get(4..6).unwrap_or_default();
    BANK_COUNTRIES.split(' ').any(|code| code.as_bytes() == country)
}

/// Countries in which banks have a code (ISO 3166).
const BANK_COUNTRIES: &str = "AD AE AF AG AL AM AO AR AT AU AW AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY \
    BZ CA CD CF CG CH CI CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ES ET FI FJ FK FM FO FR GA GB GD \
    GE GF GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KI \
    KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK ML MM MN MO MQ MR MT MU MV MW MX MY MZ \
    NA NC NE NG NI NL NO NP NR NZ OM PA PE PF PG PH PK PL PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SI SK \
    SL SM SN SO SR SS ST SV SX SY SZ TC TD TG TH TJ TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VN VU WS \
    XK YE ZA ZM ZW";

/// An international bank account number: its country's length and check digits (ISO 13616, ISO 7064).
///
/// A line break stands once and between groups of four, or lists of codes would be accounts.
pub(crate) fn iban(text: &[u8]) -> bool {
    let lines = text.iter().filter(|&&byte| byte == b'\n').count();
    if lines > 1 || lines == 1 && !is_in_fours(text) {
        return false;
    }
    let characters = || text.iter().copied().filter(u8::is_ascii_alphanumeric);
    let country = text.get(..2).unwrap_or_default();
    let known = IBAN_LENGTHS.binary_search_by(|(code, _)| code.as_bytes().cmp(country));
    let length = known.ok().and_then(|index| IBAN_LENGTHS.get(index)).map(|&(_, length)| length);
    if length != Some(characters().count()) {
        return false;
    }
    let rotated = characters().skip(4).chain(characters().take(4));
    let remainder = rotated.fold(0u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte.wrapping_sub(b'A')) + 10) % 97,
    });
    remainder == 1
}

/// Whether all groups of letters and digits but the last have four.
fn is_in_fours(text: &[u8]) -> bool {
    let mut groups = text.split(|byte| !byte.is_ascii_alphanumeric()).filter(|group| !group.is_empty());
    groups.next_back();
    groups.all(|group| group.len() == 4)
}

/// Countries and the length of their account numbers, by the SWIFT IBAN registry.
#[rustfmt::skip]
pub(super) const IBAN_LENGTHS: [(&str, usize); 89] = [
    ("AD", 24), ("AE", 23), ("AL", 28), ("AT", 20), ("AZ", 28), ("BA", 20), ("BE", 16), ("BG", 22), ("BH", 22),
    ("BI", 27), ("BR", 29), ("BY", 28), ("CH", 21), ("CR", 22), ("CY", 28), ("CZ", 24), ("DE", 22), ("DJ", 27),
    ("DK", 18), ("DO", 28), ("EE", 20), ("EG", 29), ("ES", 24), ("FI", 18), ("FK", 18), ("FO", 18), ("FR", 27),
    ("GB", 22), ("GE", 22), ("GI", 23), ("GL", 18), ("GR", 27), ("GT", 28), ("HN", 28), ("HR", 21), ("HU", 28),
    ("IE", 22), ("IL", 23), ("IQ", 23), ("IS", 26), ("IT", 27), ("JO", 30), ("KW", 30), ("KZ", 20), ("LB", 28),
    ("LC", 32), ("LI", 21), ("LT", 20), ("LU", 20), ("LV", 21), ("LY", 25), ("MC", 27), ("MD", 24), ("ME", 22),
    ("MK", 19), ("MN", 20), ("MR", 27), ("MT", 31), ("MU", 30), ("NI", 28), ("NL", 18), ("NO", 15), ("OM", 23),
    ("PK", 24), ("PL", 28), ("PS", 29), ("PT", 25), ("QA", 29), ("RO", 24), ("RS", 22), ("RU", 33), ("SA", 24),
    ("SC", 31), ("SD", 18), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27), ("SO", 23), ("ST", 25), ("SV", 28),
    ("TL", 23), ("TN", 24), ("TR", 26), ("UA", 29), ("VA", 22), ("VG", 24), ("XK", 20), ("YE", 30),
];

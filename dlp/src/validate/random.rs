//! Whether a text was drawn at random, as secrets are, or written by someone.

/// Words that stand in for a secret in documentation and templates.
const STAND_INS: [&str; 21] = [
    "example",
    "sample",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "your",
    "xxxx",
    "dummy",
    "redacted",
    "insert",
    "replace",
    "fixme",
    "todo",
    "test",
    "fake",
    "secret",
    "password",
    "foobar",
    "abcdef",
    "123456",
];

/// How many bits a character carries, by how often each occurs in the text (Shannon).
pub(crate) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for &byte in text {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let len = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let share = |&count: &u32| f64::from(count) / len;
    counts.iter().filter(|&&count| count > 0).map(share).map(|share| -share * share.log2()).sum()
}

/// A key of letters and digits in no order.
pub(crate) fn random_key(text: &[u8]) -> bool {
    entropy(text) >= 4.0 && has_digit_and_letter(text)
}

/// A key of hex digits in no order.
pub(crate) fn random_hex(text: &[u8]) -> bool {
    entropy(text) >= 3.0 && has_digit_and_letter(text)
}

/// A key of small letters and digits in no order.
pub(crate) fn random_lower(text: &[u8]) -> bool {
    entropy(text) >= 3.5 && has_digit_and_letter(text)
}

/// A key that has a digit, a small and a capital letter, as nearly all keys of twenty or more have.
pub(crate) fn mixed_key(text: &[u8]) -> bool {
    has_digit_and_letter(text)
        && text.iter().any(u8::is_ascii_lowercase)
        && text.iter().any(u8::is_ascii_uppercase)
}

/// The secret access key of AWS: forty characters of base64 with more than hex among them.
pub(crate) fn aws_secret(text: &[u8]) -> bool {
    entropy(text) >= 4.3 && !text.iter().all(u8::is_ascii_hexdigit)
}

/// What is assigned to a name such as `api_key`: random enough, and no word that stands in for it.
pub(crate) fn assigned_key(text: &[u8]) -> bool {
    let value = assigned(text);
    value.len() >= 16 && entropy(value) >= 3.7 && has_digit_and_letter(value) && !is_stand_in(value)
}

/// What is assigned to a name such as `password`: letters and something else, and nothing that stands in for it.
pub(crate) fn assigned_password(text: &[u8]) -> bool {
    let value = assigned(text);
    let kinds: [fn(&u8) -> bool; 4] =
        [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit, u8::is_ascii_punctuation];
    let kinds = kinds.iter().filter(|&&is_kind| value.iter().any(is_kind)).count();
    value.len() >= 8 && kinds >= 3 && entropy(value) >= 2.8 && !is_stand_in(value)
}

/// The same in quotes, and judged more strictly: as good as drawn at random.
pub(crate) fn literal_key(text: &[u8]) -> bool {
    let value = without_quote(assigned(text));
    value.len() >= 20 && entropy(value) >= 4.0 && mixed_key(value) && !is_stand_in(value) && !is_path(value)
}

/// A password in quotes, judged strictly: three kinds of characters, hardly one twice, no template.
pub(crate) fn literal_password(text: &[u8]) -> bool {
    let value = without_quote(assigned(text));
    let is_template =
        |byte: &u8| matches!(byte, b'{' | b'}' | b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'\\');
    assigned_password(text) && entropy(value) >= 3.0 && mixed_key(value) && !value.iter().any(is_template)
}

/// The password of a connection string: there, and nothing that stands in for it.
pub(crate) fn connection_password(text: &[u8]) -> bool {
    let value = text.rsplit(|&byte| byte == b'=').next().unwrap_or_default();
    value.len() >= 4 && !is_stand_in(value)
}

/// `name:password` in base64, both of characters that can be printed.
pub(crate) fn basic_credentials(text: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let encoded = without_quote(text).rsplit(|byte| !is_base64(byte)).next().unwrap_or_default();
    let decoded = decode_base64(encoded);
    let colons = decoded.iter().filter(|&&byte| byte == b':').count();
    colons == 1 && decoded.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn decode_base64(text: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut decoded, mut bits, mut count) = (Vec::with_capacity(text.len()), 0_u32, 0_u32);
    for value in text.iter().filter_map(|byte| ALPHABET.iter().position(|letter| letter == byte)) {
        bits = bits << 6 | u32::try_from(value).unwrap_or_default();
        count += 6;
        if count >= 8 {
            count -= 8;
            let [.., byte] = (bits >> count).to_be_bytes();
            decoded.push(byte);
        }
    }
    decoded
}

fn without_quote(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\"").or_else(|| text.strip_suffix(b"'")).unwrap_or(text)
}

/// A path, a name with dots or words joined by lines: written, not drawn.
fn is_path(text: &[u8]) -> bool {
    let parts = text.split(|byte| matches!(byte, b'/' | b'.' | b'-' | b'_' | b'='));
    let words = parts.filter(|part| part.len() >= 3 && part.iter().all(u8::is_ascii_alphabetic)).count();
    words >= 3
}

/// A secret in a URL or header: random enough, and nothing that stands in for it.
pub(crate) fn token(text: &[u8]) -> bool {
    entropy(text) >= 3.5 && has_digit_and_letter(text) && !is_stand_in(text)
}

/// Whether a text is written where a secret would be: a well-known word, a variable, one character repeated.
pub(crate) fn is_stand_in(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let contains = |part: &str| lower.windows(part.len()).any(|window| window == part.as_bytes());
    let is_marked = matches!(text, [b'<' | b'$' | b'%' | b'{' | b'*', ..])
        || ["${", "{{", "<", "...", "***"].into_iter().any(contains);
    is_marked || STAND_INS.into_iter().any(contains)
}

/// The value of an assignment: what comes after the operator, quotes and spaces.
fn assigned(text: &[u8]) -> &[u8] {
    let operator = text.iter().position(|byte| matches!(byte, b'=' | b':'));
    let after = operator.and_then(|at| text.get(at..)).unwrap_or_default();
    let is_value = |byte: &u8| !matches!(byte, b'=' | b':' | b'>' | b' ' | b'\'' | b'"' | b'`');
    after.iter().position(is_value).and_then(|at| after.get(at..)).unwrap_or_default()
}

fn has_digit_and_letter(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) && text.iter().any(u8::is_ascii_alphabetic)
}

/// The last six characters are the CRC-32 of the thirty before them, after the prefix, in base 62.
pub(crate) fn crc32_base62(token: &[u8]) -> bool {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body = token.rsplit(|&byte| byte == b'_').next().unwrap_or_default();
    let Some((random, check)) = body.len().checked_sub(6).and_then(|at| body.split_at_checked(at)) else {
        return false;
    };
    let stated = check.iter().try_fold(0_u64, |value, byte| {
        let digit = ALPHABET.iter().position(|letter| letter == byte)?;
        Some(value * 62 + digit as u64)
    });
    stated == Some(u64::from(crc32fast::hash(random)))
}

/// The first part of a Discord bot token: the bot's number, 17 to 20 digits, in base64.
pub(crate) fn discord_bot(text: &[u8]) -> bool {
    let number = decode_base64(text.split(|&byte| byte == b'.').next().unwrap_or_default());
    (17..=20).contains(&number.len()) && number.iter().all(u8::is_ascii_digit)
}

//! Which texts count as a token, and what takes their place.

use super::*;
use crate::keyed::TokenHash;
use crate::{apply_edits, catalogue};

const EMAIL: &str = "EMAIL_ADDRESS";

/// A token of a detector with a hash of one's choice.
fn token(detector: &str, hash: &str) -> Token {
    let hash = TokenHash(hash.as_bytes().try_into().unwrap());
    Token::new(catalogue().select(detector)[0].placeholder(), hash)
}

fn tokens(values: &[(&str, &str, &str)]) -> TokenMap {
    let mut tokens = TokenMap::default();
    for (detector, hash, value) in values {
        assert!(tokens.insert(&token(detector, hash), value.as_bytes()), "{hash}");
    }
    tokens
}

fn some() -> TokenMap {
    tokens(&[
        (EMAIL, "ABCDEFGHJK", "jane@acme.example"),
        (EMAIL, "ABCDEFGHJM", "joe@acme.example"),
        (EMAIL, "ABCD000000", "ann@acme.example"),
        ("US_SSN", "1234567890", "078-05-1120"),
        ("CREDIT_CARD", "ABCDEFGHJK", "say \"hi\"\n\u{1}é"),
    ])
}

/// Restores whole, byte by byte and over every cut; all of them must agree, and nothing may leave too early.
fn check(tokens: &TokenMap, text: &str, expected: &str) {
    let bytes = text.as_bytes();
    let whole = apply_edits(bytes, &tokens.restore(bytes));
    assert_eq!(String::from_utf8_lossy(&whole), expected, "{text}");
    let cuts = (0..=bytes.len()).map(|cut| vec![&bytes[..cut], &bytes[cut..]]);
    for parts in cuts.chain([bytes.chunks(1).collect()]) {
        let mut restorer = Restorer::default();
        let (mut edits, mut left) = (Vec::new(), 0);
        for part in parts {
            restorer.push(tokens, part);
            let known = edits.len();
            edits.extend(restorer.take_edits());
            assert!(edits[known..].iter().all(|edit| edit.start >= left), "{text}: a token had left");
            left = restorer.released();
            assert!(edits.iter().all(|edit| edit.end <= left));
        }
        restorer.finish(tokens);
        edits.extend(restorer.take_edits());
        assert_eq!(restorer.released(), bytes.len() as u64);
        assert_eq!(apply_edits(bytes, &edits), whole, "{text}");
    }
}

#[test]
fn whole_tokens_are_restored_in_any_case() {
    let tokens = some();
    check(&tokens, "to [EMAIL_ADDRESS_ABCDEFGHJK]!", "to jane@acme.example!");
    check(&tokens, "[email_address_abcdefghjm]", "joe@acme.example");
    check(&tokens, "[Email_Address_ABCDEFGHjk][US_SSN_1234567890]", "jane@acme.example078-05-1120");
    check(&tokens, "nothing [here] at [EMAIL_ADDRESS]", "nothing [here] at [EMAIL_ADDRESS]");
    check(&TokenMap::default(), "[EMAIL_ADDRESS_ABCDEFGHJK]", "[EMAIL_ADDRESS_ABCDEFGHJK]");
}

#[test]
fn brackets_around_and_before_a_token_are_text() {
    let tokens = some();
    check(&tokens, "[[EMAIL_ADDRESS_ABCDEFGHJK]]", "[jane@acme.example]");
    check(&tokens, "[EMAIL_[EMAIL_ADDRESS_ABCDEFGHJK](mailto)", "[EMAIL_jane@acme.example(mailto)");
    check(&tokens, "[EMAIL_ADDRESS_ABCDEFGH[US_SSN_1234567890]", "[EMAIL_ADDRESS_ABCDEFGH078-05-1120");
}

#[test]
fn a_token_that_was_cut_short_is_restored_only_where_one_fits() {
    let tokens = some();
    // Without its bracket.
    check(&tokens, "ask [EMAIL_ADDRESS_ABCDEFGHJK, or", "ask jane@acme.example, or");
    check(&tokens, "ask [EMAIL_ADDRESS_ABCDEFGHJM", "ask joe@acme.example");
    // Within its hash.
    check(&tokens, "[US_SSN_123456]", "078-05-1120");
    check(&tokens, "[US_SSN_1234567 ", "078-05-1120 ");
    check(&tokens, "[us_ssn_123456", "078-05-1120");
    check(&tokens, "[EMAIL_ADDRESS_ABCD00]é", "ann@acme.exampleé");
    // Too short, or more than one fits.
    for left in [
        "[US_SSN_12345]",
        "[US_SSN_12345",
        "[EMAIL_ADDRESS_ABCDEFGHJ]",
        "[EMAIL_ADDRESS_ABCDEFGHJ",
        "[EMAIL_ADDRESS_ABCD]",
    ] {
        check(&tokens, left, left);
    }
    // It goes on, and not as the token does.
    for left in ["[US_SSN_123456X]", "[US_SSN_1234567891]", "[US_SSN_12345678901]", "[US_SSN_1234567890_2]"] {
        check(&tokens, left, left);
    }
}

#[test]
fn a_value_is_escaped_inside_strings_of_json() {
    let tokens = some();
    let escaped = r#"say \"hi\"\u000a\u0001é"#;
    let plain = "say \"hi\"\n\u{1}é";
    let token = "[CREDIT_CARD_ABCDEFGHJK]";
    check(&tokens, &format!("it is {token}"), &format!("it is {plain}"));
    check(&tokens, token, plain);
    check(&tokens, &format!(r#"{{"note":"{token}"}}"#), &format!(r#"{{"note":"{escaped}"}}"#));
    check(
        &tokens,
        &format!(r#" [{{"a\"b":"x","{token}":1}}]"#),
        &format!(r#" [{{"a\"b":"x","{escaped}":1}}]"#),
    );
    check(&tokens, &format!(r#"{{"a":"\\"}} {token}"#), &format!(r#"{{"a":"\\"}} {plain}"#));
    // A text in quotes is no JSON of its own.
    check(&tokens, &format!(r#"he said "{token}""#), &format!(r#"he said "{plain}""#));
}

#[test]
fn only_what_a_token_of_the_request_starts_with_is_held() {
    let tokens = some();
    let held = |text: &str| {
        let mut restorer = Restorer::default();
        restorer.push(&tokens, text.as_bytes());
        text.len() as u64 - restorer.released()
    };
    for (text, expected) in [
        ("a [", 1),
        ("a [x", 0),
        ("a [em", 3),
        ("a [emx", 0),
        ("[EMAIL_ADDRESS_A", 16),
        ("[EMAIL_ADDRESS_B", 0),
        ("[CREDIT_CARD]", 0),
    ] {
        assert_eq!(held(text), expected, "{text}");
    }
}

#[test]
fn values_that_could_not_be_put_back_are_refused() {
    let mut tokens = TokenMap::default();
    let one = token(EMAIL, "ABCDEFGHJK");
    assert!(tokens.insert(&one, b"jane@acme.example"));
    assert!(tokens.insert(&one, b"jane@acme.example"));
    assert!(!tokens.insert(&one, b"joe@acme.example"), "one token for two values");
    assert!(!tokens.insert(&token(EMAIL, "ABCDEFGHJM"), br"CORP\jane"), "a backslash");
    assert!(!tokens.insert(&token(EMAIL, "ABCDEFGHJM"), b"\xff"), "no text");
    assert!(!tokens.insert(&token(EMAIL, "ABCDEFGHJM"), &[b'x'; VALUE_BYTES_MAX + 1]), "too long");
    for number in 1..TOKENS_MAX {
        assert!(tokens.insert(&token(EMAIL, &format!("{number:010}")), b"x"), "{number}");
    }
    assert!(!tokens.insert(&token(EMAIL, "ZZZZZZZZZZ"), b"x"), "too many");
    assert!(tokens.insert(&one, b"jane@acme.example"), "known before it was full");
    assert!(!format!("{tokens:?}").contains("jane"));
}

//! What counts as an example, and that near misses do not.

use super::*;
use crate::catalogue::catalogue;

fn check(id: &str, value: &str, expected: bool) {
    let detector = catalogue().select(id).remove(0);
    assert_eq!(is_example(detector, value.as_bytes()), expected, "{id} {value}");
}

#[test]
fn documented_values_are_examples() {
    for (id, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("OPENAI_API_KEY", "sk-proj-xxxxxxxxxxxxxxxxxxxxxxxx"),
        ("URL_BASIC_AUTH", "https://user:${PASSWORD}@"),
        ("URL_BASIC_AUTH", "https://bob:<token>@"),
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("CREDIT_CARD", "378282246310005"),
        ("US_SSN", "078-05-1120"),
        ("EMAIL_ADDRESS", "Jane@Example.com"),
        ("EMAIL_ADDRESS", "jane@mail.example.org"),
        ("IP_ADDRESS_V4", "203.0.113.7"),
        ("IP_ADDRESS_V6", "2001:DB8::1"),
        ("PHONE_NATIONAL_NANP", "(415) 555-0132"),
        ("PHONE_E164", "+1 415 555 0132"),
        ("IBAN_CODE", "GB82 WEST 1234 5698 7654 32"),
        ("GITHUB_TOKEN", "ghp_0123456789abcdefghijklmnopqrstuvwxyz"),
        ("JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"),
    ] {
        check(id, value, true);
    }
}

#[test]
fn values_that_could_be_someones_are_none() {
    for (id, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIAT5RMGN3GNRY2345Q"),
        ("OPENAI_API_KEY", "sk-proj-Zk3vQ9pLw2Rt8Xy1Nb6Hc4Jd"),
        ("CREDIT_CARD", "4539 5787 6362 1486"),
        ("US_SSN", "078-05-1121"),
        ("EMAIL_ADDRESS", "jane@notexample.com"),
        ("EMAIL_ADDRESS", "jane@example.com.acme.de"),
        ("IP_ADDRESS_V4", "192.0.3.7"),
        ("PHONE_NATIONAL_NANP", "(415) 555-0232"),
        ("CREDIT_CARD", "xxxx"),
    ] {
        check(id, value, false);
    }
}

#[test]
fn every_selector_names_a_detector() {
    for example in EXAMPLES.iter() {
        assert!(!catalogue().select(example.selector).is_empty(), "{}", example.selector);
    }
}

//! Check digits and ranges against published samples.

use super::*;

fn check(validator: Validator, valid: &[&str], invalid: &[&str]) {
    for text in valid {
        assert!(validator(text.as_bytes()), "{text} is valid");
    }
    for text in invalid {
        assert!(!validator(text.as_bytes()), "{text} is not valid");
    }
}

#[test]
fn credit_cards() {
    // Test numbers published by payment processors.
    let valid = [
        "4111111111111111",
        "4222222222222",
        "4012888888881881",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "30569309025904",
        "38520000023237",
        "6011111111111117",
        "3530111333300000",
        "6200000000000005",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "4111 1111-1111 1111",
        "4111.1111.1111.1111",
        "4111/1111/1111/1111",
        "4111  1111\t1111--1111",
        "4111 1111\r\n1111 1111",
    ];
    let invalid = [
        "4111111111111112",
        "411111111111111",
        "411 11111-1111 1111",
        "4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1",
        "4111\n1111\n1111\n1111",
        "9111111111111111",
        "378282246310006",
        "2721000000000004",
        "",
    ];
    check(credit_card, &valid, &invalid);
}

#[test]
fn ibans() {
    // Examples of the SWIFT registry.
    let valid = [
        "GB82WEST12345698765432",
        "DE89370400440532013000",
        "FR1420041010050500013M02606",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
        "NL91ABNA0417164300",
        "CH93 0076 2011 6238 5295 7",
        "CH93-0076-2011-6238-5295-7",
        "CH93.0076.2011.6238.5295.7",
        "SA03 8000 0000 6080 1016 7519",
    ];
    let invalid = ["GB82WEST1234569876543", "GB83WEST12345698765432", "ZZ82WEST12345698765432", "", "D"];
    check(iban, &valid, &invalid);
    assert!(IBAN_LENGTHS.is_sorted(), "the table is easier to compare with the registry when it is sorted");
}

#[test]
fn social_security_numbers() {
    let valid = ["078-05-1120", "219-09-9999", "123-45-6789", "665 01 0001", "899-99-9999"];
    check(
        us_ssn,
        &valid,
        &["000-12-3456", "666-12-3456", "900-12-3456", "999-12-3456", "123-00-4567", "123-45-0000"],
    );
}

#[test]
fn north_american_numbers() {
    check(nanp, &["(415) 555-0132", "212.736.5000"], &["(911) 555-0132", "415-211-0132"]);
}

#[test]
fn ipv6_addresses() {
    let valid = ["::1", "fe80::1", "2001:db8::8a2e:370:7334", "1:2:3:4:5:6:7:8"];
    check(ipv6, &valid, &["1:2:3:4:5:6:7:8:9", "12:30:45", "1::2::3", "aa:bb:cc:dd:ee:ff", ""]);
}

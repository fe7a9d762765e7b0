use super::*;

#[test]
fn reads_decimal_dollars_exactly() {
    for (text, nano) in [
        ("0", 0),
        ("0.000000001", 1),
        ("1", 1_000_000_000),
        ("500.00", 500_000_000_000),
        ("0.1", 100_000_000),
        ("18446744073.709551615", u64::MAX),
        ("007.5", 7_500_000_000),
    ] {
        assert_eq!(text.parse(), Ok(NanoUsd::new(nano)), "{text}");
    }
}

#[test]
fn refuses_what_is_no_amount() {
    for text in [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e3",
        "1,5",
        " 1",
        "0.0000000001",
        "18446744073.709551616",
        "99999999999",
        "١",
    ] {
        assert_eq!(text.parse::<NanoUsd>(), Err(InvalidAmount), "{text}");
    }
}

#[test]
fn shows_dollars() {
    for (nano, text) in
        [(0, "0.00"), (1, "0.000000001"), (1_500_000_000, "1.50"), (u64::MAX, "18446744073.709551615")]
    {
        assert_eq!(NanoUsd::new(nano).to_string(), text);
    }
}

#[test]
fn sums_never_wrap() {
    assert_eq!(NanoUsd::MAX.checked_add(NanoUsd::new(1)), None);
    assert_eq!(NanoUsd::MAX.saturating_add(NanoUsd::new(1)), NanoUsd::MAX);
    assert_eq!(NanoUsd::ZERO.saturating_sub(NanoUsd::new(1)), NanoUsd::ZERO);
}

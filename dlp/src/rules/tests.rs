//! Which rule wins, what is allowed, and that alerts shield nothing.

use super::*;
use crate::{CompileLimits, CustomDetector, CustomPattern, apply_edits, catalogue};

fn built_in(id: &str) -> Arc<Detector> {
    Arc::clone(catalogue().select(id)[0])
}

fn custom(id: &str, regex: &str) -> Arc<Detector> {
    let spec = CustomDetector { id: id.into(), pattern: CustomPattern::Regex(regex.into()) };
    Arc::new(Detector::custom(&spec, &CompileLimits::default()).unwrap())
}

fn rule_set(rules: &[(&Arc<Detector>, Action)], allow_values: &[&str]) -> RuleSet {
    let rules =
        rules.iter().map(|(detector, action)| Rule { detector: Arc::clone(detector), action: *action });
    RuleSet::new(rules.collect(), allow_values.iter().map(ToString::to_string).collect())
}

fn masked(rules: &RuleSet, text: &str) -> String {
    String::from_utf8(apply_edits(text.as_bytes(), &rules.scan(text.as_bytes()).edits)).unwrap()
}

#[test]
fn no_rule_finds_nothing() {
    let rules = RuleSet::new(Vec::new(), vec!["x".into()]);
    assert!(rules.is_empty());
    assert!(rules.scan(b"jane@example.com").clean());
    assert!(rules.scan(b"").clean());
}

#[test]
fn of_two_rules_for_one_detector_the_stricter_wins() {
    let email = built_in("EMAIL_ADDRESS");
    for actions in [[Action::Alert, Action::Block], [Action::Block, Action::Alert]] {
        let rules = rule_set(&actions.map(|action| (&email, action)), &[]);
        assert_eq!(rules.rules().len(), 1);
        let scan = rules.scan(b"jane@example.com");
        assert_eq!(scan.blocked.map(|blocked| blocked.action), Some(Action::Block));
        assert_eq!(scan.matches.len(), 1);
    }
}

#[test]
fn rules_are_ordered_by_confidence_then_id() {
    let rules = rule_set(
        &[
            (&built_in("US_SSN"), Action::Mask),
            (&built_in("PHONE_E164"), Action::Block),
            (&built_in("JWT"), Action::Alert),
            (&built_in("IBAN_CODE"), Action::Mask),
        ],
        &[],
    );
    let ids: Vec<&str> = rules.rules().iter().map(|rule| rule.detector.id().as_str()).collect();
    assert_eq!(ids, ["IBAN_CODE", "JWT", "US_SSN", "PHONE_E164"]);
}

#[test]
fn overlapping_masks_go_by_start_then_length_then_priority() {
    let (ab, bcd, abc, same) =
        (custom("AB", "ab"), custom("BCD", "bcd"), custom("ABC", "abc"), custom("AA", "a[b]"));
    let all = |detectors: &[&Arc<Detector>]| {
        let rules: Vec<_> = detectors.iter().map(|detector| (*detector, Action::Mask)).collect();
        rule_set(&rules, &[])
    };
    assert_eq!(masked(&all(&[&bcd, &ab]), "abcd bcd"), "[AB]cd [BCD]");
    assert_eq!(masked(&all(&[&ab, &abc]), "abcd"), "[ABC]d");
    assert_eq!(masked(&all(&[&ab, &same]), "ab"), "[AA]");
}

#[test]
fn an_alert_shields_nothing_from_being_masked() {
    let (wide, narrow) = (custom("WIDE", "id EMP-[0-9]{6}"), custom("NARROW", "EMP-[0-9]{6}"));
    let rules = rule_set(&[(&wide, Action::Alert), (&narrow, Action::Mask)], &[]);
    let scan = rules.scan(b"id EMP-123456");
    let ids: Vec<&str> = scan.matches.iter().map(|found| found.detector.id().as_str()).collect();
    assert_eq!(ids, ["WIDE", "NARROW"]);
    assert_eq!(masked(&rules, "id EMP-123456"), "id [NARROW]");
}

#[test]
fn a_block_rule_blocks_inside_a_masked_value() {
    let (wide, inner) = (custom("WIDE", "id EMP-[0-9]{6}"), custom("INNER", "EMP-"));
    let rules = rule_set(&[(&wide, Action::Mask), (&inner, Action::Block)], &[]);
    let blocked = rules.scan(b"the id EMP-123456").blocked.unwrap();
    assert_eq!((blocked.start, blocked.end), (7, 11));
}

#[test]
fn allowed_values_pass_whole_and_exact() {
    let email = built_in("EMAIL_ADDRESS");
    let rules = rule_set(&[(&email, Action::Mask)], &["first.last@acme.example", "support@acme.example"]);
    let cases = [
        ("support@acme.example", "support@acme.example"),
        ("to first.last@acme.example.", "to first.last@acme.example."),
        ("last@acme.example", "[EMAIL_ADDRESS]"),
        ("Support@acme.example", "[EMAIL_ADDRESS]"),
        ("support@acme.example.org", "[EMAIL_ADDRESS]"),
        ("x.support@acme.example", "[EMAIL_ADDRESS]"),
    ];
    for (text, expected) in cases {
        assert_eq!(masked(&rules, text), expected);
    }
    let blocking = rule_set(&[(&email, Action::Block)], &["first.last@acme.example"]);
    assert!(blocking.scan(b"first.last@acme.example").clean());
    assert!(blocking.scan(b"last@acme.example").blocked.is_some());
}

#[test]
fn debug_output_shows_no_allowed_value() {
    let rules = rule_set(&[(&built_in("JWT"), Action::Mask)], &["sesame"]);
    assert!(!format!("{rules:?}").contains("sesame"));
}

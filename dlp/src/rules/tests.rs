//! Which rule wins, what is allowed, and that alerts shield nothing.

use super::*;
use crate::catalogue::{Sample, samples};
use crate::{CompileLimits, CustomDetector, CustomPattern, apply_edits, catalogue};

fn built_in(id: &str) -> Arc<Detector> {
    Arc::clone(catalogue().select(id)[0])
}

fn custom(id: &str, regex: &str) -> Arc<Detector> {
    let spec = CustomDetector { id: id.into(), pattern: CustomPattern::Regex(regex.into()) };
    Arc::new(Detector::custom(&spec, &CompileLimits::default()).unwrap())
}

fn rule_set(rules: &[(&Arc<Detector>, Action)], allow_values: &[&str]) -> RuleSet {
    let rules = rules.iter().map(|(detector, action)| Rule::new(Arc::clone(detector), *action));
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
        assert_eq!(rules.rules().count(), 1);
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
    let ids: Vec<&str> = rules.rules().map(|rule| rule.detector.id().as_str()).collect();
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

/// Scans whole and byte by byte; both must give the same.
fn masked_both_ways(rules: &Arc<RuleSet>, text: &str) -> String {
    let mut scanner = rules.scanner();
    let mut edits = Vec::new();
    text.as_bytes().chunks(1).for_each(|byte| scanner.push(byte));
    scanner.finish();
    scanner.take_edits(&mut edits);
    let whole = masked(rules, text);
    assert_eq!(String::from_utf8(apply_edits(text.as_bytes(), &edits)).unwrap(), whole, "{text:?}");
    whole
}

fn everything_masked() -> Arc<RuleSet> {
    let rules = catalogue().iter().map(|detector| (detector, Action::Mask)).collect::<Vec<_>>();
    Arc::new(rule_set(&rules, &[]))
}

#[test]
fn values_behind_an_escape_of_nested_json_are_masked_and_the_escape_stays_whole() {
    let rules = everything_masked();
    let escapes = [
        r"\n",
        r"\t",
        r"\r",
        r"\b",
        r"\f",
        r"\\\n",
        r"\\\\\t",
        r#"\""#,
        r"\\",
        r"\/",
        r"\r\n",
        r"\u00e9",
        r"\u00E9",
        r"\ud83d\ude00",
        r"\\\u00e9",
    ];
    for escape in escapes {
        let text = format!("a{escape}AKIAHT5RMGN3GNRY2345{escape}jane.smith@example.com{escape}b");
        let expected = format!("a{escape}[AWS_ACCESS_KEY_ID]{escape}[EMAIL_ADDRESS]{escape}b");
        assert_eq!(masked_both_ways(&rules, &text), expected);
    }
}

#[test]
fn every_sample_is_found_behind_an_escape() {
    for Sample { id, before, value, .. } in samples() {
        let rules = Arc::new(rule_set(&[(&built_in(&id), Action::Mask)], &[]));
        for escape in [r"\n", r"\t", r"\r", r"\b", r"\f", r"\u00e9"] {
            let text = format!("{{\"x\": \"{before}a{escape}{value}\"}}");
            let start = text.find(&value).unwrap() as u64;
            let found = rules.scan(text.as_bytes()).matches;
            let starts: Vec<u64> = found.iter().map(|found| found.start).collect();
            assert_eq!(starts, [start], "{id}: {text:?}");
            masked_both_ways(&rules, &text);
        }
    }
}

#[test]
fn what_only_looks_like_an_escape_is_text() {
    let rules = everything_masked();
    let cases = [
        // JSON inside JSON inside JSON, or an escaped backslash and a letter: nobody can tell.
        (r"a\\nAKIAHT5RMGN3GNRY2345", r"a\\n[AWS_ACCESS_KEY_ID]"),
        (r"a\\nbob@example.com", r"a\\n[EMAIL_ADDRESS]"),
        (r"a\\\\nbob@example.com", r"a\\\\n[EMAIL_ADDRESS]"),
        (r"a\\u0041AKIAHT5RMGN3GNRY2345", r"a\\u0041[AWS_ACCESS_KEY_ID]"),
        // No letter of an escape.
        (r"a\xAKIAHT5RMGN3GNRY2345", r"a\xAKIAHT5RMGN3GNRY2345"),
        (r"a\Nbob@example.com", r"a\[EMAIL_ADDRESS]"),
        // A fifth digit, and too few of them.
        (r"a\u00410AKIAHT5RMGN3GNRY2345", r"a\u00410AKIAHT5RMGN3GNRY2345"),
        (r"a\u004 AKIAHT5RMGN3GNRY2345", r"a\u004 [AWS_ACCESS_KEY_ID]"),
        (r"a\u00\nAKIAHT5RMGN3GNRY2345", r"a\u00\n[AWS_ACCESS_KEY_ID]"),
        // Paths and accounts lose what would be the escape.
        (r"C:\new\report@example.com", r"C:\new\r[EMAIL_ADDRESS]"),
        (r"DOMAIN\user@example.com", r"DOMAIN\u[EMAIL_ADDRESS]"),
        (r"DOMAIN\ubadger@example.com", r"DOMAIN\ubad[EMAIL_ADDRESS]"),
        // A match that has begun runs over it.
        (r"https://user:pass\nword@example.com/", r"[URL_BASIC_AUTH]example.com/"),
        // Behind a match an escape is what it was.
        (r"078-05-1120\nb 078-05-1120n", r"[US_SSN]\nb 078-05-1120n"),
    ];
    for (text, expected) in cases {
        assert_eq!(masked_both_ways(&rules, text), expected, "{text}");
    }
}

#[test]
fn a_fixed_text_is_found_behind_an_escape_and_from_its_letter_on() {
    let spec = CustomDetector {
        id: "TERM".into(),
        pattern: CustomPattern::Terms { terms: vec!["new falcon".into()], ignore_case: false },
    };
    let term = Arc::new(Detector::custom(&spec, &CompileLimits::default()).unwrap());
    let rules = Arc::new(rule_set(&[(&term, Action::Mask)], &[]));
    let cases = [
        (r"a\nnew falcon", r"a\n[TERM]"),
        (r"a\\new falcon", r"a\\[TERM]"),
        // Taken at its word: a backslash must not hide it.
        (r"a\new falcon", r"a\[TERM]"),
        (r"a\anew falcon", r"a\a[TERM]"),
    ];
    for (text, expected) in cases {
        assert_eq!(masked_both_ways(&rules, text), expected, "{text}");
    }
}

#[test]
fn of_a_mask_the_last_bytes_may_stay() {
    let card = built_in("CREDIT_CARD");
    let name = custom("NAME", r#"name: (?:[A-Za-z0-9\\"]|é){4,16}"#);
    assert_eq!((card.keep_last_max(), name.keep_last_max()), (5, 4));
    assert_eq!(built_in("PRIVATE_KEY_PEM").keep_last_max(), 0);
    for (keep_last, text, expected) in [
        (
            4,
            "pay with 4111 1111 1111 1111, or 4111111111111111",
            "pay with [CREDIT_CARD]1111, or [CREDIT_CARD]1111",
        ),
        (5, "4111 1111 1111 1111", "[CREDIT_CARD] 1111"),
        (200, "4111 1111 1111 1111", "[CREDIT_CARD] 1111"),
        (4, "name: abcdef", "[NAME]cdef"),
        (4, "name: abéé", "[NAME]éé"),
        (3, "name: abéé", "[NAME]é"),
        (1, "name: abéé", "[NAME]"),
        (4, r#"name: abc\"de"#, "[NAME]de"),
        (2, r#"name: abcd\""#, "[NAME]"),
        (1, r#"name: abcd\""#, "[NAME]"),
    ] {
        let rules = [&card, &name]
            .map(|detector| Rule::new(Arc::clone(detector), Action::Mask).keeping_last(keep_last));
        let rules = Arc::new(RuleSet::new(rules.into(), Vec::new()));
        assert_eq!(masked(&rules, text), expected, "{keep_last}");
        for cut in 0..=text.len() {
            let (mut scanner, mut edits) = (rules.scanner(), Vec::new());
            for part in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
                scanner.push(part);
                scanner.take_edits(&mut edits);
            }
            scanner.finish();
            scanner.take_edits(&mut edits);
            assert_eq!(apply_edits(text.as_bytes(), &edits), expected.as_bytes(), "{text} cut at {cut}");
        }
    }
}

#[test]
fn an_address_may_be_masked_from_its_at_sign_on() {
    let rules = vec![Rule::new(Arc::clone(catalogue().email_domain()), Action::Mask)];
    let rules = Arc::new(RuleSet::new(rules, Vec::new()));
    for (text, expected) in [
        ("to jane.doe@mail.acme.example, or", "to jane.doe[EMAIL_ADDRESS], or"),
        ("a@b.example@c.example", "a[EMAIL_ADDRESS][EMAIL_ADDRESS]"),
        ("@app.route and @acme.example", "@app.route and @acme.example"),
        ("jane@localhost", "jane@localhost"),
    ] {
        assert_eq!(masked(&rules, text), expected);
        for cut in 0..=text.len() {
            let (mut scanner, mut edits) = (rules.scanner(), Vec::new());
            scanner.push(&text.as_bytes()[..cut]);
            // Nothing but what begins with an '@' is ever held.
            let held = text[usize::try_from(scanner.released()).unwrap()..cut].to_owned();
            assert!(held.is_empty() || held.starts_with('@'), "{held}");
            scanner.push(&text.as_bytes()[cut..]);
            scanner.finish();
            scanner.take_edits(&mut edits);
            assert_eq!(apply_edits(text.as_bytes(), &edits), expected.as_bytes(), "{text} cut at {cut}");
        }
    }
}

#[test]
fn of_two_masks_for_one_detector_the_one_that_keeps_less_wins() {
    let rule = |keep_last| Rule::new(built_in("US_SSN"), Action::Mask).keeping_last(keep_last);
    for kept in [[4, 2], [2, 4]] {
        assert_eq!(
            masked(&RuleSet::new(kept.map(rule).into(), Vec::new()), "SSN 078-05-1120"),
            "SSN [US_SSN]20"
        );
    }
}

#[test]
fn a_mask_wins_over_a_token_for_the_same_bytes() {
    let (a, b) = (custom("A", "secret"), custom("B", "secret"));
    for (first, second, expected) in
        [(Action::Tokenize, Action::Mask, "[B]"), (Action::Mask, Action::Tokenize, "[A]")]
    {
        let rules = rule_set(&[(&a, first), (&b, second)], &[]).with_value_key(ValueKey::new(b"key"));
        assert_eq!(masked(&rules, "secret"), expected);
    }
}

#[test]
fn tokens_and_fingerprints_depend_on_key_detector_and_value() {
    let email = built_in("EMAIL_ADDRESS");
    let of =
        |key: &str, action| rule_set(&[(&email, action)], &[]).with_value_key(ValueKey::new(key.as_bytes()));
    let (one, two) = (of("one", Action::Tokenize), of("two", Action::Tokenize));
    let token = masked(&one, "jane@example.com");
    assert_eq!(token, masked(&one, "jane@example.com"));
    assert_ne!(token, masked(&one, "joan@example.com"));
    assert_ne!(token, masked(&two, "jane@example.com"));
    let hash = token.strip_prefix("[EMAIL_ADDRESS_").and_then(|rest| rest.strip_suffix(']')).unwrap();
    assert!(
        hash.len() == 10 && hash.bytes().all(|byte| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte)),
        "{hash}"
    );
    let fingerprint =
        |rules: &RuleSet, text: &str| rules.scan(text.as_bytes()).matches[0].fingerprint.unwrap().to_string();
    let known = fingerprint(&one, "jane@example.com");
    assert_eq!(known.len(), 24);
    for action in [Action::Alert, Action::Mask, Action::Block] {
        assert_eq!(fingerprint(&of("one", action), "it is jane@example.com"), known, "{action}");
    }
    assert_ne!(fingerprint(&one, "joan@example.com"), known);
    assert_ne!(fingerprint(&two, "jane@example.com"), known);
    let without_key = rule_set(&[(&email, Action::Tokenize)], &[]);
    assert_eq!(masked(&without_key, "jane@example.com"), "[EMAIL_ADDRESS]");
    assert_eq!(without_key.scan(b"jane@example.com").matches[0].fingerprint, None);
}

#[test]
fn what_is_ready_finds_the_same_and_builds_nothing_more() {
    let (term, email) = (custom("OWN", "falcon"), built_in("EMAIL_ADDRESS"));
    let rules = [(&term, Action::Mask), (&email, Action::Mask)];
    let (ready, lazy) = (rule_set(&rules, &[]), rule_set(&rules, &[]));
    assert!(!ready.is_ready(), "most of many tenants ask nothing");
    ready.make_ready();
    assert!(ready.is_ready());
    let text = "falcon by jane@example.com";
    assert_eq!(masked(&ready, text), "[OWN] by [EMAIL_ADDRESS]");
    assert_eq!(masked(&lazy, text), masked(&ready, text));
    assert!(lazy.is_ready(), "the first scan builds what it needs");
}

//! Custom detectors: what they find, and how what they cannot do is explained.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{Action, Rule, RuleSet};

fn regex(pattern: &str) -> Result<Detector, CompileError> {
    let spec = CustomDetector { id: "X".into(), pattern: CustomPattern::Regex(pattern.into()) };
    Detector::custom(&spec, &CompileLimits::default())
}

fn terms(terms: &[&str], ignore_case: bool) -> Result<Detector, CompileError> {
    let terms = terms.iter().map(ToString::to_string).collect();
    let spec = CustomDetector { id: "X".into(), pattern: CustomPattern::Terms { terms, ignore_case } };
    Detector::custom(&spec, &CompileLimits::default())
}

fn masked(detector: Detector, text: &str) -> String {
    let rules = RuleSet::new(vec![Rule::new(Arc::new(detector), Action::Mask)], Vec::new());
    let scan = rules.scan(text.as_bytes());
    assert_eq!(scan, rules.scan_every_byte(text.as_bytes()));
    String::from_utf8(crate::apply_edits(text.as_bytes(), &scan.edits)).unwrap()
}

#[test]
fn terms_are_found_inside_words_and_the_longest_wins() {
    let cases = [
        (vec!["blue falcon"], false, "the blue falcon, Blue Falcon", "the [X], Blue Falcon"),
        (vec!["blue falcon"], true, "the Blue FALCON", "the [X]"),
        (vec!["falcon"], false, "superfalcons", "super[X]s"),
        (vec!["red", "red heron"], false, "red heron red", "[X] [X]"),
        (vec!["München"], true, "mÜnchen mÜNCHEN München MÜNCHEN MüNCHEN", "mÜnchen mÜNCHEN [X] MÜNCHEN [X]"),
        (vec!["x"], false, "a x b", "a [X] b"),
        (vec!["a", "aa"], false, "aaa", "[X][X]"),
        (vec![".*"], false, "a.*b", "a[X]b"),
        (vec!["blue falcon"], false, "bl\u{200b}ue\u{a0}fаlcоn ｂｌｕｅ falcon", "[X] [X]"),
        (vec!["Ａ\u{200b}１"], true, "a1 A1 ａ１", "[X] [X] [X]"),
        (vec!["Москва"], false, "Москва Mocквa Moscow", "[X] [X] Moscow"),
    ];
    for (list, ignore_case, text, expected) in cases {
        assert_eq!(masked(terms(&list, ignore_case).unwrap(), text), expected, "{list:?}");
    }
}

#[test]
fn white_space_in_a_term_stands_for_other_white_space() {
    let cases = [
        (
            vec!["blue falcon"],
            "blue  falcon blue\tFALCON blue\r\n  falcon blue\u{a0}\nfalcon",
            "[X] [X] [X] [X]",
        ),
        (vec!["blue falcon"], "bluefalcon blue     falcon", "bluefalcon blue     falcon"),
        (
            vec!["blue \t    falcon"],
            "blue falcon blue      falcon blue       falcon",
            "[X] [X] blue       falcon",
        ),
        (vec!["Dr Who Jr"], "dr who\tjr dr\twho jr", "[X] dr\twho jr"),
        (vec![" blue falcon "], "a  blue\nfalcon  b\tblue falcon ", "a [X] b\tblue falcon "),
        (vec!["blue", "blue falcon"], "blue  falcon blue", "[X] [X]"),
    ];
    for (list, text, expected) in cases {
        assert_eq!(masked(terms(&list, true).unwrap(), text), expected, "{list:?}");
    }
}

#[test]
fn terms_without_room_for_other_white_space_are_taken_as_they_are() {
    const REPEAT: usize = 16;
    let long = "word ".repeat(204) + "end";
    assert_eq!(long.len(), 1023);
    let detector = terms(&[&long], false).unwrap();
    assert_eq!(detector.max_len(), Some(1023));
    assert_eq!(masked(detector, &format!("a {long} b")), "a [X] b");
    let many: Vec<String> = (1000..2000).map(|n| format!("{n}{}", " a".repeat(REPEAT))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let detector = terms(&many, false).unwrap();
    assert_eq!(detector.max_len(), Some(4 + 2 * REPEAT));
    assert_eq!(masked(detector, &format!("a {} b", many[999])), "a [X] b");
}

#[test]
fn the_limit_holds_for_the_form_that_is_kept() {
    // Nearly every letter leads elsewhere here, so what only leads on takes more than a table of all.
    let pattern = CustomPattern::Regex("[a-z]{1,9}n[a-z]{1,9}nkk".into());
    let spec = CustomDetector { id: "X".into(), pattern };
    let sized = |max| {
        let limits = CompileLimits { automaton_bytes_max: max, ..CompileLimits::default() };
        Detector::custom(&spec, &limits).map(|detector| detector.automaton_bytes())
    };
    let bytes = sized(1 << 20).unwrap();
    assert_eq!(sized(bytes).unwrap(), bytes);
    let error = sized(bytes - 1).unwrap_err().to_string();
    assert!(error.contains(&format!("exceeds the limit of {} bytes", bytes - 1)), "{error}");
}

#[test]
fn regexes_find_the_longest_match() {
    let cases = [
        ("EMP-[0-9]{6}", "id EMP-123456!", "id [X]!"),
        ("(?:a|ab)(?:c|bcd)?", "abcd", "[X]"),
        (r"(?i)\bproject [a-z]{1,8}\b", "Project Alpha, project x", "[X], [X]"),
        (r"(?m)^top.{1,9}$", "x\ntop secret\nnot top secret", "x\n[X]\nnot top secret"),
        ("(?:ä|ö){2}", "xäöx", "x[X]x"),
        ("x.{1,3}", "xé€y", "[X]€y"),
        (r"id=[\x80-\xff]{1,9}", "id=é 2.", "[X] 2."),
        (r#"id=[^"]{1,9}"#, "id=a€b\"", "[X]\""),
        ("ＥＭＰ–[0-9]{3}", "EMP-123 ＥＭＰ−１２３", "[X] [X]"),
        (r"a（b）\.", "a(b). a（b）．", "[X] [X]"),
        (r"(?u:[аé]){2}[0-9]", "aé1 аa1 bé1", "[X] [X] bé1"),
        (r"(?u:[^а-в])[0-9]", "a1 b1 x1 б1 й1", "a1 [X] [X] б1 [X]"),
        ("x\u{200b}y", "xy x\u{ad}y", "[X] [X]"),
        ("[0-9]{3}$", "123 456", "123 [X]"),
        ("^[0-9]{3}", "123 456", "[X] 456"),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(masked(regex(pattern).unwrap(), text), expected, "{pattern}");
    }
}

#[test]
fn refusals_say_what_and_how_much() {
    let cases = [
        ("a+", "any length"),
        ("a{3,}", "{1,64}"),
        ("a{0,5}", "empty text"),
        ("", "empty text"),
        (r"\b", "empty text"),
        ("[a&&b]", "empty text"),
        ("a{2000}", "2000 bytes, the limit is 1024"),
        ("(a", "byte 0"),
        ("a{5,2}", "invalid regex"),
        (r"(a)\1", "backreferences"),
        ("a(?=b)", "look-around"),
        (r"\p{Greek}", "ASCII classes"),
        ("[é]", "ASCII classes"),
        (r"(?u:\bword\b)", "ASCII classes"),
        ("(?:[ab]{0,1}a[ab]{20}){1,20}c", "exceeds the limit of 4194304 bytes"),
    ];
    for (pattern, part) in cases {
        let message = regex(pattern).expect_err(pattern).to_string();
        assert!(message.starts_with("detector X: ") && message.contains(part), "{pattern}: {message}");
        assert!(!message.contains('\n'), "{pattern}: {message}");
    }
}

#[test]
fn limits_and_ids_are_checked() {
    let spec = |id: &str, terms: Vec<String>| CustomDetector {
        id: id.into(),
        pattern: CustomPattern::Terms { terms, ignore_case: false },
    };
    let limits = CompileLimits { terms_max: 2, pattern_bytes_max: 8, ..CompileLimits::default() };
    let list = |terms: &[&str]| terms.iter().map(ToString::to_string).collect::<Vec<_>>();
    let cases = [
        (spec("", list(&["a"])), "expected 1 to 64"),
        (spec("A B", list(&["a"])), "expected 1 to 64"),
        (spec("A\"]", list(&["a"])), "expected 1 to 64"),
        (spec(&"A".repeat(65), list(&["a"])), "expected 1 to 64"),
        (spec("A", list(&[])), "one or more terms"),
        (spec("A", list(&["a", ""])), "one or more terms"),
        (spec("A", list(&["a", "b", "c"])), "3 terms, the limit is 2"),
        (spec("A", list(&["abcde", "fghi"])), "9 bytes, the limit is 8"),
    ];
    for (spec, part) in cases {
        let message = Detector::custom(&spec, &limits).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_thousand_terms_compile_within_the_limits() {
    let list: Vec<String> = (0..1000).map(|number| format!("code name {}", number * 7919)).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    assert_eq!(masked(terms(&list, true).unwrap(), "Code Name 7919 x"), "[X] x");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_pattern_panics(
        pattern in prop_oneof![any::<String>(), "[ab(){}\\[\\]|*+?^$.\\\\bdpuwW0-9,:=!<>-]{0,24}"],
        text in prop_oneof![any::<String>(), "[ab0-9 ]{0,40}"],
    ) {
        let limits = CompileLimits { automaton_bytes_max: 200_000, ..CompileLimits::default() };
        let spec = CustomDetector { id: "X".into(), pattern: CustomPattern::Regex(pattern) };
        if let Ok(detector) = Detector::custom(&spec, &limits) {
            masked_bytes(detector, text.as_bytes());
        }
    }

    #[test]
    fn no_term_panics(list in prop::collection::vec(any::<String>(), 0..5), ignore_case: bool, text: String) {
        let found = list.iter().any(|term| !term.is_empty() && text.contains(term.as_str()));
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        if let Ok(detector) = terms(&list, ignore_case) {
            let matches = masked_bytes(detector, text.as_bytes());
            prop_assert!(matches > 0 || !found);
        }
    }
}

/// Scans with and without skipping and returns the number of matches.
fn masked_bytes(detector: Detector, text: &[u8]) -> usize {
    let rules = RuleSet::new(vec![Rule::new(Arc::new(detector), Action::Mask)], Vec::new());
    let scan = rules.scan(text);
    assert_eq!(scan, rules.scan_every_byte(text));
    scan.matches.len()
}

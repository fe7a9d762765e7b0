//! The gates open for every value and stay closed on clean text.

use std::sync::Arc;

use super::*;
use crate::catalogue;
use crate::catalogue::samples;

fn gate(selector: &str) -> RuleGate {
    gate_of(catalogue().select(selector))
}

fn gate_of(detectors: Vec<&Arc<Detector>>) -> RuleGate {
    RuleGate::new(&detectors.into_iter().map(Arc::clone).collect::<Vec<_>>())
}

fn first_stop(gate: &RuleGate, text: &str) -> Option<Stop> {
    let nothing = RuleGate::new(&[]);
    Search::new([&nothing, gate], text.as_bytes()).next(0)
}

#[test]
fn every_built_in_detector_has_a_gate_that_opens_for_its_sample() {
    for sample in samples() {
        let gate = gate(&sample.id);
        assert!(!gate.is_closed_to_skipping(), "{}", sample.id);
        for before in ["", "clean text ", "1, ", "a\n", "("] {
            let text = format!("{before}{} and more", sample.text());
            let stop = first_stop(&gate, &text).expect(&sample.id);
            assert!(stop.start <= before.len(), "{}: {text:?} stops at {}", sample.id, stop.start);
        }
    }
    assert!(!gate("*").is_closed_to_skipping());
}

#[test]
fn clean_text_has_no_stop() {
    let texts = [
        "",
        "ab",
        "Ordinary prose, with commas; and \"quotes\" - and dashes.",
        "fn main() { std::process::exit(map.get(&key).copied().unwrap_or_default()) }",
        "on 2026-11-21 at 12:30:45 version 1.2.3 took 1500 ms, 42 % of x[10] + y[20]",
        "a task-list, a risk-free key-value store, @decorator, user@ and @user",
        "https://docs.example/path/to/page?query=1 http://x https://y/z",
    ];
    let gate = gate_of(catalogue().default_set());
    for text in texts {
        let stop = first_stop(&gate, text);
        assert!(stop.is_none(), "{text:?} stops: {stop:?}");
    }
}

#[test]
fn short_or_missing_prefixes_leave_nothing_to_skip() {
    let cases = [
        ("[a-z]{3}x", true),
        ("ab", true),
        ("abc", false),
        ("(?:foo|bar)[0-9]{1,5}", false),
        ("(?:foo|[0-9])x", true),
    ];
    for (pattern, anywhere) in cases {
        let gate = Gate::from_prefixes(&crate::automaton::parse(pattern).unwrap());
        assert_eq!(matches!(gate, Gate::Anywhere), anywhere, "{pattern}");
    }
}

#[test]
fn texts_beyond_the_number_of_buckets_share_them() {
    let letters = || "abcdefghijklmnopqrstuvwxyz".chars();
    let pairs = letters().flat_map(|first| letters().map(move |second| (first, second)));
    let terms: Vec<String> = pairs.take(300).map(|(first, second)| format!("{first}{second} term")).collect();
    let spec = crate::CustomDetector {
        id: "X".into(),
        pattern: crate::CustomPattern::Terms { terms: terms.clone(), ignore_case: false },
    };
    let detector = Arc::new(Detector::custom(&spec, &crate::CompileLimits::default()).unwrap());
    let gate = RuleGate::new(&[detector]);
    assert!(!gate.is_closed_to_skipping());
    for term in terms {
        assert_eq!(first_stop(&gate, &format!("  {term}")).map(|stop| stop.window), Some(2), "{term}");
    }
}

#[test]
fn numbers_start_at_a_words_start() {
    let is_number = |detector: &&Arc<Detector>| {
        matches!(detector.gate(), Gate::Shape(Shape::Digits { .. } | Shape::DottedQuad | Shape::Iban))
    };
    let numbers: Vec<&Arc<Detector>> = catalogue().iter().filter(is_number).collect();
    assert!(!numbers.is_empty());
    for detector in numbers {
        for byte in b'0'..=b'9' {
            assert_eq!(detector.automaton().enter(Before::Word, byte), None, "{}", detector.id());
        }
    }
}

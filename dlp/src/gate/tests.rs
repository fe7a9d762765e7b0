//! The gates open for every value and stay closed on clean text.

use std::sync::Arc;

use super::*;
use crate::catalogue::samples;
use crate::{Action, Rule, catalogue};

fn gate(selector: &str) -> RuleGate {
    gate_of(catalogue().select(selector))
}

fn gate_of(detectors: Vec<&Arc<Detector>>) -> RuleGate {
    let detectors = detectors.into_iter().map(Arc::clone);
    let rules: Vec<Rule> = detectors.map(|detector| Rule::new(detector, Action::Mask)).collect();
    RuleGate::new(&rules)
}

#[test]
fn every_built_in_detector_has_a_gate_that_opens_for_its_sample() {
    for sample in samples() {
        let gate = gate(&sample.id);
        assert!(!gate.is_closed_to_skipping(), "{}", sample.id);
        for before in ["", "clean text ", "1, ", "a\n", "("] {
            let text = format!("{before}{} and more", sample.text());
            let stop = gate.next(text.as_bytes(), 0).expect(&sample.id);
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
        assert!(
            gate.next(text.as_bytes(), 0).is_none(),
            "{text:?} stops: {:?}",
            gate.next(text.as_bytes(), 0)
        );
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
    let gate = RuleGate::new(&[Rule::new(detector, Action::Mask)]);
    assert!(!gate.is_closed_to_skipping());
    for term in terms {
        assert_eq!(gate.next(format!("  {term}").as_bytes(), 0).map(|stop| stop.window), Some(2), "{term}");
    }
}

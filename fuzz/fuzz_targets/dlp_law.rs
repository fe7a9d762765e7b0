//! The law on arbitrary bytes: a stream cut anywhere gives what the whole text gives.
#![no_main]

use bulkhead_dlp::{Action, Rule, RuleSet, apply_edits, catalogue};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let rules = catalogue().iter().map(|detector| Rule { detector: Arc::clone(detector), action: Action::Mask });
    Arc::new(RuleSet::new(rules.collect(), Vec::new()))
});

fuzz_target!(|input: (u8, &[u8])| {
    let (step, text) = input;
    let whole = apply_edits(text, &RULES.scan(text).edits);
    let mut scanner = RULES.scanner();
    let mut edits = Vec::new();
    for chunk in text.chunks(usize::from(step).max(1)) {
        let released = scanner.released();
        scanner.push(chunk);
        let before = edits.len();
        scanner.take_edits(&mut edits);
        assert!(edits[before..].iter().all(|edit| edit.start >= released), "a released byte was masked later");
    }
    scanner.finish();
    scanner.take_edits(&mut edits);
    if scanner.blocked().is_none() {
        assert_eq!(apply_edits(text, &edits), whole);
    }
});

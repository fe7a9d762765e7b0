//! Policy documents: what is accepted has one canonical form, and its detectors compile or are refused.

use bulkhead_dlp::{CompileLimits, CustomDetector, CustomPattern, Detector};
use bulkhead_policy::document::{CheckOptions, PolicyDocument};

use crate::spelled;

const PIECES: [&str; 44] = [
    "\n",
    "\n  ",
    "\n- ",
    ": ",
    "{ ",
    " }",
    "[",
    "]",
    ", ",
    "'",
    "\"",
    "*",
    "\\",
    "dlp:",
    "rules:",
    "detectors:",
    "detect: [\"secret.*\"]",
    "on: both",
    "action: mask",
    "action: block",
    "mask: { keep_last: 4 }",
    "id: A",
    "regex: ",
    "terms: [\"a b\"]",
    "ignore_case: true",
    "min_confidence: 0.8",
    "[a-z]{1,9}",
    "(?:",
    ")",
    "{1,1000}",
    "\\b",
    "budgets: [{ id: a, scope: tenant, unit: usd, limit: \"1.00\", window: day }]",
    "limits:",
    "requests_per_minute: 1",
    "allow: { operations: [chat] }",
    "upstreams:",
    "openai: { base_url: \"https://api.openai.com\", dialect: openai }",
    "routes:",
    "models: [\"*\"]",
    "to: [openai]",
    "prices:",
    "capture: masked",
    "traces: { keep_days: 1 }",
    "{\"dlp\":{",
];

/// The input spells the document.
pub fn policy(input: &[u8]) {
    let text = spelled(input, &PIECES);
    let text = String::from_utf8_lossy(&text);
    // What is written as a regular expression meets its compiler also where nothing else is right.
    compile(&text);
    let options = CheckOptions::default();
    let Ok(document) = PolicyDocument::parse(&text, &options) else { return };
    let canonical = document.to_json();
    let again = PolicyDocument::parse(&canonical, &options).expect("the canonical form is accepted");
    assert_eq!(again.to_json(), canonical);
    for regex in document.dlp.detectors.iter().filter_map(|detector| detector.regex.as_deref()) {
        compile(regex);
    }
}

fn compile(regex: &str) {
    let limits =
        CompileLimits { automaton_bytes_max: 1 << 16, pattern_bytes_max: 256, ..CompileLimits::default() };
    let spec = CustomDetector { id: "OWN".into(), pattern: CustomPattern::Regex(regex.into()) };
    if let Ok(detector) = Detector::custom(&spec, &limits) {
        assert!(detector.max_len().is_some_and(|len| (1..=limits.match_bytes_max).contains(&len)));
        assert!(detector.automaton_bytes() <= limits.automaton_bytes_max);
    }
}

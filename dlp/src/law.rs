//! The law of this crate, tested: the result is a function of the bytes, whatever the cuts, and it is the
//! result that the definition gives.

mod reference;
mod samples;

use std::sync::Arc;

use proptest::prelude::*;

use crate::gate::Gate;
use crate::{
    Action, CompileLimits, CustomDetector, CustomPattern, Detector, Edit, Match, Rule, RuleSet, ValueKey,
    apply_edits, catalogue,
};

/// What the custom detectors of these tests look for, as the reference reads it.
const CUSTOM_PATTERNS: [(&str, &str); 2] = [
    ("PROJECT", r"(?i)blue[ \t\r\n]{1,4}falcon|falcon[ \t\r\n]{1,4}crest|-----BEGIN"),
    ("EMPLOYEE", r"EMP-[0-9]{3,6}(?:-[A-Z]{2}\b)?"),
];

/// What a channel's reader sees, and what was reported.
#[derive(Debug, PartialEq)]
struct Outcome {
    output: Vec<u8>,
    /// The edits, with the parts of one block joined: how many parts it has depends on the cuts.
    edits: Vec<Edit>,
    matches: Vec<Match>,
    blocked: Option<Match>,
}

/// How many cases share the catalogue out among them: with every detector in each, these tests take minutes.
const CASES: usize = 8;

/// In every case, because their candidates overlap with many others.
const CORE: [&str; 16] = [
    "AWS_ACCESS_KEY_ID",
    "CREDIT_CARD",
    "DB_CONNECTION_STRING",
    "EMAIL_ADDRESS",
    "IBAN_CODE",
    "IP_ADDRESS_V4",
    "IP_ADDRESS_V6",
    "JWT",
    "NPM_TOKEN",
    "PASSWORD_ASSIGNMENT",
    "PHONE_E164",
    "PHONE_NATIONAL_NANP",
    "PRIVATE_KEY_PEM",
    "URL_BASIC_AUTH",
    "US_SSN",
    "US_SSN_UNDELIMITED",
];

/// Rules over a case's part of the catalogue; `choose` picks an action, or none, by a detector's place in it.
fn rules(case: usize, choose: impl Fn(usize) -> Option<Action>, allow_values: &[&str]) -> Arc<RuleSet> {
    let is_in_case = |&(index, detector): &(usize, &Arc<Detector>)| {
        index % CASES == case % CASES || CORE.contains(&detector.id().as_str())
    };
    let built_in =
        catalogue().iter().enumerate().filter(is_in_case).map(|(_, detector)| Arc::clone(detector));
    let rules = built_in.chain(custom_detectors()).enumerate();
    let rules = rules.filter_map(|(index, detector)| Some(Rule::new(detector, choose(index)?))).collect();
    let rules = RuleSet::new(rules, allow_values.iter().map(ToString::to_string).collect());
    Arc::new(rules.with_value_key(ValueKey::new(b"law")))
}

fn custom_detectors() -> impl Iterator<Item = Arc<Detector>> {
    let regex = |id: &str, pattern: &str| CustomDetector {
        id: id.into(),
        pattern: CustomPattern::Regex(pattern.into()),
    };
    let terms = |id: &str, terms: &[&str], ignore_case| CustomDetector {
        id: id.into(),
        pattern: CustomPattern::Terms { terms: terms.iter().map(ToString::to_string).collect(), ignore_case },
    };
    let specs = [
        terms("PROJECT", &["blue falcon", "falcon crest", "-----BEGIN"], true),
        regex("EMPLOYEE", r"EMP-[0-9]{3,6}(?:-[A-Z]{2}\b)?"),
    ];
    let limits = CompileLimits::default();
    specs.into_iter().map(move |spec| Arc::new(Detector::custom(&spec, &limits).unwrap()))
}

/// Feeds the parts one after the other and checks what must hold after each.
fn stream<'a>(rules: &Arc<RuleSet>, text: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut scanner = rules.scanner();
    let (mut edits, mut matches) = (Vec::new(), Vec::new());
    // Where matches found later must not reach into: what had left before they were known.
    let mut left = 0;
    let blocks = ["PRIVATE KEY-----", "LS0tLS1CRUdJTi", "b3BlbnNzaC1rZXktdjEA"];
    let open_ended = String::from_utf8_lossy(&reference::view(text).0).into_owned();
    let open_ended = blocks.into_iter().any(|block| open_ended.contains(block));
    for part in parts {
        scanner.push(part);
        check_step(&mut scanner, &mut edits, &mut matches, &mut left, open_ended);
        let leaves_whole = |text: &str| text.is_char_boundary(usize::try_from(left).unwrap());
        assert!(std::str::from_utf8(text).map_or(true, leaves_whole), "left: {left}");
    }
    scanner.finish();
    check_step(&mut scanner, &mut edits, &mut matches, &mut left, open_ended);
    assert_eq!(scanner.pushed(), text.len() as u64);
    let blocked = scanner.blocked().cloned();
    if blocked.is_none() {
        assert_eq!(scanner.released(), text.len() as u64);
    }
    outcome(text, scanner.released(), edits, matches, blocked)
}

fn check_step(
    scanner: &mut crate::StreamScanner,
    edits: &mut Vec<Edit>,
    matches: &mut Vec<Match>,
    left: &mut u64,
    open_ended: bool,
) {
    let (known_edits, known_matches) = (edits.len(), matches.len());
    scanner.take_edits(edits);
    scanner.take_matches(matches);
    let released = scanner.released();
    assert!(released >= *left && released <= scanner.pushed());
    for edit in &edits[known_edits..] {
        assert!(edit.start >= *left, "a byte of {edit:?} had left: {left}");
        assert!(edit.end <= released, "{edit:?} reaches beyond {released}");
    }
    for found in &matches[known_matches..] {
        // Masks were checked by their edits. Other matches may be reported late only where a match without
        // an upper length keeps the order; what it lets go is final all the same.
        let late = open_ended
            || matches!(found.action, Action::Mask | Action::Tokenize)
            || covered(edits, found, *left);
        assert!(found.start >= *left || late, "a byte of {found:?} had left: {left}");
    }
    *left = released;
}

/// Whether the part of a match that has left was masked.
fn covered(edits: &[Edit], found: &Match, left: u64) -> bool {
    (found.start..left.min(found.end)).all(|at| edits.iter().any(|edit| edit.start <= at && at < edit.end))
}

fn whole(rules: &Arc<RuleSet>, text: &[u8]) -> Outcome {
    let scan = rules.scan(text);
    let released = if scan.blocked.is_some() { None } else { Some(text.len() as u64) };
    let mut scanner = rules.scanner();
    let released = released.unwrap_or_else(|| {
        scanner.push(text);
        scanner.finish();
        scanner.released()
    });
    outcome(text, released, scan.edits, scan.matches, scan.blocked)
}

fn outcome(
    text: &[u8],
    released: u64,
    edits: Vec<Edit>,
    matches: Vec<Match>,
    blocked: Option<Match>,
) -> Outcome {
    let mut joined: Vec<Edit> = Vec::new();
    for edit in edits {
        match joined.last_mut() {
            Some(last) if edit.replacement.is_none() => {
                assert_eq!(last.end, edit.start, "a block goes on where it stopped");
                last.end = edit.end;
            }
            _ => joined.push(edit),
        }
    }
    assert!(joined.windows(2).all(|pair| pair[0].end <= pair[1].start), "edits are ordered and disjoint");
    let output = apply_edits(&text[..usize::try_from(released).unwrap()], &joined);
    Outcome { output, edits: joined, matches, blocked }
}

/// Compares one text with the definition and over `cuts` ways of cutting it.
fn check(rules: &Arc<RuleSet>, text: &[u8], cuts: &[usize]) {
    let expected = stream(rules, text, [text]);
    let shown = String::from_utf8_lossy(text);
    assert_eq!(whole(rules, text), expected, "whole: {shown:?}");
    assert_eq!(stream(rules, text, text.chunks(1)), expected, "byte by byte: {shown:?}");
    for &cut in cuts {
        let (head, tail) = text.split_at(cut.min(text.len()));
        assert_eq!(stream(rules, text, [head, tail]), expected, "cut at {cut}: {shown:?}");
    }
    let by_definition = reference::judge(rules, text);
    assert_eq!(expected.blocked.is_some(), by_definition.blocks, "verdict: {shown:?}");
    if let Some(blocked) = &expected.blocked {
        assert!(by_definition.is_blocking(blocked), "{blocked:?} is no match of a block rule: {shown:?}");
        // What left before the block is a part of what the definition gives without the block rules.
        assert!(by_definition.output.starts_with(&expected.output), "output before block: {shown:?}");
    } else {
        assert!(
            std::str::from_utf8(text).is_err() || std::str::from_utf8(&expected.output).is_ok(),
            "{shown:?}"
        );
        assert_eq!(
            String::from_utf8_lossy(&expected.output),
            String::from_utf8_lossy(&by_definition.output),
            "output: {shown:?}"
        );
        assert_eq!(by_definition.spans(), reference::spans_of(&expected.matches), "matches: {shown:?}");
    }
}

fn every_cut(text: &[u8]) -> Vec<usize> {
    (0..=text.len()).collect()
}

fn action(number: usize) -> Option<Action> {
    match number % 8 {
        0 => None,
        1 => Some(Action::Block),
        2 => Some(Action::Alert),
        3 => Some(Action::Tokenize),
        _ => Some(Action::Mask),
    }
}

/// The rule sets every fixed text is tried with.
fn rule_sets() -> Vec<Arc<RuleSet>> {
    let mask_only = rules(0, |_| Some(Action::Mask), &[]);
    let actions = [Action::Mask, Action::Alert, Action::Tokenize];
    let alternating = rules(1, move |index| Some(actions[index % 3]), &[]);
    let with_block = |remainder| {
        let choose = move |index| Some(if index % 5 == remainder { Action::Block } else { Action::Mask });
        rules(remainder + 2, choose, &[])
    };
    let allowed = ["first.last@acme.example", "078-05-1120", "blue falcon crest"];
    let allowing = rules(7, |_| Some(Action::Mask), &allowed);
    let mut sets = vec![mask_only, alternating, allowing];
    sets.extend((0..5).map(with_block));
    sets
}

/// A rule set of each case, masks only in every other one.
fn sets_of_all_cases() -> Vec<Arc<RuleSet>> {
    let choose = |case: usize| {
        move |index| if case.is_multiple_of(2) { Some(Action::Mask) } else { action(index + 1) }
    };
    (0..CASES).map(|case| rules(case, choose(case), &[])).collect()
}

#[test]
fn fixed_texts_cut_everywhere() {
    let sets = rule_sets();
    for text in samples::ADVERSARIAL {
        for rules in &sets {
            check(rules, text.as_bytes(), &every_cut(text.as_bytes()));
        }
    }
}

#[test]
fn two_samples_glued_together_cut_everywhere() {
    let sets = sets_of_all_cases();
    let samples = samples::samples();
    for (index, left) in samples.iter().enumerate() {
        // Of the same case, so that both can be found.
        let right = &samples[(index + 5 * CASES) % samples.len()];
        let glue = ["", " ", ".", "@", "-"][index / CASES % 5];
        let text = format!("{left}{glue}{right}");
        let cuts: Vec<usize> =
            every_cut(text.as_bytes()).into_iter().filter(|cut| cut % 32 == index % 32).collect();
        check(&sets[index % CASES], text.as_bytes(), &cuts);
    }
}

#[test]
fn context_words_count_wherever_the_text_is_cut() {
    let rules = rules(0, |_| Some(Action::Mask), &[]);
    let far = |bytes: usize| format!("ssn{}078051120", ".".repeat(bytes));
    let texts = [
        "ssn 078051120",
        "my SSN:078051120 and 078051120",
        "assn 078051120",
        "my_ssn=078051120",
        "078051120 ssn",
        "Social Security ssn ss 078051120",
        r"{\nssn\n078051120 \\nssn 078051120",
        r"\u0041ssn 078051120",
        "ssn 1 ssn 2 ssn 3 078051120 ssn078051120 ssn",
        "s ss sssn sssn 078051120 social securit 078051120",
    ];
    for text in texts.into_iter().map(str::to_owned).chain((57..64).map(far)) {
        check(&rules, text.as_bytes(), &every_cut(text.as_bytes()));
    }
    // The word may start 64 bytes before the value, and not more.
    assert!(!rules.scan(far(61).as_bytes()).clean());
    assert!(rules.scan(far(62).as_bytes()).clean());
}

#[test]
fn a_backslash_does_not_hide_a_fixed_text() {
    let rules = rules(0, |_| Some(Action::Mask), &[]);
    let fixed = rules.rules().map(|rule| rule.detector);
    let fixed = fixed.filter(|detector| matches!(detector.gate(), Gate::Texts(_)));
    let samples = fixed.filter_map(|detector| detector.example());
    for sample in samples.filter(|sample| sample.starts_with(['n', 'r'])) {
        let text = format!(r"dir\{sample} x");
        check(&rules, text.as_bytes(), &every_cut(text.as_bytes()));
        let outcome = stream(&rules, text.as_bytes(), [text.as_bytes()]);
        assert!(!outcome.output.windows(sample.len()).any(|window| window == sample.as_bytes()), "{text}");
    }
}

#[test]
fn samples_behind_escapes_cut_everywhere() {
    let sets = sets_of_all_cases();
    let escapes = [
        r"\n", r"\t", r"\r", r"\b", r"\f", r"\\n", r"\\\n", r"\u00e9", r"\u00E", r"\u", r#"\""#, r"\/", r"\",
    ];
    for (index, sample) in samples::samples().iter().enumerate() {
        let escape = escapes[index % escapes.len()];
        let text = format!("a{escape}{sample}{escape}b");
        // Cuts behind the first bytes of a sample have nothing to do with what is before it.
        let near = escape.len() + 4;
        let cuts = (0..=text.len()).filter(|&cut| cut <= near || cut + near >= text.len());
        check(&sets[index % CASES], text.as_bytes(), &cuts.collect::<Vec<_>>());
    }
}

/// The exact answer for the text that made others release the middle of a match.
#[test]
fn a_later_candidate_that_lives_on_does_not_cut_a_finished_key() {
    let text = "here AKIAHT5RMGN3GNRY9452 to river a of fox customer bank";
    let rules = rules(0, |_| Some(Action::Mask), &[]);
    for cut in 0..text.len() {
        let (head, tail) = text.as_bytes().split_at(cut);
        let outcome = stream(&rules, text.as_bytes(), [head, tail]);
        let expected = reference::judge(&rules, text.as_bytes());
        assert_eq!(outcome.output, expected.output);
    }
}

fn actions() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 64)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_mixes_of_candidates(
        text in samples::adversarial_text(),
        actions in prop_oneof![actions(), Just(vec![3; 64])],
        allow in any::<bool>(),
        case in 0..CASES,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let allow_values: &[&str] = if allow { &["a.b@c.example", "jane@example.com", "4111 1111 1111 1111"] } else { &[] };
        let rules = rules(case, |index| action(actions[index % actions.len()].into()), allow_values);
        let single: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        check(&rules, &text, &single);
        let mut bounds = single;
        bounds.extend([0, text.len()]);
        bounds.sort_unstable();
        let parts = bounds.windows(2).map(|pair| &text[pair[0]..pair[1]]);
        prop_assert_eq!(stream(&rules, &text, parts), stream(&rules, &text, [&text[..]]));
    }
}

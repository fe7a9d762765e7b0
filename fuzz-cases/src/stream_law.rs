//! The law of the scanner: a stream cut anywhere gives what the whole text gives.

use std::sync::{Arc, OnceLock};

use bulkhead_dlp::{
    Action, CompileLimits, CustomDetector, CustomPattern, Detector, Rule, RuleSet, TextRules, ValueKey,
    catalogue,
};

use crate::spelled;
use crate::streamed::check_law;

/// Texts that detectors find or nearly find; their overlaps are what a cut could get wrong.
const PIECES: [&str; 32] = [
    "AKIAIOSFODNN7EXAMPLE",
    "sk-proj-DemoDemo0123456789DemoDemo0123456789",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "xoxb-012345678901-012345678901-abcdefghijklmnopqrstuvwx",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n",
    "-----END RSA PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlc2lnbmF0dXJl",
    "4111 1111 1111 1111",
    "4111-1111-1111-",
    "378282246310005",
    "078-05-1120",
    "jane.doe@example.com",
    "jane@",
    "GB82 WEST 1234 5698 7654 32",
    "DE8937040044",
    "+1 (212) 555-0123",
    "192.168.0.1",
    "2001:db8::ff00:42:8329",
    "blue falcon",
    "blue fal",
    "EMP-123456",
    "EMP-12",
    "\u{200b}",
    "\u{ff14}\u{ff11}",
    "\u{0410}",
    "\u{e9}",
    "\\n",
    "\\u00",
    "password = \"",
    " ",
    ".",
    "\"",
];

/// The input's first byte picks the rule set, the second how many of the following cut the text.
///
/// The rest spells the text, from what is said above and the samples and near misses of the rule set's detectors.
pub fn stream_law(input: &[u8]) {
    let &[set, cuts, ref rest @ ..] = input else { return };
    let (cuts, rest) = rest.split_at(usize::from(cuts % 16).min(rest.len()));
    let Laid { rules, pieces } = laid(set);
    check_law(rules, &spelled(rest, pieces), cuts);
}

/// A rule set, and what texts for it are made of.
struct Laid {
    rules: TextRules,
    pieces: Vec<String>,
}

fn laid(number: u8) -> &'static Laid {
    static SETS: [OnceLock<Laid>; 256] = [const { OnceLock::new() }; 256];
    SETS[usize::from(number)].get_or_init(|| {
        let rules = rule_set(number);
        let detectors = rules.rules().map(|rule| rule.detector);
        let samples = detectors.flat_map(|detector| [detector.example(), detector.near_miss()]).flatten();
        let pieces = PIECES.into_iter().map(String::from).chain(samples).collect();
        Laid { rules: TextRules::from(Arc::new(rules)), pieces }
    })
}

/// One of 256 rule sets: each has about an eighth of the catalogue and a tenant's own detectors, with all actions.
fn rule_set(number: u8) -> RuleSet {
    let mut random = u64::from(number) + 1;
    let mut draw = |below: u64| {
        // Knuth's MMIX generator; its high bits are good enough for choosing.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut rules = Vec::new();
    for detector in catalogue().iter().map(Arc::clone).chain(own_detectors()) {
        if draw(8) == 0 || detector.category() == "custom" {
            let action = [Action::Mask, Action::Mask, Action::Tokenize, Action::Alert, Action::Block];
            let action = action[usize::try_from(draw(action.len() as u64)).expect("an index")];
            rules.push(Rule::new(detector, action));
        }
    }
    let allowed =
        if draw(4) == 0 { vec!["jane.doe@example.com".into(), "blue falcon".into()] } else { vec![] };
    RuleSet::new(rules, allowed).with_value_key(ValueKey::new(b"law"))
}

fn own_detectors() -> impl Iterator<Item = Arc<Detector>> {
    let terms = ["blue falcon", "falcon crest", "-----BEGIN", "4111"].map(String::from).into();
    let patterns = [
        ("PROJECT", CustomPattern::Terms { terms, ignore_case: true }),
        ("EMPLOYEE", CustomPattern::Regex(r"EMP-[0-9]{3,6}(?:-[A-Z]{2}\b)?".into())),
    ];
    patterns.into_iter().map(|(id, pattern)| {
        let own = CustomDetector { id: id.into(), pattern };
        Arc::new(Detector::custom(&own, &CompileLimits::default()).expect("it compiles"))
    })
}

//! Positions, and that what is found in parts is what is found in the whole.

use bulkhead_dlp::{Action, Rule, RuleSet, catalogue};
use std::sync::Arc;

use super::locate::{Finding, Stream, in_whole};

const TEXT: &str = "first\nkey AKIAT5RMGN3GNRY2345Q and jane@acme.dev\n\n\
    -----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQ\n-----END PRIVATE KEY-----;\nlast AKIAT5RMGN3GNRY2345Q";

fn rules() -> Arc<RuleSet> {
    let detectors =
        ["AWS_ACCESS_KEY_ID", "EMAIL_ADDRESS", "PRIVATE_KEY_PEM"].map(|id| catalogue().select(id));
    let rules = detectors.into_iter().flatten().map(|detector| Rule::new(Arc::clone(detector), Action::Mask));
    Arc::new(RuleSet::new(rules.collect(), Vec::new()))
}

fn described(findings: &[Finding]) -> Vec<String> {
    let describe = |finding: &Finding| {
        let Finding { start, end, place, detector } = finding;
        format!("{}:{} {start}-{end} {} {:?}", place.line, place.column, detector.id(), place.before)
    };
    findings.iter().map(describe).collect()
}

#[test]
fn findings_have_a_place_and_an_excerpt_without_values() {
    let mut findings = Vec::new();
    in_whole(&rules(), TEXT.as_bytes(), &mut findings);
    let expected = [
        r#"2:5 10-30 AWS_ACCESS_KEY_ID "key ""#,
        r#"2:30 35-48 EMAIL_ADDRESS "and ""#,
        r#"4:1 50-118 PRIVATE_KEY_PEM """#,
        r#"7:6 125-145 AWS_ACCESS_KEY_ID "last ""#,
    ];
    assert_eq!(described(&findings), expected);
}

#[test]
fn parts_give_what_the_whole_gives() {
    let rules = rules();
    let mut whole = Vec::new();
    in_whole(&rules, TEXT.as_bytes(), &mut whole);
    let mut parts = Vec::new();
    for len in [1, 2, 7, 64, 1000] {
        let mut stream = Stream::new(&rules);
        TEXT.as_bytes().chunks(len).for_each(|part| stream.push(part, &mut parts));
        stream.finish(&mut parts);
        parts.sort_by_key(|finding| finding.start);
        assert_eq!(described(&parts), described(&whole), "parts of {len}");
        parts.clear();
    }
}

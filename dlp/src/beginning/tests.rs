use std::sync::Arc;

use super::*;
use crate::{Rule, catalogue};

fn rules(action: Action) -> RuleSet {
    let detectors = catalogue().select("*").into_iter();
    let rules = detectors.map(|detector| Rule::new(Arc::clone(detector), action)).collect();
    RuleSet::new(rules, Vec::new())
}

#[test]
fn ends_of_texts_are_told_apart() {
    let rules = rules(Action::Mask);
    let cases = [
        (Beginning::Secret, ["AKIA", "IOS"].concat()),
        (Beginning::Secret, ["sk-ant-", "api03-"].concat()),
        (Beginning::Secret, ["sk-", "proj-a"].concat()),
        (Beginning::Secret, "ghp_0".into()),
        (Beginning::Secret, "\u{ff47}hp_\u{200b}0".into()),
        (Beginning::Secret, "-----BEGIN RSA".into()),
        (Beginning::Secret, "-----B".into()),
        (Beginning::Secret, "eyJhbGci".into()),
        (Beginning::Word, "\n-----".into()),
        (Beginning::Word, "github".into()),
        (Beginning::Value, "4111 1".into()),
        (Beginning::Value, "\u{664}\u{661}\u{661}\u{661}\u{661}".into()),
        (Beginning::Value, "jane@exa".into()),
        (Beginning::Value, "blue fal".into()),
        (Beginning::Value, "https://jane:secretsecret".into()),
        (Beginning::Word, "https://jane".into()),
        (Beginning::Word, "password".into()),
        (Beginning::Word, "2024".into()),
        (Beginning::Word, "answer.\n\n".into()),
        (Beginning::Word, "MAKIA".into()),
        (Beginning::Word, String::new()),
    ];
    for (expected, text) in cases {
        assert_eq!(rules.beginning(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn rules_that_hide_nothing_do_not_count() {
    assert_eq!(rules(Action::Alert).beginning(b"ghp_0"), Beginning::Word);
}

#[test]
fn most_secrets_begin_with_a_fixed_text() {
    let of = |category: &str| catalogue().select(category).len();
    let with = |category: &str| {
        let detectors = catalogue().select(category).into_iter();
        detectors.filter(|detector| !FIXED[detector.id().as_str()].is_empty()).count()
    };
    let (with, of) = (with("secret.*"), of("secret.*"));
    assert!(with * 2 > of, "{with} of {of}");
}

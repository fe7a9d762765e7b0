use super::*;
use crate::inspect::whole;
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dlp::{Action, Rule, catalogue};
use bulkhead_policy::trace::Direction;
use std::sync::Arc;

fn rules(selector: &str) -> RuleSet {
    let detectors = catalogue().select(selector).into_iter();
    let rules = detectors.map(|detector| Rule::new(Arc::clone(detector), Action::Mask));
    RuleSet::new(rules.collect(), Vec::new())
}

#[test]
fn a_text_is_known_only_as_it_was_judged() {
    let clean = CleanTexts::new();
    let (rules, others) = (rules("pii.*"), rules("secret.*"));
    let text = [b'a'; TEXT_BYTES_MIN];
    let mut other_text = text;
    other_text[TEXT_BYTES_MIN / 2] = b'b';
    let fingerprint = |rules, text: &[u8], form| clean.fingerprint(rules, text, form).unwrap();

    assert!(!clean.contains(fingerprint(&rules, &text, Form::Json)));
    clean.insert(fingerprint(&rules, &text, Form::Json));
    assert!(clean.contains(fingerprint(&rules, &text, Form::Json)));
    assert!(!clean.contains(fingerprint(&rules, &text, Form::EscapedJson)));
    assert!(!clean.contains(fingerprint(&rules, &other_text, Form::Json)));
    assert!(!clean.contains(fingerprint(&others, &text, Form::Json)));
    assert!(!CleanTexts::new().contains(fingerprint(&rules, &text, Form::Json)));
}

#[test]
fn short_texts_are_not_remembered() {
    assert!(
        CleanTexts::new().fingerprint(&rules("pii.*"), &[b'a'; TEXT_BYTES_MIN - 1], Form::Json).is_none()
    );
}

#[test]
fn a_full_table_forgets_and_goes_on() {
    let clean = CleanTexts::new();
    let rules = rules("pii.*");
    let text = |number: usize| format!("{number:0width$}", width = TEXT_BYTES_MIN).into_bytes();
    let fingerprint = |number| clean.fingerprint(&rules, &text(number), Form::Json).unwrap();
    let count = 3 * BUCKETS * BUCKET;
    for number in 0..count {
        clean.insert(fingerprint(number));
        assert!(clean.contains(fingerprint(number)));
    }
    let kept = (0..count).filter(|&number| clean.contains(fingerprint(number))).count();
    assert!(kept > BUCKETS * BUCKET / 2 && kept <= BUCKETS * BUCKET, "{kept}");
}

#[test]
fn a_body_is_judged_the_same_however_often_it_comes() {
    let clean = CleanTexts::new();
    let rules = Arc::new(rules("*")).into();
    let history = "what was said before, ".repeat(8);
    let body = format!(r#"["{history}","{history}4111 1111 1111 1111","{history}\u0034111 1111 1111 1111"]"#);
    let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
    let inspect = |clean| {
        whole::json(&rules, body.as_bytes(), &document.without(Vec::new()), Direction::Request, clean)
    };
    let expected = inspect(None);
    assert_eq!(expected.splices.masks.len(), 2);
    for _ in 0..3 {
        let inspected = inspect(Some(&clean));
        assert_eq!(inspected.splices, expected.splices);
        assert_eq!(inspected.findings.total, expected.findings.total);
    }
}

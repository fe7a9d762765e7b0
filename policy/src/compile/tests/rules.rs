//! What the options of a rule change.

use bulkhead_dlp::apply_edits;

use super::*;

fn masked(rules: &RuleSet, text: &str) -> String {
    String::from_utf8(apply_edits(text.as_bytes(), &rules.scan(text.as_bytes()).edits)).unwrap()
}

#[test]
fn secrets_are_masked_where_a_rule_says_tokenize() {
    let policy = tenant("dlp: { rules: [{ detect: ['*'], on: request, action: tokenize }] }");
    for (detector, expected) in
        [("EMAIL_ADDRESS", "tokenize"), ("JWT", "mask"), ("AWS_ACCESS_KEY_ID", "mask")]
    {
        assert_eq!(action_of(policy.request_rules(), detector).as_deref(), Some(expected), "{detector}");
    }
}

#[test]
fn a_rule_may_want_confidence() {
    let rule = |min| {
        format!("dlp: {{ rules: [{{ detect: [pii.*], on: request, action: mask, min_confidence: {min} }}] }}")
    };
    let policy = tenant(&rule("0.95"));
    assert!(action_of(policy.request_rules(), "EMAIL_ADDRESS").is_some());
    assert!(policy.request_rules().rules().all(|rule| rule.detector.confidence() >= 0.95));
    assert!(tenant(&rule("0")).request_rules().rules().count() > policy.request_rules().rules().count());
    let (_, error) = error(&[(Layer::Tenant, &rule("1"))]);
    assert!(error.starts_with("dlp.rules[0].min_confidence: found 1, expected at most 0."), "{error}");
}

#[test]
fn a_mask_may_keep_less_than_half_of_the_shortest_match() {
    let rule = |detect, keep| {
        format!(
            "dlp: {{ detectors: [{{ id: SHORT, regex: 'x[0-9]{{4,9}}' }}],
          rules: [{{ detect: ['{detect}'], on: both, action: mask, mask: {{ keep_last: {keep} }} }}] }}"
        )
    };
    let policy = tenant(&rule("CREDIT_CARD", 4));
    for rules in [policy.request_rules(), policy.response_rules()] {
        assert_eq!(masked(rules, "4111 1111 1111 1111"), "[CREDIT_CARD]1111");
    }
    assert_eq!(masked(tenant(&rule("SHORT", 2)).request_rules(), "x123456"), "[SHORT]56");
    for (detect, found) in
        [("SHORT", "at most 2 for SHORT"), ("PRIVATE_KEY_PEM", "at most 0 for PRIVATE_KEY_PEM")]
    {
        let (_, error) = error(&[(Layer::Tenant, &rule(detect, 3))]);
        assert!(
            error.starts_with("dlp.rules[0].mask.keep_last: found 3") && error.contains(found),
            "{error}"
        );
    }
}

#[test]
fn addresses_may_be_found_by_their_domain_in_answers() {
    let own =
        |email| format!("dlp: {{ email: {email}, rules: [{{ detect: [pii.*], on: both, action: mask }}] }}");
    let text = "jane@acme.example";
    let policy = tenant(&own("mask-domain"));
    assert_eq!(masked(policy.request_rules(), text), "[EMAIL_ADDRESS]", "requests are read whole anyway");
    assert_eq!(masked(policy.response_rules(), text), "jane[EMAIL_ADDRESS]");
    assert_eq!(masked(tenant(&own("hold-word")).response_rules(), text), "[EMAIL_ADDRESS]");
    let platform = "dlp: { rules: [{ detect: [EMAIL_ADDRESS], on: response, action: mask }] }";
    let policy =
        compile_layers(&[(Layer::Platform, platform), (Layer::Tenant, &own("mask-domain"))]).unwrap();
    assert_eq!(masked(policy.response_rules(), text), "[EMAIL_ADDRESS]", "the platform's rule is as it was");
}

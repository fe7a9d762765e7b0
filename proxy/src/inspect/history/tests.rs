use super::super::request;
use super::*;
use bulkhead_dialect::json::Limits;
use bulkhead_dlp::{Action, Rule, TextRules, catalogue};
use proptest::prelude::*;
use serde_json::json;
use std::sync::{Arc, LazyLock};

fn rules(action: Action) -> TextRules {
    let rules = catalogue().iter().map(|detector| Rule::new(Arc::clone(detector), action));
    Arc::new(RuleSet::new(rules.collect(), Vec::new())).into()
}

/// How many messages of a request are known.
fn known(body: &str, rules: &TextRules, clean: &CleanTexts) -> usize {
    let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
    History::of(&document, rules.rules(), clean).known
}

/// What is judged with what is remembered; the same as without.
fn check(body: &str, rules: &TextRules, clean: &CleanTexts) {
    let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
    let (remembering, anew) = [clean, &CleanTexts::new()]
        .map(|clean| request(rules, &document, clean, crate::inspect::Effort::Full).unwrap())
        .into();
    let facts = |inspected: &Inspected| {
        let found =
            inspected.findings.kept.iter().map(|found| (found.detector.clone(), found.start, found.end));
        let hidden = inspected.hidden.iter().map(|splice| splice.range.clone());
        (
            found.collect::<Vec<_>>(),
            hidden.collect::<Vec<_>>(),
            inspected.blocked.clone(),
            inspected.incomplete,
        )
    };
    assert_eq!(remembering.splices, anew.splices, "{body}");
    assert_eq!(facts(&remembering), facts(&anew), "{body}");
}

/// A request of these texts, each a message or, where it shares one with the next, a part.
fn body(texts: &[(String, bool)], model: &str) -> String {
    let mut messages: Vec<Vec<serde_json::Value>> = vec![Vec::new()];
    for (text, shares) in texts {
        messages.last_mut().unwrap().push(json!({"type": "text", "text": text}));
        if !shares {
            messages.push(Vec::new());
        }
    }
    messages.retain(|parts| !parts.is_empty());
    let messages: Vec<_> = messages.iter().map(|parts| json!({"role": "user", "content": parts})).collect();
    json!({"model": model, "tools": [{"function": {"description": "reads a file"}}], "messages": messages})
        .to_string()
}

fn texts(all: &[&str]) -> Vec<(String, bool)> {
    all.iter().map(|text| ((*text).to_owned(), false)).collect()
}

#[test]
fn a_conversation_is_known_up_to_what_is_new_or_was_found() {
    let (rules, clean) = (rules(Action::Mask), CleanTexts::new());
    let cases: [(&[&str], usize, usize); 6] = [
        // Tools are the first message.
        (&["what is in it", "nothing"], 0, 3),
        (&["what is in it", "nothing", "look again"], 3, 4),
        (&["what is in it", "something"], 2, 3),
        (&["what was in it", "nothing", "look again"], 1, 4),
        (&["what is in it", "nothing", "ask jane.miller@acme.test", "I did"], 3, 3),
        (&["what is in it", "nothing", "look again", "ask jane.miller@", "acme.test and go"], 4, 4),
    ];
    for (said, before, after) in cases {
        let body = body(&texts(said), "gpt-5");
        assert_eq!(known(&body, &rules, &clean), before, "{said:?}");
        check(&body, &rules, &clean);
        assert_eq!(known(&body, &rules, &clean), after, "{said:?}");
        check(&body, &rules, &clean);
    }
    let other = body(&texts(&["what is in it", "nothing"]), "gpt-5");
    assert_eq!(known(&other, &self::rules(Action::Mask), &clean), 0, "other rules");
}

#[test]
fn a_conversation_without_end_is_remembered_to_a_bound() {
    let (rules, clean) = (rules(Action::Mask), CleanTexts::new());
    let body =
        |last: &str| format!(r#"{{"input":[{}"key AKIAHT5R",{last}]}}"#, "{},".repeat(MESSAGES_MAX + 10));
    check(&body(r#""MG""#), &rules, &clean);
    assert_eq!(known(&body(r#""MG""#), &rules, &clean), MESSAGES_MAX);
    check(&body(r#""MGN3GNRY2345 ok""#), &rules, &clean);
}

#[test]
fn messages_that_only_look_the_same_together_are_not_known() {
    let (rules, clean) = (rules(Action::Mask), CleanTexts::new());
    check(r#"{"input":[12,3]}"#, &rules, &clean);
    assert_eq!(known(r#"{"input":[12,3]}"#, &rules, &clean), 2);
    assert_eq!(known(r#"{"input":[1,23]}"#, &rules, &clean), 0);
    check(r#"{"input":["{}","12"]}"#, &rules, &clean);
    assert_eq!(known(r#"{"input":[{},12]}"#, &rules, &clean), 0);
}

/// A text, or a part of a value that others may complete.
fn text() -> impl Strategy<Value = (String, bool)> {
    const PARTS: &[&str] = &[
        "AKIAHT5R",
        "MGN3GNRY2345",
        "4111 1111 ",
        "1111 1111",
        "jane.mil",
        "ler@exam",
        "ple.test",
        "078-05",
        "-1120",
    ];
    let text = prop_oneof![
        4 => proptest::sample::select(PARTS).prop_map(str::to_owned),
        2 => (1..100_usize).prop_map(|words| "and so on and on, as it has to go on ".repeat(words)),
        1 => (1..100_usize).prop_map(|words| "\u{e4}\n\"so\" and so on it went on ".repeat(words)),
        1 => "[a-z0-9 ]{0,12}",
        1 => (1..3_usize, proptest::sample::select(PARTS)).prop_map(|(words, part)| format!("{}{part}", "it is ".repeat(words))),
        1 => Just("key AKIAHT5RMGN3GNRY2345 ok".to_owned()),
    ];
    (text, any::<bool>())
}

static RULES: LazyLock<TextRules> = LazyLock::new(|| rules(Action::Mask));

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A conversation grows, is cut back and goes on in another way.
    #[test]
    fn what_is_remembered_never_changes_a_verdict(
        turns in proptest::collection::vec((0..12_usize, proptest::collection::vec(text(), 1..5)), 1..8),
    ) {
        let (rules, clean) = (&*RULES, CleanTexts::new());
        let mut said: Vec<(String, bool)> = Vec::new();
        for (forgotten, more) in turns {
            // Mostly, nothing is taken back.
            said.truncate(said.len().saturating_sub(forgotten.saturating_sub(7)));
            said.extend(more);
            check(&body(&said, "gpt-5"), rules, &clean);
        }
    }
}

use super::*;
use crate::inspect::stream::{StreamInspector, StreamOptions};
use crate::inspect::{self, Effort, known::CleanTexts, whole};
use bulkhead_dialect::classify;
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dlp::{Action, Rule, TextRules, catalogue};
use bulkhead_policy::trace::Direction;
use bytes::Bytes;
use std::sync::Arc;

fn rules() -> TextRules {
    let rules = catalogue().iter().map(|detector| Rule::new(Arc::clone(detector), Action::Mask));
    TextRules::from(Arc::new(RuleSet::new(rules.collect(), Vec::new())))
}

const VALUES: [(&str, &str); 6] = [
    (r#"{"password":"hV7#qLm2!xTz"}"#, r#"{"password":"[PASSWORD_LITERAL]"}"#),
    (r#"{"ssn":"536221234"}"#, r#"{"ssn":"[US_SSN]"}"#),
    (r#"{"ssn":[1,"536221234"]}"#, r#"{"ssn":[1,"[US_SSN]"]}"#),
    (r#"{"s\u0073n":"5362\u00321234"}"#, r#"{"s\u0073n":"[US_SSN]"}"#),
    (r#"{"ssn":536221234,"n":536221234}"#, r#"{"ssn":"[US_SSN]","n":536221234}"#),
    (r#"{"room":"536221234","ssn":"-"}"#, r#"{"room":"536221234","ssn":"-"}"#),
];

#[test]
fn a_request_and_a_whole_answer_lose_what_a_name_tells() {
    let rules = rules();
    for (body, expected) in VALUES {
        // The same text without that name was seen before, and is clean.
        let body = format!(r#"{{"seen":"536221234","input":{body}}}"#);
        let expected = format!(r#"{{"seen":"536221234","input":{expected}}}"#);
        let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
        let clean = CleanTexts::new();
        for _ in 0..2 {
            let found = inspect::request(&rules, &document, &clean, Effort::Full).unwrap();
            assert_eq!(found.apply(&Bytes::from(body.clone())), expected);
        }
        let rest = document.without(Vec::new());
        let found = whole::json(&rules, body.as_bytes(), &rest, Direction::Response, None);
        assert_eq!(found.apply(&Bytes::from(body.clone())), expected);
    }
}

#[test]
fn an_event_loses_what_a_name_tells() {
    const OPTIONS: StreamOptions = StreamOptions {
        event_bytes_max: 1 << 20,
        held_bytes_max: 1 << 20,
        drop_usage_chunk: false,
        allow_uninspectable: false,
    };
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
    let event = |args: &str| {
        format!(
            r#"{{"candidates":[{{"index":0,"content":{{"parts":[{{"functionCall":{{"name":"f","args":{args}}}}}]}}}}]}}"#
        )
    };
    for (args, expected) in VALUES {
        // An event with the same text under another name came before.
        let events = [r#"{"none":"536221234"}"#, args, args].map(|args| format!("data: {}\n\n", event(args)));
        let mut inspector = StreamInspector::new(classify("POST", path, None).unwrap(), rules(), OPTIONS);
        let mut out = Vec::new();
        inspector.push(Bytes::from(events.concat())).unwrap();
        while inspector.step(&mut out).unwrap() {}
        inspector.finish(&mut out).unwrap();
        let sent: String = out.iter().map(|piece| std::str::from_utf8(&piece.sent).unwrap()).collect();
        assert_eq!(sent.matches(&event(expected)).count(), 2, "{sent}");
    }
}

//! Values come back in their tokens' places, and traces keep the tokens.

use super::*;
use bulkhead_dlp::{Replacement, TextRules, TokenMap, ValueKey};

/// A token that stands for `value`.
fn tokens(value: &str) -> (Arc<TokenMap>, String) {
    let rules = vec![Rule::new(Arc::clone(catalogue().select("EMAIL_ADDRESS")[0]), Action::Tokenize)];
    let rules = RuleSet::new(rules, Vec::new()).with_value_key(ValueKey::new(b"stream"));
    let edits = rules.scan(b"jane@acme.example").edits;
    let Some(Replacement::Token(token)) = &edits[0].replacement else { unreachable!() };
    let mut tokens = TokenMap::default();
    assert!(tokens.insert(token, value.as_bytes()));
    (Arc::new(tokens), token.as_str().to_owned())
}

/// Rules for answers beside such a token.
fn restoring(value: &str) -> (TextRules, String) {
    let (tokens, token) = tokens(value);
    (TextRules::from(rules(Action::Mask)).restoring(tokens), token)
}

/// What is sent and what a trace keeps of a stream with one event for each of `pieces`.
fn sent_and_kept(rules: &TextRules, pieces: &[&str]) -> [String; 2] {
    let mut inspector = StreamInspector::new(chat(), rules.clone(), OPTIONS);
    let mut out = Vec::new();
    for event in pieces.iter().map(|piece| delta(0, piece)).chain(["data: [DONE]\n\n".into()]) {
        inspector.push(event.into()).unwrap();
        while inspector.step(&mut out).unwrap() {}
    }
    inspector.finish(&mut out).unwrap();
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let sent: String = out.iter().map(|piece| text(&piece.sent)).collect();
    let kept: String = out.iter().map(|piece| text(piece.kept.as_ref().unwrap_or(&piece.sent))).collect();
    [sent, kept].map(|stream| texts(&stream, 1).remove(0))
}

#[test]
fn a_value_comes_back_wherever_its_token_is_cut_and_the_trace_keeps_the_token() {
    let (rules, token) = restoring("jane \"j\" doe");
    let text = format!("to {token} and ann@acme.example");
    let sent = "to jane \"j\" doe and [EMAIL_ADDRESS]";
    let kept = format!("to {token} and [EMAIL_ADDRESS]");
    for first in 0..text.len() {
        for second in first..text.len() {
            let pieces = [&text[..first], &text[first..second], &text[second..]];
            assert_eq!(sent_and_kept(&rules, &pieces), [sent.to_owned(), kept.clone()], "{first} {second}");
        }
    }
    let characters: Vec<String> = text.chars().map(String::from).collect();
    let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
    assert_eq!(sent_and_kept(&rules, &characters), [sent.to_owned(), kept]);
}

#[test]
fn a_value_is_escaped_where_the_text_is_json() {
    let (rules, token) = restoring("jane \"j\" doe");
    let text = format!(r#"{{"to":"{token}"}}"#);
    for cut in 0..text.len() {
        let [sent, _] = sent_and_kept(&rules, &[&text[..cut], &text[cut..]]);
        assert_eq!(sent, r#"{"to":"jane \"j\" doe"}"#);
    }
}

#[test]
fn without_rules_only_what_may_be_a_token_waits() {
    let (tokens, token) = tokens("jane");
    let none = TextRules::from(Arc::new(RuleSet::new(Vec::new(), Vec::new())));
    let rules = none.restoring(tokens);
    let mut inspector = StreamInspector::new(chat(), rules, OPTIONS);
    let mut out = Vec::new();
    for (text, waits) in [
        ("see jane@acme.example ", false),
        ("[", true),
        ("x", false),
        (&token[..9], true),
        (&token[9..], false),
    ] {
        inspector.push(delta(0, text).into()).unwrap();
        while inspector.step(&mut out).unwrap() {}
        assert_eq!(out.is_empty(), waits, "{text}");
        out.clear();
    }
    // What is no JSON passes where no rule would look at it.
    inspector.push("data: not json\n\n".into()).unwrap();
    assert_eq!(inspector.step(&mut out), Ok(true));
}

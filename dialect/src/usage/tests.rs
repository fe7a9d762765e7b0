use super::*;
use crate::json::{Document, Limits};

fn anthropic(events: &[&str]) -> Option<Usage> {
    let mut merged = AnthropicUsage::default();
    for event in events {
        merged.merge(Document::parse(event.as_bytes(), &Limits::RESPONSE).unwrap().root());
    }
    merged.usage()
}

fn read_openai(usage: &str) -> Option<Usage> {
    openai(Document::parse(usage.as_bytes(), &Limits::RESPONSE).unwrap().root())
}

#[test]
fn later_events_correct_earlier_ones_and_keep_the_rest() {
    let start = r#"{"input_tokens":4,"cache_read_input_tokens":20,"output_tokens":1}"#;
    let delta = r#"{"input_tokens":null,"output_tokens":89}"#;
    let usage = Usage { input: 24, cached_input: 20, output: 89, ..Usage::default() };
    assert_eq!(anthropic(&[start, delta]), Some(usage));
    let delta = r#"{"input_tokens":10,"cache_read_input_tokens":0,"output_tokens":2}"#;
    let usage = Usage { input: 10, output: 2, ..Usage::default() };
    assert_eq!(anthropic(&[start, delta]), Some(usage));
    assert_eq!(anthropic(&["{}", "[]"]), None);
}

#[test]
fn counts_saturate() {
    let huge = r#"{"input_tokens":18446744073709551615,"cache_read_input_tokens":7}"#;
    assert_eq!(anthropic(&[huge]).unwrap().input, u64::MAX);
}

#[test]
fn the_total_counts_where_it_is_more() {
    let usage = read_openai(r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":17}"#);
    assert_eq!(usage.unwrap().output, 12);
    let usage = read_openai(r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":6}"#);
    assert_eq!(usage.unwrap().output, 2);
    assert_eq!(read_openai(r#"{"total_tokens":6}"#), None);
    assert_eq!(read_openai("null"), None);
}

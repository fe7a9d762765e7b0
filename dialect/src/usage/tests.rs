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
fn a_count_that_is_none_makes_the_usage_missing() {
    for count in
        ["-1", "-0", "1.5", "3.0", "1e3", "1000000001", "18446744073709551616", "\"7\"", "true", "[]", "{}"]
    {
        for names in [("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")] {
            for (input, output) in [(count, "2"), ("2", count)] {
                let usage = format!("{{\"{}\":{input},\"{}\":{output},\"cost\":0.5}}", names.0, names.1);
                assert_eq!(read_openai(&usage), None, "{usage}");
            }
        }
        for name in ["total_tokens", "input_tokens"] {
            let usage = format!("{{\"prompt_tokens\":5,\"completion_tokens\":2,\"{name}\":{count}}}");
            assert_eq!(read_openai(&usage), None, "{usage}");
        }
        for (of, name) in [
            ("prompt", "cached"),
            ("prompt", "audio"),
            ("input", "cache_write"),
            ("output", "reasoning"),
            ("completion", "audio"),
        ] {
            let detail = format!("\"{of}_tokens_details\":{{\"{name}_tokens\":{count}}}");
            let usage = format!("{{\"prompt_tokens\":5,\"completion_tokens\":2,{detail}}}");
            assert_eq!(read_openai(&usage), None, "{usage}");
        }
        let good = r#"{"input_tokens":4,"output_tokens":1}"#;
        let names =
            ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
        for name in names {
            let bad = format!("{{\"{name}\":{count}}}");
            assert_eq!(anthropic(&[good, &bad]), None, "{bad}");
            assert_eq!(
                anthropic(&[&bad, "{\"output_tokens\":2}"]).is_some(),
                name == "output_tokens",
                "{bad}"
            );
            let corrected = format!("{{\"{name}\":7}}");
            assert!(anthropic(&[good, &bad, &corrected]).is_some());
        }
    }
    let most = read_openai(r#"{"prompt_tokens":1000000000,"completion_tokens":null}"#);
    assert_eq!(most.unwrap().input, 1_000_000_000);
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

fn read_gemini(usage: &str) -> Option<Usage> {
    gemini(Document::parse(usage.as_bytes(), &Limits::RESPONSE).unwrap().root())
}

#[test]
fn thoughts_are_output_and_what_tools_read_is_input() {
    let usage = |input, cached_input, output, reasoning| {
        Some(Usage { input, cached_input, output, reasoning, ..Usage::default() })
    };
    let cases = [
        (r#"{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7}"#, usage(5, 0, 2, 0)),
        (
            r#"{"promptTokenCount":50,"cachedContentTokenCount":40,"candidatesTokenCount":2,
                "thoughtsTokenCount":9,"toolUsePromptTokenCount":30,"totalTokenCount":91}"#,
            usage(80, 40, 11, 9),
        ),
        // While it thinks there are no candidates yet.
        (r#"{"promptTokenCount":5,"thoughtsTokenCount":9,"totalTokenCount":14}"#, usage(5, 0, 9, 9)),
        // Thoughts counted among the candidates, and a total that counts more than its parts.
        (
            r#"{"promptTokenCount":5,"candidatesTokenCount":11,"thoughtsTokenCount":9,"totalTokenCount":16}"#,
            usage(5, 0, 11, 9),
        ),
        (r#"{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":20}"#, usage(5, 0, 15, 0)),
        (r#"{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":1}"#, usage(5, 0, 2, 0)),
        (r#"{"promptTokenCount":5}"#, usage(5, 0, 0, 0)),
        (r#"{"totalTokenCount":5}"#, None),
        (r#"{"promptTokenCount":"5","candidatesTokenCount":2}"#, None),
        (r#"{"promptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":-1}"#, None),
        ("[]", None),
    ];
    for (given, expected) in cases {
        assert_eq!(read_gemini(given), expected, "{given}");
    }
}

#[test]
fn other_passes_over_a_conversation_count_beside_the_answer() {
    let top = r#""input_tokens":10,"cache_read_input_tokens":20,"output_tokens":5"#;
    let message = r#"{"type":"message","input_tokens":10,"output_tokens":5}"#;
    let shortened = r#"{"type":"compaction","input_tokens":800,"cache_creation_input_tokens":100,
        "cache_creation":{"ephemeral_1h_input_tokens":60,"ephemeral_5m_input_tokens":40},"output_tokens":70}"#;
    let usage = |passes: &str| anthropic(&[&format!("{{{top},\"iterations\":{passes}}}")]);
    let own = Usage { input: 30, cached_input: 20, output: 5, ..Usage::default() };
    assert_eq!(usage("null"), Some(own));
    assert_eq!(usage(&format!("[{message}]")), Some(own));
    let both = Usage { input: 930, cache_write: 100, long_cache_write: 60, output: 75, ..own };
    assert_eq!(usage(&format!("[{shortened},{message}]")), Some(both));
    assert_eq!(usage(r#"[{"type":"compaction","input_tokens":-1,"output_tokens":7}]"#), None);
    let event = format!("{{\"iterations\":[{shortened}]}}");
    let twice = anthropic(&[&format!("{{{top}}}"), &event, &event]);
    assert_eq!(twice, Some(both), "cumulative: the later event says it all");
}

#[test]
fn sound_is_told_apart() {
    let usage = read_openai(
        r#"{"prompt_tokens":50,"completion_tokens":40,"prompt_tokens_details":{"audio_tokens":30,"cached_tokens":10},
            "completion_tokens_details":{"audio_tokens":25,"reasoning_tokens":0}}"#,
    );
    let spoken = Usage { audio_input: 30, audio_output: 25, ..Usage::default() };
    assert_eq!(usage, Some(Usage { input: 50, cached_input: 10, output: 40, ..spoken }));
    let usage = read_gemini(
        r#"{"promptTokenCount":50,"candidatesTokenCount":40,"toolUsePromptTokenCount":7,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":24},{"modality":"AUDIO","tokenCount":26}],
            "toolUsePromptTokensDetails":[{"modality":"AUDIO","tokenCount":4}],
            "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":25},{"modality":"TEXT","tokenCount":15}]}"#,
    );
    assert_eq!(usage, Some(Usage { input: 57, output: 40, ..spoken }));
    let bad = r#"{"promptTokenCount":5,"candidatesTokenCount":2,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":-1}]}"#;
    assert_eq!(read_gemini(bad), None);
}

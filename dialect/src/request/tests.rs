use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::classify;
use crate::json::{Limits, splice};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const RESPONSES: &str = "/v1/responses";
const EMBEDDINGS: &str = "/v1/embeddings";
const MESSAGES: &str = "/v1/messages";

fn read_at(path: &str, body: &str) -> Result<RequestHead, BadRequest> {
    let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
    read(classify("POST", path, None).unwrap(), path, &document)
}

/// What an edit makes of a body; `None` where there is no edit.
fn edited(
    path: &str,
    body: &str,
    edit: impl Fn(Endpoint, &Document<'_>) -> Option<Splice<'static>>,
) -> Option<String> {
    let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
    let edit = edit(classify("POST", path, None).unwrap(), &document)?;
    Some(String::from_utf8(splice(body.as_bytes(), &[edit])).unwrap())
}

/// Path, body, and what the refusal says: code, parameter, a part of the message.
const BAD: &[(&str, &str, &str, &str, &str)] = &[
    (CHAT, "[]", "invalid_body", "", "a JSON object"),
    (CHAT, "\"model\"", "invalid_body", "", "a JSON object"),
    (CHAT, "{}", "missing_parameter", "model", "1 to 256 printable"),
    (EMBEDDINGS, "{\"input\":\"x\"}", "missing_parameter", "model", "1 to 256 printable"),
    (CHAT, "{\"model\":null}", "invalid_parameter", "model", "1 to 256 printable"),
    (CHAT, "{\"model\":7}", "invalid_parameter", "model", "1 to 256 printable"),
    (CHAT, "{\"model\":\"\"}", "invalid_parameter", "model", "1 to 256 printable"),
    (CHAT, "{\"model\":\"a b\"}", "invalid_parameter", "model", "without spaces"),
    (CHAT, "{\"model\":\"a\\n\"}", "invalid_parameter", "model", "printable"),
    (CHAT, "{\"model\":\"\\ud83d\"}", "invalid_parameter", "model", "printable"),
    (CHAT, "{\"model\":\"a\",\"model\":\"a\"}", "ambiguous_parameter", "model", "once"),
    (CHAT, "{\"model\":\"a\",\"mod\\u0065l\":\"b\"}", "ambiguous_parameter", "model", "once"),
    (CHAT, "{\"model\":\"a\",\"Model\":\"b\"}", "ambiguous_parameter", "model", "lower case"),
    (CHAT, "{\"model\":\"a\",\"STREAM\":true}", "ambiguous_parameter", "stream", "lower case"),
    (
        MESSAGES,
        "{\"model\":\"a\",\"max_tokens\":1,\"max_tokens\":9}",
        "ambiguous_parameter",
        "max_tokens",
        "once",
    ),
    (CHAT, "{\"model\":\"a\",\"n\":1,\"n\":2}", "ambiguous_parameter", "n", "once"),
    (CHAT, "{\"model\":\"a\",\"messages\":[],\"messages\":[]}", "ambiguous_parameter", "messages", "once"),
    (
        CHAT,
        "{\"model\":\"a\",\"max_tokens\":1,\"max_completion_tokens\":1}",
        "ambiguous_parameter",
        "max_tokens",
        "max_completion_tokens",
    ),
    (CHAT, "{\"model\":\"a\",\"stream\":1}", "invalid_parameter", "stream", "true, false or null"),
    (CHAT, "{\"model\":\"a\",\"stream\":\"true\"}", "invalid_parameter", "stream", "true, false or null"),
    (CHAT, "{\"model\":\"a\",\"n\":0}", "invalid_parameter", "n", "from 1 to 128"),
    (CHAT, "{\"model\":\"a\",\"n\":129}", "invalid_parameter", "n", "from 1 to 128"),
    (CHAT, "{\"model\":\"a\",\"n\":1.0}", "invalid_parameter", "n", "from 1 to 128"),
    (COMPLETIONS, "{\"model\":\"a\",\"best_of\":\"2\"}", "invalid_parameter", "best_of", "from 1 to 128"),
    (RESPONSES, "{\"model\":\"a\",\"background\":true}", "invalid_parameter", "background", "not served"),
    (
        CHAT,
        "{\"model\":\"a\",\"stream_options\":[]}",
        "invalid_parameter",
        "stream_options",
        "an object or null",
    ),
    (
        CHAT,
        "{\"model\":\"a\",\"stream_options\":{\"include_usage\":1}}",
        "invalid_parameter",
        "stream_options.include_usage",
        "true, false",
    ),
    (
        CHAT,
        "{\"model\":\"a\",\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}",
        "ambiguous_parameter",
        "stream_options.include_usage",
        "once",
    ),
];

/// What no number of tokens or answers is.
const NO_COUNTS: [&str; 9] =
    ["0", "-1", "-0", "1.5", "3.0", "1e3", "1000000000000", "18446744073709551616", "\"7\""];

#[test]
fn ceilings_and_answers_are_counts_within_bounds() {
    let members = [
        (CHAT, "max_tokens", "100000000"),
        (CHAT, "max_completion_tokens", "100000000"),
        (COMPLETIONS, "max_tokens", "100000000"),
        (RESPONSES, "max_output_tokens", "100000000"),
        (MESSAGES, "max_tokens", "100000000"),
        (CHAT, "n", "128"),
        (COMPLETIONS, "n", "128"),
        (COMPLETIONS, "best_of", "128"),
    ];
    for (path, member, most) in members {
        let body = |count: &str| format!("{{\"model\":\"a\",\"{member}\":{count}}}");
        let above = format!("{most}1");
        for count in NO_COUNTS.into_iter().chain([above.as_str(), "true", "[]", "{}"]) {
            let refused = read_at(path, &body(count)).unwrap_err();
            assert_eq!((refused.code, refused.param), ("invalid_parameter", Some(member)), "{}", body(count));
            assert!(
                refused.message.ends_with(&format!("an integer from 1 to {most}")),
                "{}",
                refused.message
            );
        }
        for count in ["1", most, "null"] {
            assert!(read_at(path, &body(count)).is_ok(), "{}", body(count));
        }
    }
}

#[test]
fn bad_requests_name_code_parameter_and_expectation() {
    for &(path, body, code, param, expected) in BAD {
        let refused = read_at(path, body).unwrap_err();
        assert_eq!((refused.code, refused.param.unwrap_or("")), (code, param), "{body}");
        assert!(refused.message.contains(expected), "{body}: {}", refused.message);
    }
    let long = format!("{{\"model\":\"{}\"}}", "m".repeat(257));
    assert_eq!(read_at(CHAT, &long).unwrap_err().param, Some("model"));
}

#[test]
fn other_members_are_the_providers_business() {
    let bodies = [
        "{\"model\":\"a\",\"user\":\"x\",\"user\":\"y\",\"temperature\":\"hot\"}",
        "{\"model\":\"a\",\"max_output_tokens\":\"of another operation\"}",
        "{\"model\":\"a\",\"stream\":null,\"n\":null,\"max_tokens\":null,\"stream_options\":null}",
        "{\"model\":\"a\",\"metadata\":{\"model\":1,\"Model\":2,\"n\":0}}",
    ];
    for body in bodies {
        let head = read_at(CHAT, body).unwrap();
        let expected = RequestHead { model: Some("a".to_owned()), choices: 1, ..RequestHead::default() };
        assert_eq!(head, expected, "{body}");
    }
}

#[test]
fn a_moderation_without_a_model_is_one_of_the_default_model() {
    let cases = [
        ("{\"input\":\"a\"}", "omni-moderation-latest"),
        ("{\"input\":[\"a\"],\"model\":\"text-moderation-stable\"}", "text-moderation-stable"),
    ];
    for (body, model) in cases {
        let head = read_at("/v1/moderations", body).unwrap();
        assert_eq!((head.model.as_deref(), head.max_output_tokens), (Some(model), None), "{body}");
    }
    assert_eq!(read_at("/v1/moderations", "{\"model\":null}").unwrap_err().param, Some("model"));
    let image = "{\"input\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA\"}}]}";
    assert!(read_at("/v1/moderations", image).unwrap().parts.is_binary);
}

#[test]
fn choices_count_everything_that_is_written() {
    let cases = [
        (CHAT, "\"n\":3", 3),
        (CHAT, "\"best_of\":9", 1),
        (MESSAGES, "\"n\":3", 1),
        (COMPLETIONS, "\"n\":2,\"best_of\":5", 5),
        (COMPLETIONS, "\"prompt\":\"a\"", 1),
        (COMPLETIONS, "\"prompt\":[]", 1),
        (COMPLETIONS, "\"prompt\":[1,2,3]", 1),
        (COMPLETIONS, "\"prompt\":[[1,2],[3]],\"n\":2", 4),
        (COMPLETIONS, "\"prompt\":[\"a\",\"b\",\"c\"]", 3),
    ];
    for (path, member, choices) in cases {
        let head = read_at(path, &format!("{{\"model\":\"a\",{member}}}")).unwrap();
        assert_eq!(head.choices, choices, "{path} {member}");
    }
}

#[test]
fn what_cannot_be_read_is_found_wherever_it_stands() {
    let cases = [
        (true, "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"AA\"}}"),
        (
            true,
            "{\"type\":\"tool_result\",\"content\":[{\"source\":{\"data\":\"AA\",\"type\":\"b\\u0061se64\"}}]}",
        ),
        (true, "{\"input_audio\":{\"data\":\"AA\"}}"),
        (true, "{\"file_data\":\"AA\"}"),
        (true, "{\"type\":\"input_image\",\"image_url\":\" Data:image/png;base64,AA\"}"),
        (true, "{\"type\":\"computer_call_output\",\"output\":{\"image_url\":\"data:image/png,AA\"}}"),
        (true, "{\"type\":\"image_url\",\"image_url\":{\"url\":\"\u{a0}da\\tt\\na :image/png;base64,AA\"}}"),
        (true, "{\"type\":\"input_image\",\"image_base64\":\"AA\"}"),
        (true, "{\"type\":\"image\",\"image\":\"AA\"}"),
        (true, "{\"type\":\"image\",\"type\":\"text\",\"image\":\"data:image/png;base64,AA\"}"),
        (false, "{\"type\":\"image\",\"image\":\"https://a.example/a.png\"}"),
        (false, "{\"type\":\"container\",\"image\":\"nginx\"}"),
        (true, "{\"type\":\"image_generation_call\",\"result\":\"AA\"}"),
        (false, "{\"type\":\"image_generation_call\",\"result\":null}"),
        (false, "{\"type\":\"other_call\",\"result\":\"AA\"}"),
        (false, "{\"file_data\":\"\"}"),
        (false, "{\"file_id\":\"file-1\"}"),
        (false, "{\"source\":{\"type\":\"text\",\"data\":\"AA\"}}"),
        (true, "{\"type\":\"base64\"}"),
        (false, "{\"text\":\"data:image/png;base64,AA\"}"),
        (false, "{\"url\":\"https://a.example/data:\"}"),
    ];
    for (binary, part) in cases {
        let body = format!("{{\"model\":\"a\",\"messages\":[{{\"content\":[{part}]}}]}}");
        assert_eq!(read_at(CHAT, &body).unwrap().parts.is_binary, binary, "{part}");
    }
    let cases = [
        (EMBEDDINGS, "\"input\":\"a\"", false),
        (EMBEDDINGS, "\"input\":[]", false),
        (EMBEDDINGS, "\"input\":[\"a\",[1]]", true),
        (EMBEDDINGS, "\"input\":[1]", true),
        (COMPLETIONS, "\"prompt\":[[1]]", true),
        (RESPONSES, "\"input\":[[1]]", false),
    ];
    for (path, member, tokens) in cases {
        let head = read_at(path, &format!("{{\"model\":\"a\",{member}}}")).unwrap();
        assert_eq!(head.token_arrays, tokens, "{path} {member}");
    }
}

#[test]
fn base64_that_begins_like_a_picture_is_one_under_any_name() {
    let picture = format!("iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB{}", "A".repeat(300));
    let photograph = format!("/9j/4AAQSkZJRgABAQAAAQABAAD_{}", "b".repeat(60));
    let film = format!("AAAAIGZ0eXBpc29t{}", "A".repeat(60));
    let cases = [
        (true, picture.clone()),
        (true, picture.replace("RU", "R\\r\\nU")),
        (true, photograph.replace('/', "\\/")),
        (true, photograph.replace('/', "_")),
        (true, film),
        (true, format!("JVBERi0xLjcKJeLjz9MKNSAwIG9iago8{}", "A".repeat(9))),
        (false, picture[..30].to_owned()),
        (false, format!("iVBORw0KGgo is how the base64 of {}", "a picture begins".repeat(9))),
        (false, format!("see {picture}")),
        (false, format!("CtUBAVSoXO4{}", "Ab9+".repeat(40))),
        (false, format!("gAAAAAB{}", "x-_9".repeat(40))),
        (false, "/9j/4/is/a/path/of/a/file/somewhere.txt".to_owned()),
    ];
    for (binary, text) in cases {
        let places = [
            format!("{{\"type\":\"mcp_call\",\"output\":\"{text}\"}}"),
            format!("{{\"functionResponse\":{{\"response\":{{\"pictures\":[\"{text}\"]}}}}}}"),
        ];
        for place in places {
            let body = format!("{{\"model\":\"a\",\"input\":[{place}]}}");
            assert_eq!(read_at(RESPONSES, &body).unwrap().parts.is_binary, binary, "{place}");
        }
    }
}

#[test]
fn usage_is_asked_for_in_streams_that_can_tell() {
    let usage = "\"stream_options\":{\"include_usage\":true}";
    let cases = [
        (CHAT, "{\"stream\":true}", Some(format!("{{{usage},\"stream\":true}}"))),
        (COMPLETIONS, "{ \"stream\":true}", Some(format!("{{{usage}, \"stream\":true}}"))),
        (CHAT, "{\"stream\":true,\"stream_options\":{}}", Some(format!("{{\"stream\":true,{usage}}}"))),
        (
            CHAT,
            "{\"stream\":true,\"stream_options\":{\"include_usage\":null}}",
            Some(format!("{{\"stream\":true,{usage}}}")),
        ),
        (CHAT, "{\"stream\":false}", None),
        (CHAT, "{\"stream\":null}", None),
        (CHAT, "{}", None),
        (RESPONSES, "{\"stream\":true}", None),
        (MESSAGES, "{\"stream\":true}", None),
    ];
    for (path, body, expected) in cases {
        assert_eq!(edited(path, body, include_usage_edit), expected, "{path} {body}");
    }
}

#[test]
fn output_is_kept_within_the_ceiling() {
    let cases = [
        (CHAT, "{}", Some("{\"max_completion_tokens\":50}")),
        (CHAT, "{\"max_tokens\":null}", Some("{\"max_completion_tokens\":50,\"max_tokens\":null}")),
        (CHAT, "{\"max_completion_tokens\":null}", Some("{\"max_completion_tokens\":50}")),
        (CHAT, "{\"max_tokens\":51}", Some("{\"max_tokens\":50}")),
        (CHAT, "{\"max_tokens\":50}", None),
        (COMPLETIONS, "{}", Some("{\"max_tokens\":50}")),
        (RESPONSES, "{\"max_output_tokens\":99}", Some("{\"max_output_tokens\":50}")),
        (MESSAGES, "{\"max_tokens\":1}", None),
        (EMBEDDINGS, "{}", None),
        ("/v1/messages/count_tokens", "{}", None),
    ];
    for (path, body, expected) in cases {
        let found = edited(path, body, |endpoint, document| max_output_tokens_edit(endpoint, document, 50));
        assert_eq!(found.as_deref(), expected, "{path} {body}");
    }
}

#[test]
fn a_request_for_the_list_of_models_has_no_model() {
    let endpoint = classify("GET", "/v1/models", None).unwrap();
    let document = Document::parse(b"{}", &Limits::REQUEST).unwrap();
    assert_eq!(read(endpoint, "/v1/models", &document).unwrap().model, None);
}

fn member() -> impl Strategy<Value = (String, serde_json::Value)> {
    let name = prop::sample::select(ROUTING.to_vec());
    let value = prop_oneof![
        Just(serde_json::json!(null)),
        Just(serde_json::json!({})),
        Just(serde_json::json!({"include_usage": false})),
        Just(serde_json::json!(["x"])),
        any::<bool>().prop_map(Into::into),
        any::<u16>().prop_map(Into::into),
        "[a-z]{0,3}".prop_map(Into::into),
    ];
    (name.prop_map(String::from), value)
}

proptest! {
    /// Both edits together, as the proxy makes them: the body says so afterwards, and only that.
    #[test]
    fn edits_do_what_they_say(
        members in prop::collection::vec(member(), 0..6),
        path in prop::sample::select(vec![CHAT, COMPLETIONS, RESPONSES, MESSAGES]),
        ceiling in 1u64..1000,
    ) {
        let mut members: BTreeMap<_, _> = members.into_iter().collect();
        members.entry("model".to_owned()).or_insert_with(|| "m".into());
        let body = serde_json::to_vec(&members).unwrap();
        let endpoint = classify("POST", path, None).unwrap();
        let document = Document::parse(&body, &Limits::REQUEST).unwrap();
        let Ok(head) = read(endpoint, path, &document) else { return Ok(()) };
        let mut edits: Vec<_> = include_usage_edit(endpoint, &document)
            .into_iter()
            .chain(max_output_tokens_edit(endpoint, &document, ceiling))
            .collect();
        edits.sort_by_key(|edit| edit.range.start);
        let edited = splice(&body, &edits);
        let after = read(endpoint, path, &Document::parse(&edited, &Limits::REQUEST).unwrap()).unwrap();
        let chat = matches!(endpoint.operation, Operation::Chat | Operation::Completions);
        let expected = RequestHead {
            include_usage: head.include_usage || chat && head.stream,
            max_output_tokens: Some(head.max_output_tokens.unwrap_or(u64::MAX).min(ceiling)),
            ..head
        };
        assert_eq!(after, expected);
    }
}

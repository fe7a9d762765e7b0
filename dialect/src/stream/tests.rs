use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::classify;
use crate::error::ErrorKind;
use crate::sse::Decoder;

mod decoys;

const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
const PATHS: [&str; 5] = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", GEMINI];

fn reader(path: &str) -> StreamReader {
    StreamReader::new(classify("POST", path, None).unwrap())
}

fn frame(data: &[u8]) -> Frame {
    let mut decoder = Decoder::new(1 << 24);
    decoder.push(Bytes::from([b"data: ", data, b"\n\n"].concat())).unwrap();
    decoder.next().unwrap()
}

fn failed(reader: &StreamReader, kind: ErrorKind) -> serde_json::Value {
    let info = ErrorInfo {
        kind,
        status: 400,
        code: "dlp_blocked",
        message: "blocked",
        param: None,
        request_id: "0190-1",
        detectors: &["AWS_ACCESS_KEY"],
    };
    let event = String::from_utf8(reader.error_event(&info)).unwrap();
    let data = event.strip_prefix("event: response.failed\ndata: ").unwrap();
    serde_json::from_str(data).unwrap()
}

#[test]
fn a_failed_response_goes_on_with_the_stream() {
    let mut reader = reader("/v1/responses");
    let event = failed(&reader, ErrorKind::DlpBlocked);
    assert_eq!((&event["sequence_number"], &event["response"]["id"]), (&json!(0), &json!("resp_01901")));

    reader.read(&frame(br#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_7","created_at":1780000000,"model":"gpt-5.4"}}"#));
    reader.read(&frame(br#"{"type":"response.output_text.delta","sequence_number":41,"delta":"a"}"#));
    let event = failed(&reader, ErrorKind::DlpBlocked);
    assert_eq!(event["sequence_number"], 42);
    let response = &event["response"];
    assert_eq!((&response["id"], &response["model"]), (&json!("resp_7"), &json!("gpt-5.4")));
    assert_eq!(response["created_at"], 1_780_000_000);
    assert_eq!(response["error"]["code"], "invalid_prompt");
    assert_eq!(response["error"]["message"], "blocked (AWS_ACCESS_KEY)");
}

#[test]
fn names_from_the_stream_that_are_no_names_are_not_repeated() {
    let mut reader = reader("/v1/responses");
    reader.read(&frame(br#"{"type":"response.created","response":{"id":"a b","model":"x\ny"}}"#));
    let response = &failed(&reader, ErrorKind::Quota)["response"];
    assert_eq!((&response["id"], &response["model"]), (&json!("resp_01901"), &json!("")));
    assert_eq!(response["error"]["code"], "insufficient_quota");
}

#[test]
fn the_model_is_named_when_it_changes() {
    let mut reader = reader("/v1/chat/completions");
    let mut named = |model: &str| {
        reader.read(&frame(format!("{{\"model\":\"{model}\",\"choices\":[]}}").as_bytes())).model
    };
    assert_eq!(named("a").as_deref(), Some("a"));
    assert_eq!(named("a"), None);
    assert_eq!(named("b").as_deref(), Some("b"));
}

#[test]
fn frames_without_data_say_nothing() {
    let mut decoder = Decoder::new(100);
    decoder.push(Bytes::from_static(b": ping\n\n\n")).unwrap();
    for frame in std::iter::from_fn(|| decoder.next()) {
        let event = reader("/v1/chat/completions").read(&frame);
        assert!(event.texts.is_empty() && event.closes.is_empty() && !event.terminal);
    }
}

#[test]
fn the_end_mark_is_openais_alone() {
    for (path, terminal) in PATHS.into_iter().zip([true, true, true, false, false]) {
        let event = reader(path).read(&frame(b" [DONE] "));
        assert_eq!((event.terminal, event.texts.is_empty()), (terminal, terminal), "{path}");
    }
}

#[test]
fn an_event_of_very_many_channels_stays_cheap() {
    let call = |index: u32| json!({"index": index, "function": {"arguments": "x"}});
    let choice = |index: u32| json!({"index": index, "delta": {"content": "x"}});
    let calls: Vec<_> = (0..20_000).map(call).collect();
    let choices: Vec<_> = (0..20_000).map(choice).collect();
    for event in [json!({"choices": [{"delta": {"tool_calls": calls}}]}), json!({"choices": choices})] {
        let mut reader = reader("/v1/chat/completions");
        let data = serde_json::to_vec(&event).unwrap();
        for _ in 0..2 {
            let event = reader.read(&frame(&data));
            let channels = event.texts.iter().filter(|text| text.channel.is_some()).count();
            assert_eq!((channels, event.closes.len()), (20_000, 0));
        }
    }
}

#[test]
fn a_channel_that_goes_on_after_its_end_is_told() {
    let delta = br#"{"type":"response.output_text.delta","output_index":1,"delta":"a"}"#;
    let done = br#"{"type":"response.output_text.done","output_index":1,"text":"a"}"#;
    let mut reader = reader("/v1/responses");
    let told = [delta.as_slice(), done, delta].map(|data| reader.read(&frame(data)).reopened);
    assert_eq!(told, [false, false, true]);
}

#[test]
fn texts_with_and_without_a_number_are_told() {
    let chat = |choice: serde_json::Value| json!({"choices": [choice]});
    let delta = json!({"content": "a"});
    let bare = chat(json!({"delta": delta}));
    let first = chat(json!({"index": 0, "delta": delta}));
    let second = chat(json!({"index": 1, "delta": delta}));
    let quoted = chat(json!({"index": "0", "delta": delta}));
    let empty = chat(json!({"delta": {"role": "assistant", "content": ""}, "finish_reason": "stop"}));
    let call = |call: serde_json::Value| chat(json!({"index": 0, "delta": {"tool_calls": [call]}}));
    let arguments = json!({"arguments": "a"});
    let cases = [
        (false, vec![&bare, &bare, &second]),
        (false, vec![&first, &second, &empty]),
        (true, vec![&first, &bare]),
        (true, vec![&bare, &second, &first]),
        (true, vec![&first, &quoted]),
    ];
    for (expected, events) in cases {
        let mut reader = reader("/v1/chat/completions");
        let last = events.iter().map(|event| reader.read(&frame(&serde_json::to_vec(event).unwrap()))).last();
        assert_eq!(last.unwrap().is_ambiguous, expected, "{events:?}");
    }
    let mut reader = reader("/v1/chat/completions");
    let calls = [call(json!({"index": 0, "function": arguments})), call(json!({"function": arguments}))];
    let told = calls.map(|event| reader.read(&frame(&serde_json::to_vec(&event).unwrap())).is_ambiguous);
    assert_eq!(told, [false, true]);
}

/// The channels of the texts with something in them.
fn channels(told: &StreamEvent) -> Vec<Channel> {
    told.texts.iter().filter_map(|text| text.channel).collect()
}

#[test]
fn gemini_is_the_same_in_both_spellings() {
    let parts = [
        (
            json!({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}}),
            json!({"function_call": {"partial_args": [{"json_path": "$.a", "string_value": "x"}]}}),
        ),
        (json!({"executableCode": {"code": "x"}}), json!({"executable_code": {"code": "x"}})),
        (json!({"codeExecutionResult": {"output": "x"}}), json!({"code_execution_result": {"output": "x"}})),
        (
            json!({"audioTranscription": {"text": "x", "words": [{"word": "x", "startOffset": "1s"}]}}),
            json!({"audio_transcription": {"text": "x", "words": [{"word": "x", "start_offset": "1s"}]}}),
        ),
        (json!({"text": "x", "thoughtSignature": "C"}), json!({"text": "x", "thought_signature": "C"})),
    ];
    for (part, same) in parts {
        let event = json!({"modelVersion": "m", "responseId": "r", "candidates": [
            {"index": 0, "content": {"parts": [part]}, "finishReason": "STOP", "finishMessage": "done"}]});
        let other = json!({"model_version": "m", "response_id": "r", "candidates": [
            {"index": 0, "content": {"parts": [same]}, "finish_reason": "STOP", "finish_message": "done"}]});
        let mut reader = reader(GEMINI);
        let [one, other] =
            [event, other].map(|event| reader.read(&frame(&serde_json::to_vec(&event).unwrap())));
        assert!(!channels(&one).is_empty(), "{part}");
        assert_eq!((channels(&one), &one.closes), (channels(&other), &other.closes), "{part}");
        assert!(!one.is_ambiguous && !other.is_ambiguous);
    }
    let both = br#"{"candidates":[{"content":{"parts":[{"executableCode":{"code":"a"},"executable_code":{"code":"b"}}]}}]}"#;
    assert!(reader(GEMINI).read(&frame(both)).is_ambiguous);
}

fn others(event: &StreamEvent) -> Vec<(u32, u32)> {
    let channels = event.texts.iter().filter_map(|text| text.channel);
    let others = channels.filter(|channel| channel.kind == ChannelKind::Other);
    others.map(|channel| (channel.choice, channel.item)).collect()
}

#[test]
fn unknown_texts_are_numbered_up_to_a_limit() {
    let mut reader = reader("/v1/chat/completions");
    let mut read = |delta: serde_json::Value| {
        let event = json!({"choices": [{"index": 3, "delta": delta}]});
        let told = reader.read(&frame(&serde_json::to_vec(&event).unwrap()));
        (others(&told), told.is_ambiguous)
    };
    assert_eq!(read(json!({"a": "", "type": "x", "call_id": "x", "n": 1})), (vec![], false));
    for number in 0..1024 {
        assert_eq!(read(json!({(format!("m{number}")): "x"})), (vec![(3, number)], false));
    }
    assert_eq!(read(json!({"one_more": "x"})), (vec![], true));
    assert_eq!(read(json!({"m7": "x", "one_more": "x"})), (vec![(3, 7)], true));
    assert_eq!(read(json!({"m7": "x", "one_more": ""})), (vec![(3, 7)], false));
}

/// Events of one text each, by the number that is in the event.
fn numbered(path: &str, number: &str) -> String {
    match path {
        "/v1/chat/completions" => {
            format!(r#"{{"choices":[{{"index":{number},"delta":{{"content":"x"}}}}]}}"#)
        }
        "/v1/completions" => format!(r#"{{"choices":[{{"index":{number},"text":"x"}}]}}"#),
        "/v1/responses" => {
            let text = r#""type":"response.output_text.delta","delta":"x""#;
            format!(r#"{{{text},"output_index":{number},"content_index":{number}}}"#)
        }
        "/v1/messages" => {
            format!(r#"{{"type":"content_block_delta","index":{number},"delta":{{"text":"x"}}}}"#)
        }
        _ => format!(r#"{{"candidates":[{{"index":{number},"content":{{"parts":[{{"text":"x"}}]}}}}]}}"#),
    }
}

#[test]
fn numbers_that_clients_read_as_one_are_one() {
    for path in PATHS {
        let mut reader = reader(path);
        let mut read = |number: &str| {
            let told = reader.read(&frame(numbered(path, number).as_bytes()));
            (channels(&told).first().map(|channel| channel.choice), told.is_ambiguous)
        };
        for number in ["1", "1.0", "1e0", "10e-1", "0.1E+1"] {
            assert_eq!(read(number), (Some(1), false), "{path} {number}");
        }
        for number in ["0", "0.0", "-0"] {
            assert_eq!(read(number), (Some(0), false), "{path} {number}");
        }
        for number in ["-1", "-2", "1.5", "4294967296", "1e400", "\"1\"", "[1]"] {
            assert_eq!(read(number), (Some(0), true), "{path} {number}");
        }
    }
}

#[test]
fn every_argument_of_a_large_call_is_a_text_of_its_own() {
    let mut reader = reader(GEMINI);
    let mut read = |path: &str| {
        let call = json!({"partialArgs": [{"jsonPath": path, "stringValue": "x"}]});
        let event = json!({"candidates": [{"content": {"parts": [{"functionCall": call}]}}]});
        let told = reader.read(&frame(&serde_json::to_vec(&event).unwrap()));
        (channels(&told).first().map(|channel| channel.item), told.is_ambiguous)
    };
    let deep = format!("$.{}", ["a_rather_long_member"; 20].join("."));
    for item in 0..500 {
        assert_eq!(read(&format!("$.rows[{item}].note")), (Some(item), false));
    }
    assert_eq!(read(&deep), (Some(500), false));
    assert_eq!(read("$.rows[99].note"), (Some(99), false));
    assert_eq!(read(&deep.repeat(2)), (None, true));
}

#[test]
fn an_unknown_text_with_an_endless_name_is_ambiguous() {
    let name = "n".repeat(1000);
    let data = format!("{{\"choices\":[{{\"delta\":{{\"{name}\":\"x\"}}}}]}}");
    let told = reader("/v1/chat/completions").read(&frame(data.as_bytes()));
    assert_eq!((others(&told), told.is_ambiguous), (vec![], true));
    let data = format!("{{\"type\":\"{name}.delta\",\"delta\":\"x\"}}");
    let told = reader("/v1/responses").read(&frame(data.as_bytes()));
    assert_eq!((others(&told), told.is_ambiguous), (vec![], true));
}

#[test]
fn of_two_unknown_members_of_one_name_the_last_goes_on() {
    let data = br#"{"choices":[{"delta":{"thought":"a","th\u006fught":"b"}}]}"#;
    let event = reader("/v1/chat/completions").read(&frame(data));
    let text = event.texts.iter().filter(|text| text.channel.is_some()).collect::<Vec<_>>();
    assert_eq!((text.len(), &data[text[0].raw.clone()]), (1, b"b".as_slice()));
}

#[test]
fn what_goes_on_leaves_the_name_of_a_tool_but_no_other_call() {
    let call = |index: u32, function: serde_json::Value| json!({"index": index, "function": function});
    let channel = |kind, item| Closes::Left(Channel { choice: 0, item, kind });
    let (name, arguments) = (ChannelKind::Other, ChannelKind::ToolArguments);
    let steps = [
        (json!({"tool_calls": [call(0, json!({"name": "f", "arguments": "a"}))]}), vec![]),
        (json!({"tool_calls": [call(0, json!({"arguments": "b"}))]}), vec![channel(name, 0)]),
        (json!({"tool_calls": [call(1, json!({"name": "g", "arguments": "c"}))]}), vec![]),
        (json!({"tool_calls": [call(0, json!({"arguments": "d"}))]}), vec![channel(name, 1)]),
        (json!({"tool_calls": [call(1, json!({"arguments": "e"}))]}), vec![]),
        (json!({"thought": "f"}), vec![channel(arguments, 0), channel(arguments, 1)]),
        (json!({"content": "g"}), vec![channel(name, 2)]),
    ];
    let mut reader = reader("/v1/chat/completions");
    for (delta, closes) in steps {
        let event = json!({"choices": [{"index": 0, "delta": delta}]});
        let event = reader.read(&frame(&serde_json::to_vec(&event).unwrap()));
        assert_eq!(event.closes.as_slice(), closes, "{delta}");
        assert!(!event.reopened);
    }
}

#[test]
fn a_usage_only_chunk_is_one_whatever_it_counts() {
    for (usage, only) in [(json!({"prompt_tokens": -1}), true), (json!(null), false)] {
        let data = serde_json::to_vec(&json!({"choices": [], "usage": usage})).unwrap();
        let event = reader("/v1/chat/completions").read(&frame(&data));
        assert_eq!((event.is_usage_only_chunk, event.usage, event.usage_is_final), (only, None, false));
    }
}

/// Events that look like those of a provider, with members where they belong and elsewhere.
fn event() -> impl Strategy<Value = serde_json::Value> {
    let kind = prop::sample::select(vec![
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_start",
        "message_delta",
        "message_stop",
        "error",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_item.done",
        "response.completed",
        "response.new.delta",
        "response.new.done",
        "other",
    ]);
    let name = prop::sample::select(vec![
        "type",
        "index",
        "delta",
        "content",
        "text",
        "choices",
        "tool_calls",
        "function",
        "arguments",
        "usage",
        "message",
        "response",
        "error",
        "logprobs",
        "output_index",
        "finish_reason",
        "thinking",
        "reasoning_details",
        "partial_json",
        "model",
        "name",
        "thought",
        "candidates",
        "parts",
        "functionCall",
        "partialArgs",
        "stringValue",
        "finishReason",
        "usageMetadata",
        "logprobsResult",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<u64>().prop_map(Into::into),
        kind.clone().prop_map(Into::into),
        "[a\u{e9}\"\\\\]{0,3}".prop_map(Into::into),
    ];
    let value = leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    });
    (kind, value).prop_map(|(kind, mut value)| {
        if let Some(object) = value.as_object_mut() {
            object.entry("type").or_insert_with(|| kind.into());
        }
        value
    })
}

proptest! {
    #[test]
    fn every_string_is_told_once(
        path in prop::sample::select(PATHS.to_vec()),
        events in prop::collection::vec(event(), 1..6),
    ) {
        let mut reader = reader(path);
        for event in events {
            let data = serde_json::to_vec(&event).unwrap();
            let told = reader.read(&frame(&data));
            let document = Document::parse(&data, &Limits::RESPONSE).unwrap();
            let strings: Vec<_> = document.strings().map(|string| string.raw).collect();
            let texts: Vec<_> = told.texts.iter().map(|text| text.raw.clone()).collect();
            assert!(told.json);
            assert_eq!(texts, strings);
            assert!(told.texts.iter().all(|text| text.channel.is_none() || !text.is_key));
            assert!(told.terminal || !told.error);
            assert!(told.usage.is_some() || !told.usage_is_final);
            let outside = |number: &Range<usize>| {
                !told.logprobs.iter().any(|blank| blank.range.start < number.end && number.start < blank.range.end)
            };
            assert_eq!(told.numbers, document.long_integers().filter(outside).collect::<Vec<_>>());
            let blank = crate::json::splice(&data, &told.logprobs);
            assert!(Document::parse(&blank, &Limits::RESPONSE).is_ok());
        }
    }

    #[test]
    fn arbitrary_streams_never_panic(
        path in prop::sample::select(PATHS.to_vec()),
        chunks: Vec<Vec<u8>>,
    ) {
        let (mut reader, mut decoder) = (reader(path), Decoder::new(64));
        for chunk in chunks {
            let _ = decoder.push(Bytes::from(chunk));
            while let Some(frame) = decoder.next() {
                let event = reader.read(&frame);
                let len = frame.data().map_or(0, <[u8]>::len);
                assert!(event.texts.iter().all(|text| text.raw.end <= len));
            }
        }
    }
}

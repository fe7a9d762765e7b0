//! Every text of every dialect, in both directions, streamed and whole, under every action.
//!
//! The rows are the fields that the dialects' readers follow: [`row`] matches on them without a wildcard, so a
//! field without a row does not compile.

use super::stream::{Stop, StreamInspector, StreamOptions};
use super::whole;
use bulkhead_dialect::classify;
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dialect::sse::Decoder;
use bulkhead_dialect::stream::{Field, StreamReader};
use bulkhead_dlp::{Action, Rule, RuleSet, TextRules, catalogue};
use bulkhead_policy::trace::Direction;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";

const CARD: &str = "4111 1111 1111 1111";
const OPTIONS: StreamOptions = StreamOptions {
    event_bytes_max: 1 << 20,
    held_bytes_max: 1 << 20,
    drop_usage_chunk: false,
    allow_uninspectable: false,
};

/// The path that is answered with such events, and an event with `text` in the field.
fn row(field: Field, text: &str) -> (&'static str, Value) {
    let part = |part: Value| json!({"content": [part]});
    let call = |call: Value| json!({"tool_calls": [call]});
    let detail = |detail: Value| json!({"reasoning_details": [detail]});
    let chat = |delta: Value| (CHAT, json!({"choices": [{"index": 0, "delta": delta}]}));
    let delta =
        |kind: &str, delta: Value| (RESPONSES, json!({"type": kind, "output_index": 0, "delta": delta}));
    let block = |delta: Value| (MESSAGES, json!({"type": "content_block_delta", "index": 0, "delta": delta}));
    let begun =
        |block: Value| (MESSAGES, json!({"type": "content_block_start", "index": 0, "content_block": block}));
    let gemini = |part: Value| (GEMINI, json!({"candidates": [{"index": 0, "content": {"parts": [part]}}]}));
    match field {
        Field::CompletionsText => (COMPLETIONS, json!({"choices": [{"index": 0, "text": text}]})),
        Field::ChatContent => chat(json!({"content": text})),
        Field::ChatContentPart => chat(part(json!({"type": "text", "text": text}))),
        Field::ChatThinkingPart => chat(part(json!({"thinking": text}))),
        Field::ChatThinkingText => chat(part(json!({"thinking": [{"type": "text", "text": text}]}))),
        Field::ChatOtherPart => chat(part(json!({"transcription": text}))),
        Field::ChatRefusal => chat(json!({"refusal": text})),
        Field::ChatReasoning => chat(json!({"reasoning": text})),
        Field::ChatReasoningContent => chat(json!({"reasoning_content": text})),
        Field::ChatReasoningText => chat(detail(json!({"text": text}))),
        Field::ChatReasoningSummary => chat(detail(json!({"summary": text}))),
        Field::ChatReasoningOther => chat(detail(json!({"thought": text}))),
        Field::ChatToolArguments => chat(call(json!({"index": 0, "function": {"arguments": text}}))),
        Field::ChatToolInput => chat(call(json!({"index": 0, "custom": {"input": text}}))),
        Field::ChatToolOther => chat(call(json!({"index": 0, "note": text}))),
        Field::ChatToolFunctionOther => chat(call(json!({"index": 0, "function": {"name": text}}))),
        Field::ChatToolCustomOther => chat(call(json!({"index": 0, "custom": {"name": text}}))),
        Field::ChatFunctionArguments => chat(json!({"function_call": {"arguments": text}})),
        Field::ChatFunctionOther => chat(json!({"function_call": {"name": text}})),
        Field::ChatTranscript => chat(json!({"audio": {"transcript": text}})),
        Field::ChatAudioOther => chat(json!({"audio": {"caption": text}})),
        Field::ChatOther => chat(json!({"thought": text})),
        Field::ChatMessage => (CHAT, json!({"choices": [{"index": 0, "message": {"content": text}}]})),
        Field::ChatChoiceOther => (CHAT, json!({"choices": [{"index": 0, "said": text}]})),
        Field::ChatRootOther => (CHAT, json!({"choices": [], "said": text})),
        Field::ResponsesText => delta("response.output_text.delta", json!(text)),
        Field::ResponsesRefusal => delta("response.refusal.delta", json!(text)),
        Field::ResponsesReasoning => delta("response.reasoning_text.delta", json!(text)),
        Field::ResponsesReasoningSummary => delta("response.reasoning_summary_text.delta", json!(text)),
        Field::ResponsesFunctionArguments => delta("response.function_call_arguments.delta", json!(text)),
        Field::ResponsesCustomInput => delta("response.custom_tool_call_input.delta", json!(text)),
        Field::ResponsesMcpArguments => delta("response.mcp_call_arguments.delta", json!(text)),
        Field::ResponsesTranscript => delta("response.audio.transcript.delta", json!(text)),
        Field::ResponsesCode => delta("response.code_interpreter_call_code.delta", json!(text)),
        Field::ResponsesShellCommand => delta("response.shell_call_command.delta", json!(text)),
        Field::ResponsesShellCommandBegun => (
            RESPONSES,
            json!({"type": "response.shell_call_command.added", "output_index": 0, "command": text}),
        ),
        Field::ResponsesOther => delta("response.of_tomorrow.delta", json!(text)),
        Field::ResponsesUnknownEvent => (RESPONSES, json!({"type": "response.said", "said": text})),
        Field::ResponsesOtherMember => {
            delta("response.shell_call_output_content.delta", json!({"stdout": text}))
        }
        Field::MessagesText => block(json!({"type": "text_delta", "text": text})),
        Field::MessagesTextBegun => begun(json!({"type": "text", "text": text})),
        Field::MessagesThinking => block(json!({"type": "thinking_delta", "thinking": text})),
        Field::MessagesThinkingBegun => begun(json!({"type": "thinking", "thinking": text})),
        Field::MessagesToolInput => block(json!({"type": "input_json_delta", "partial_json": text})),
        Field::MessagesCompaction => block(json!({"type": "compaction_delta", "content": text})),
        Field::MessagesCompactionBegun => begun(json!({"type": "compaction", "content": text})),
        Field::MessagesUnknownEvent => (MESSAGES, json!({"type": "completion", "completion": text})),
        Field::MessagesOther => block(json!({"type": "delta_of_tomorrow", "thought": text})),
        Field::GeminiText => gemini(json!({"text": text})),
        Field::GeminiThought => gemini(json!({"text": text, "thought": true})),
        Field::GeminiTranscript => gemini(json!({"audioTranscription": {"text": text}})),
        Field::GeminiTranscriptWord => gemini(json!({"audioTranscription": {"words": [{"word": text}]}})),
        Field::GeminiCode => gemini(json!({"executableCode": {"code": text}})),
        Field::GeminiCodeOther => gemini(json!({"executableCode": {"note": text}})),
        Field::GeminiCodeResult => gemini(json!({"codeExecutionResult": {"output": text}})),
        Field::GeminiArgument => {
            gemini(json!({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": text}]}}))
        }
        Field::GeminiOther => gemini(json!({"caption": text})),
        Field::GeminiCandidateOther => (GEMINI, json!({"candidates": [{"index": 0, "said": text}]})),
        Field::GeminiRootOther => (GEMINI, json!({"said": text})),
    }
}

/// The event that ends an answer.
fn end(path: &str) -> Value {
    match path {
        RESPONSES => json!({"type": "response.completed", "response": {}}),
        MESSAGES => json!({"type": "message_stop"}),
        GEMINI => json!({"candidates": [{"index": 0, "finishReason": "STOP"}]}),
        _ => json!({"choices": [{"index": 0, "finish_reason": "stop"}]}),
    }
}

fn rules(action: Action) -> TextRules {
    let detectors = catalogue().select("CREDIT_CARD").into_iter();
    let rules = detectors.map(|detector| Rule::new(Arc::clone(detector), action)).collect();
    Arc::new(RuleSet::new(rules, Vec::new())).into()
}

/// Where `text` stands in a value.
fn pointer(value: &Value, text: &str) -> Option<String> {
    let below = |name: String, value| Some(format!("/{name}{}", pointer(value, text)?));
    match value {
        Value::String(found) => (found == text).then(String::new),
        Value::Array(items) => {
            (0..).zip(items).find_map(|(index, item): (usize, _)| below(index.to_string(), item))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| below(name.clone(), member)),
        _ => None,
    }
}

fn framed(event: &Value) -> Vec<u8> {
    format!("data: {event}\n\n").into_bytes()
}

/// What leaves of a stream whose text in this field comes in `pieces`, put together, and how it ends.
fn streamed(field: Field, pieces: &[&str], rules: &TextRules) -> (String, usize, Result<(), Stop>) {
    let (path, _) = row(field, "");
    let endpoint = classify("POST", path, None).unwrap();
    let events = pieces.iter().map(|piece| row(field, piece).1).chain([end(path)]);
    let mut inspector = StreamInspector::new(endpoint, rules.clone(), OPTIONS);
    let mut out = Vec::new();
    let result = events.map(|event| framed(&event)).try_for_each(|event| {
        inspector.push(event.into())?;
        while inspector.step(&mut out)? {}
        Ok(())
    });
    let result = result.and_then(|()| inspector.finish(&mut out));
    let at = pointer(&row(field, "\u{0}").1, "\u{0}").unwrap();
    let left: Vec<u8> = out.iter().flat_map(|piece| piece.sent.to_vec()).collect();
    let events =
        std::str::from_utf8(&left).unwrap().split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let texts = events.filter_map(|event| {
        let event: Value = serde_json::from_str(event).unwrap();
        Some(event.pointer(&at)?.as_str().unwrap().to_owned())
    });
    (texts.collect(), usize::try_from(inspector.take_findings().total).unwrap(), result)
}

#[test]
fn every_field_is_read_as_the_channel_it_names() {
    for &field in Field::ALL {
        let (path, event) = row(field, "some text");
        let mut decoder = Decoder::new(1 << 20);
        decoder.push(framed(&event).into()).unwrap();
        let frame = decoder.next().unwrap();
        let told = StreamReader::new(classify("POST", path, None).unwrap()).read(&frame);
        let text =
            told.texts.iter().find(|text| frame.data().unwrap()[text.raw.clone()] == *b"some text").unwrap();
        assert_eq!(text.channel.map(|channel| channel.kind), Some(field.kind()), "{field:?}");
    }
}

#[test]
fn a_value_in_two_events_is_masked_blocked_or_told() {
    let [mask, alert, block] = [Action::Mask, Action::Alert, Action::Block].map(rules);
    for &field in Field::ALL {
        for at in 1..CARD.len() {
            let pieces = ["pay ", &CARD[..at], &CARD[at..], " now"];
            let case = format!("{field:?} cut at {at}");
            let (text, found, result) = streamed(field, &pieces, &mask);
            assert_eq!((text.as_str(), found, result), ("pay [CREDIT_CARD] now", 1, Ok(())), "{case}");
            let (text, found, result) = streamed(field, &pieces, &alert);
            assert_eq!((text, found, result), (pieces.concat(), 1, Ok(())), "{case}");
            let (text, found, result) = streamed(field, &pieces, &block);
            let blocked = Err(Stop::Blocked(["CREDIT_CARD".to_owned()].into()));
            assert_eq!((text.as_str(), found, result), ("pay ", 1, blocked), "{case}");
        }
    }
}

#[test]
fn a_value_in_a_whole_body_is_masked_blocked_or_told_both_ways() {
    let text = format!("pay {CARD} now");
    let actions = [Action::Mask, Action::Alert, Action::Block].map(|action| (action, rules(action)));
    for &field in Field::ALL {
        let (_, body) = row(field, &text);
        let raw = Bytes::from(body.to_string());
        let document = Document::parse(&raw, &Limits::REQUEST).unwrap();
        for direction in [Direction::Request, Direction::Response] {
            for (action, rules) in &actions {
                let case = format!("{field:?} {direction:?} {action:?}");
                let inspected = whole::json(rules, &raw, &document.without(Vec::new()), direction, None);
                let kept = inspected.findings.kept.first().unwrap();
                assert_eq!(
                    (inspected.findings.total, kept.direction, kept.action),
                    (1, direction, *action),
                    "{case}"
                );
                assert_eq!(inspected.blocked.is_empty(), *action != Action::Block, "{case}");
                let after: Value = serde_json::from_slice(&inspected.apply(&raw)).unwrap();
                let expected = if *action == Action::Mask { "pay [CREDIT_CARD] now" } else { &text };
                assert_eq!(after, row(field, expected).1, "{case}");
            }
        }
    }
}

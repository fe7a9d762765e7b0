//! Events of OpenAI Chat Completions and Completions.

use super::other::{Place, Within};
use super::{Closes, Field, Found, Level};
use crate::json::{Kind, Value};
use crate::{Operation, usage};

/// Members that name something, and blobs: not text to be put together. A blob of audio or of
/// encrypted reasoning would count as text of the answer.
const NAMES: [&str; 10] =
    ["id", "call_id", "tool_call_id", "type", "role", "format", "status", "object", "index", "signature"];

/// Members of a choice and of the event that name something, and padding. What repeats itself is left out anyhow.
const ASIDE_NAMES: [&str; 14] = [
    "finish_reason",
    "native_finish_reason",
    "stop_reason",
    "matched_stop",
    "text",
    "index",
    "id",
    "object",
    "model",
    "provider",
    "service_tier",
    "system_fingerprint",
    "created",
    "obfuscation",
];

/// Which of two texts that other members go on with: a client reads `text` or `delta`, and some providers send both.
#[derive(Clone, Copy)]
struct Items {
    text: u32,
    content: u32,
}

pub(super) fn read<'d, 'a>(
    root: Value<'d, 'a>,
    operation: Operation,
    finished: &mut bool,
    found: &mut Found<'d, 'a>,
) {
    let items = match operation {
        Operation::Completions => Items { text: 0, content: 1 },
        _ => Items { text: 1, content: 0 },
    };
    found.model(root);
    let place = Place { choice: 0, within: Within::Root, index: 0 };
    found.others(Field::ChatRootOther, Some(root), place, [&ASIDE_NAMES, &["type"]]);
    let usage = root.get("usage");
    found.event.usage = usage.and_then(usage::openai);
    let choices = root.get("choices");
    let no_choices = choices.is_some_and(|choices| choices.is_empty_container());
    // Whatever the counts are worth, it is the chunk that a caller may not have asked for.
    found.event.is_usage_only_chunk = no_choices && usage.is_some_and(|usage| usage.kind() == Kind::Object);
    for choice in choices.iter().flat_map(Value::items) {
        *finished |= read_choice(choice, items, found);
    }
    found.event.usage_is_final =
        found.event.usage.is_some() && (*finished || found.event.is_usage_only_chunk);
    // SDKs raise on anything that is neither absent nor null.
    if root.get("error").is_some_and(|error| !error.is_null()) {
        found.failed();
    }
}

/// True if the choice finishes.
fn read_choice(choice: Value<'_, '_>, items: Items, found: &mut Found<'_, '_>) -> bool {
    let number = found.index(choice, "index");
    let before = found.pieces.len();
    found.text(Field::CompletionsText, choice.get("text"), number, items.text);
    if let Some(delta) = choice.get("delta") {
        read_content(delta.get("content"), number, items.content, found);
        read_delta(delta, number, found);
    }
    let place = |within| Place { choice: number, within, index: 0 };
    found.others(Field::ChatChoiceOther, Some(choice), place(Within::Choice), [&ASIDE_NAMES, &[]]);
    found.others(Field::ChatMessage, choice.get("message"), place(Within::Message), [&NAMES, &[]]);
    found.numbered(Level::Choice, choice.get("index"), before);
    found.entry(number, before);
    let reason = choice.get("finish_reason");
    let finished = reason.is_some_and(|reason| reason.kind() == Kind::String && !reason.is(""));
    if finished {
        found.event.closes.push(Closes::Choice(number));
    }
    finished
}

fn read_delta(delta: Value<'_, '_>, choice: u32, found: &mut Found<'_, '_>) {
    let place = |within, index| Place { choice, within, index };
    found.text(Field::ChatRefusal, delta.get("refusal"), choice, 0);
    found.text(Field::ChatReasoning, delta.get("reasoning"), choice, 0);
    found.text(Field::ChatReasoningContent, delta.get("reasoning_content"), choice, 0);
    let known: &[&str] = &["content", "refusal", "reasoning", "reasoning_content"];
    found.others(Field::ChatOther, Some(delta), place(Within::Delta, 0), [&NAMES, known]);
    for call in delta.get("tool_calls").iter().flat_map(Value::items) {
        let item = found.index(call, "index");
        let before = found.pieces.len();
        let (function, custom) = (call.get("function"), call.get("custom"));
        found.text(Field::ChatToolArguments, member(function, "arguments"), choice, item);
        // Custom tools take text instead of JSON.
        found.text(Field::ChatToolInput, member(custom, "input"), choice, item);
        found.others(Field::ChatToolOther, Some(call), place(Within::Call, item), [&NAMES, &[]]);
        let within = place(Within::CallFunction, item);
        found.others(Field::ChatToolFunctionOther, function, within, [&NAMES, &["arguments"]]);
        found.others(
            Field::ChatToolCustomOther,
            custom,
            place(Within::CallCustom, item),
            [&NAMES, &["input"]],
        );
        found.numbered(Level::Call, call.get("index"), before);
    }
    let call = delta.get("function_call");
    found.text(Field::ChatFunctionArguments, member(call, "arguments"), choice, 0);
    found.others(Field::ChatFunctionOther, call, place(Within::FunctionCall, 0), [&NAMES, &["arguments"]]);
    let audio = delta.get("audio");
    found.text(Field::ChatTranscript, member(audio, "transcript"), choice, 0);
    found.others(Field::ChatAudioOther, audio, place(Within::Audio, 0), [&NAMES, &["transcript", "data"]]);
    for detail in delta.get("reasoning_details").iter().flat_map(Value::items) {
        let item = found.index(detail, "index");
        found.text(Field::ChatReasoningText, detail.get("text"), choice, item);
        found.text(Field::ChatReasoningSummary, detail.get("summary"), choice, item);
        let known: &[&str] = &["text", "summary", "data"];
        found.others(
            Field::ChatReasoningOther,
            Some(detail),
            place(Within::ReasoningDetail, item),
            [&NAMES, known],
        );
    }
}

/// Content is a string, or a list of parts with text or thinking in them.
fn read_content(content: Option<Value<'_, '_>>, choice: u32, item: u32, found: &mut Found<'_, '_>) {
    found.text(Field::ChatContent, content, choice, item);
    for part in content.iter().flat_map(Value::items) {
        found.text(Field::ChatContentPart, part.get("text"), choice, item);
        let thinking = part.get("thinking");
        found.text(Field::ChatThinkingPart, thinking, choice, 0);
        for thought in thinking.iter().flat_map(Value::items) {
            found.text(Field::ChatThinkingText, thought.get("text"), choice, 0);
        }
        let index = found.index(part, "index");
        let place = Place { choice, within: Within::ContentPart, index };
        found.others(Field::ChatOtherPart, Some(part), place, [&NAMES, &["text", "thinking"]]);
    }
}

fn member<'d, 'a>(of: Option<Value<'d, 'a>>, name: &str) -> Option<Value<'d, 'a>> {
    of?.get(name)
}

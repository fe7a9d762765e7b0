//! Events of OpenAI Chat Completions and Completions.

use super::{Channel, ChannelKind, Closes, Found, index};
use crate::json::{Kind, Value};
use crate::usage;

pub(super) fn read<'d, 'a>(root: Value<'d, 'a>, found: &mut Found<'d, 'a>) {
    found.model(root);
    found.event.usage = root.get("usage").and_then(usage::openai);
    let choices = root.get("choices");
    let no_choices = choices.is_some_and(|choices| choices.is_empty_container());
    found.event.is_usage_only_chunk = no_choices && found.event.usage.is_some();
    for choice in choices.iter().flat_map(Value::items) {
        read_choice(choice, found);
    }
    // SDKs raise on anything that is neither absent nor null.
    if root.get("error").is_some_and(|error| !error.is_null()) {
        found.failed();
    }
}

fn read_choice(choice: Value<'_, '_>, found: &mut Found<'_, '_>) {
    let number = index(choice, "index");
    let channel = |kind| Channel { choice: number, item: 0, kind };
    found.text(choice.get("text"), channel(ChannelKind::Content));
    if let Some(delta) = choice.get("delta") {
        read_content(delta.get("content"), number, found);
        found.text(delta.get("refusal"), channel(ChannelKind::Refusal));
        found.text(delta.get("reasoning"), channel(ChannelKind::Reasoning));
        found.text(delta.get("reasoning_content"), channel(ChannelKind::ReasoningContent));
        for call in delta.get("tool_calls").iter().flat_map(Value::items) {
            let channel = Channel { item: index(call, "index"), ..channel(ChannelKind::ToolArguments) };
            found.text(member(call, "function", "arguments"), channel);
            // Custom tools take text instead of JSON.
            found.text(member(call, "custom", "input"), channel);
        }
        let arguments = member(delta, "function_call", "arguments");
        found.text(arguments, channel(ChannelKind::FunctionArguments));
        found.text(member(delta, "audio", "transcript"), channel(ChannelKind::Transcript));
        for detail in delta.get("reasoning_details").iter().flat_map(Value::items) {
            let item = index(detail, "index");
            let channel = Channel { item, ..channel(ChannelKind::ReasoningDetail) };
            found.text(detail.get("text"), channel);
            found.text(detail.get("summary"), channel);
        }
    }
    let finished = choice.get("finish_reason");
    if finished.is_some_and(|reason| reason.kind() == Kind::String && !reason.is("")) {
        found.event.closes.push(Closes::Choice(number));
    }
}

/// Content is a string, or a list of parts with text or thinking in them.
fn read_content(content: Option<Value<'_, '_>>, choice: u32, found: &mut Found<'_, '_>) {
    let channel = |kind| Channel { choice, item: 0, kind };
    found.text(content, channel(ChannelKind::Content));
    for part in content.iter().flat_map(Value::items) {
        found.text(part.get("text"), channel(ChannelKind::Content));
        let thinking = part.get("thinking");
        found.text(thinking, channel(ChannelKind::Reasoning));
        for thought in thinking.iter().flat_map(Value::items) {
            found.text(thought.get("text"), channel(ChannelKind::Reasoning));
        }
    }
}

fn member<'d, 'a>(of: Value<'d, 'a>, outer: &str, inner: &str) -> Option<Value<'d, 'a>> {
    of.get(outer)?.get(inner)
}

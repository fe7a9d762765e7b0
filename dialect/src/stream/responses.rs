//! Events of OpenAI Responses.

use super::{Channel, ChannelKind, Closes, Found, index};
use crate::error::ResponseSoFar;
use crate::json::{Kind, Value};
use crate::usage;

/// An id or model that goes into our own error event: short and without anything to escape.
const NAME_BYTES_MAX: usize = 128;

pub(super) fn read<'d, 'a>(root: Value<'d, 'a>, so_far: &mut ResponseSoFar, found: &mut Found<'d, 'a>) {
    let kind = root.get("type").and_then(|kind| kind.as_str()).unwrap_or_default();
    if let Some(number) = root.get("sequence_number").and_then(|number| number.as_u64()) {
        so_far.sequence_number = number.saturating_add(1);
    }
    if let Some(response) = root.get("response").filter(|value| value.kind() == Kind::Object) {
        found.model(response);
        found.event.usage = response.get("usage").and_then(usage::openai);
        so_far.id = name(response, "id").or(so_far.id.take());
        so_far.model = name(response, "model").or(so_far.model.take());
        let created_at = response.get("created_at").and_then(|time| time.as_u64());
        so_far.created_at = created_at.unwrap_or(so_far.created_at);
    }
    match kind.as_ref() {
        "response.completed" | "response.incomplete" => found.complete(),
        // Some compatible servers send Chat's bare error object.
        "response.failed" | "error" => found.failed(),
        "" if root.get("error").is_some_and(|error| !error.is_null()) => found.failed(),
        "response.output_item.done" => {
            found.event.closes.push(Closes::Choice(index(root, "output_index")));
        }
        _ => {
            if let Some((kind, part)) = kind.strip_suffix(".delta").and_then(channel_kind) {
                found.text(root.get("delta"), channel(root, kind, part));
            } else if let Some((kind, part)) = kind.strip_suffix(".done").and_then(channel_kind) {
                found.event.closes.push(Closes::Channel(channel(root, kind, part)));
            }
        }
    }
}

/// The kind of text an event goes on with, and the member that numbers it within its item.
fn channel_kind(base: &str) -> Option<(ChannelKind, &'static str)> {
    Some(match base {
        "response.output_text" => (ChannelKind::Content, "content_index"),
        "response.refusal" => (ChannelKind::Refusal, "content_index"),
        "response.reasoning_text" => (ChannelKind::Reasoning, "content_index"),
        "response.reasoning_summary_text" => (ChannelKind::ReasoningSummary, "summary_index"),
        "response.function_call_arguments"
        | "response.custom_tool_call_input"
        | "response.mcp_call_arguments" => (ChannelKind::ToolArguments, "content_index"),
        "response.audio.transcript" | "response.audio_transcript" | "response.output_audio_transcript" => {
            (ChannelKind::Transcript, "content_index")
        }
        "response.code_interpreter_call_code" | "response.code_interpreter_call.code" => {
            (ChannelKind::Code, "content_index")
        }
        _ => return None,
    })
}

fn channel(root: Value<'_, '_>, kind: ChannelKind, part: &str) -> Channel {
    Channel { choice: index(root, "output_index"), item: index(root, part), kind }
}

fn name(of: Value<'_, '_>, member: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let name = of.get(member)?.as_str()?;
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
    fits.then(|| name.into_owned())
}

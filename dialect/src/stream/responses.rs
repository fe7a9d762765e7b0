//! Events of OpenAI Responses.

use super::other::{Place, Within};
use super::{Channel, ChannelKind, Closes, Found, index};
use crate::error::ResponseSoFar;
use crate::json::{Kind, Value};
use crate::usage;

/// An id or model that goes into our own error event: short and without anything to escape.
const NAME_BYTES_MAX: usize = 128;
/// Their deltas are sound in base64.
const BLOBS: [&str; 2] = ["response.audio", "response.output_audio"];

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
    let last = matches!(kind.as_ref(), "response.completed" | "response.incomplete" | "response.failed");
    found.event.usage_is_final = last && found.event.usage.is_some();
    match kind.as_ref() {
        "response.completed" | "response.incomplete" => found.complete(),
        // Some compatible servers send Chat's bare error object.
        "response.failed" | "error" => found.failed(),
        "" if root.get("error").is_some_and(|error| !error.is_null()) => found.failed(),
        "response.output_item.done" => {
            found.event.closes.push(Closes::Choice(index(root, "output_index")));
        }
        kind => {
            if let Some(base) = kind.strip_suffix(".delta") {
                read_delta(root, base, found);
            } else if let Some(base) = kind.strip_suffix(".done") {
                let place = place(root);
                let other = || found.others.known(place, base.as_bytes()).map(|item| other(place, item));
                let done = channel_kind(base).map(|(kind, part)| channel(root, kind, part)).or_else(other);
                found.event.closes.extend(done.map(Closes::Channel));
            }
        }
    }
}

fn read_delta(root: Value<'_, '_>, base: &str, found: &mut Found<'_, '_>) {
    let delta = root.get("delta");
    if let Some((kind, part)) = channel_kind(base) {
        found.text(delta, channel(root, kind, part));
        return;
    }
    if BLOBS.contains(&base) {
        return;
    }
    let text = [delta, root.get("text"), delta.and_then(|delta| delta.get("text"))];
    let Some(text) = text.into_iter().flatten().find(has_text) else { return };
    let place = place(root);
    if let Some(item) = found.others.number(place, base.as_bytes()) {
        found.text(Some(text), other(place, item));
    }
}

fn has_text(value: &Value<'_, '_>) -> bool {
    value.span().is_some_and(|span| !span.raw.is_empty())
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

/// Where an event's text stands if this crate does not know the event.
fn place(root: Value<'_, '_>) -> Place {
    let part = if root.get("content_index").is_some() { "content_index" } else { "summary_index" };
    Place { choice: index(root, "output_index"), within: Within::Event, index: index(root, part) }
}

fn other(place: Place, item: u32) -> Channel {
    Channel { choice: place.choice, item, kind: ChannelKind::Other }
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

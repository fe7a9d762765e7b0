//! Events of OpenAI Responses.

use super::other::{Place, Within};
use super::{Channel, Closes, Field, Found, Level, has_text};
use crate::error::ResponseSoFar;
use crate::json::{Kind, Value};
use crate::usage;

/// An id or model that goes into our own error event: short and without anything to escape.
const NAME_BYTES_MAX: usize = 128;
/// The events that go on with a known text, without their `.delta`, and the member that numbers the
/// text within its item.
const DELTAS: [(&str, Field, &str); 13] = [
    ("response.output_text", Field::ResponsesText, "content_index"),
    ("response.refusal", Field::ResponsesRefusal, "content_index"),
    ("response.reasoning_text", Field::ResponsesReasoning, "content_index"),
    ("response.reasoning_summary_text", Field::ResponsesReasoningSummary, "summary_index"),
    ("response.function_call_arguments", Field::ResponsesFunctionArguments, "content_index"),
    ("response.custom_tool_call_input", Field::ResponsesCustomInput, "content_index"),
    ("response.mcp_call_arguments", Field::ResponsesMcpArguments, "content_index"),
    ("response.audio.transcript", Field::ResponsesTranscript, "content_index"),
    ("response.audio_transcript", Field::ResponsesTranscript, "content_index"),
    ("response.output_audio_transcript", Field::ResponsesTranscript, "content_index"),
    ("response.code_interpreter_call_code", Field::ResponsesCode, "content_index"),
    ("response.code_interpreter_call.code", Field::ResponsesCode, "content_index"),
    (SHELL_COMMAND, Field::ResponsesShellCommand, "command_index"),
];
const SHELL_COMMAND: &str = "response.shell_call_command";
/// Members of a delta that name something.
const NAMES: [&str; 3] = ["type", "id", "text"];
/// How the known events end that are no deltas: what they carry is whole.
const STEPS: [&str; 12] = [
    ".created",
    ".queued",
    ".in_progress",
    ".added",
    ".searching",
    ".interpreting",
    ".generating",
    ".completed",
    ".failed",
    ".cancelled",
    ".partial_image",
    "error",
];
/// Members of an unknown event that name something, and padding.
const ASIDE_NAMES: [&str; 8] =
    ["type", "id", "item_id", "response_id", "event_id", "call_id", "status", "obfuscation"];
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
            let item = found.index(root, "output_index");
            found.event.closes.push(Closes::Choice(item));
        }
        kind => {
            if let Some(base) = kind.strip_suffix(".delta") {
                read_delta(root, base, found);
            } else if let Some(base) = kind.strip_suffix(".done") {
                let place = place(root, found);
                let done = known(base).map(|(field, part)| (field, Some(found.index(root, part))));
                let other = || (Field::ResponsesOther, found.others.known(place, base.as_bytes()));
                let (field, item) = done.unwrap_or_else(other);
                let channel = item.map(|item| Channel { choice: place.choice, item, kind: field.kind() });
                found.event.closes.extend(channel.map(Closes::Channel));
            } else if kind.strip_suffix(".added") == Some(SHELL_COMMAND) {
                let (choice, item) = (found.index(root, "output_index"), found.index(root, "command_index"));
                found.text(Field::ResponsesShellCommandBegun, root.get("command"), choice, item);
            } else if !STEPS.iter().any(|step| kind.ends_with(step)) {
                let place = Place { within: Within::Root, ..place(root, found) };
                found.others(Field::ResponsesUnknownEvent, Some(root), place, [&ASIDE_NAMES, &[]]);
            }
        }
    }
    found.numbered(Level::Choice, root.get("output_index"), 0);
}

fn read_delta(root: Value<'_, '_>, base: &str, found: &mut Found<'_, '_>) {
    let delta = root.get("delta");
    if let Some((field, part)) = known(base) {
        let (choice, item) = (found.index(root, "output_index"), found.index(root, part));
        found.text(field, delta, choice, item);
        return;
    }
    if BLOBS.contains(&base) {
        return;
    }
    let place = place(root, found);
    let text = [delta, root.get("text"), delta.and_then(|delta| delta.get("text"))];
    if let Some(text) = text.into_iter().flatten().find(has_text)
        && let Some(item) = found.number(place, base.as_bytes())
    {
        found.text(Field::ResponsesOther, Some(text), place.choice, item);
    }
    for (key, value) in delta.iter().flat_map(Value::entries) {
        if !has_text(&value) || NAMES.iter().any(|name| key.is(name)) {
            continue;
        }
        let name = [base.as_bytes(), b".", key.text().as_ref()].concat();
        if let Some(item) = found.number(place, &name) {
            found.text(Field::ResponsesOtherMember, Some(value), place.choice, item);
        }
    }
}

fn known(base: &str) -> Option<(Field, &'static str)> {
    DELTAS.into_iter().find(|(name, ..)| *name == base).map(|(_, field, part)| (field, part))
}

/// Where an event's text stands if this crate does not know the event.
fn place(root: Value<'_, '_>, found: &mut Found<'_, '_>) -> Place {
    let parts = ["content_index", "summary_index", "command_index"];
    let part = parts.into_iter().find(|part| root.get(part).is_some()).unwrap_or_default();
    let (choice, index) = (found.index(root, "output_index"), found.index(root, part));
    Place { choice, within: Within::Event, index }
}

fn name(of: Value<'_, '_>, member: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let name = of.get(member)?.as_str()?;
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
    fits.then(|| name.into_owned())
}

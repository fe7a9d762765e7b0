//! Events of Anthropic Messages.

use super::other::{Place, Within};
use super::{Closes, Field, Found, Level};
use crate::json::Value;
use crate::usage::AnthropicUsage;

/// Members of a `delta` that are no text to be put together.
const NAMES: [&str; 5] = ["type", "stop_reason", "stop_sequence", "signature", "encrypted_content"];

/// A summary is another text than the block's own.
const COMPACTION: u32 = 1;

pub(super) fn read<'d, 'a>(root: Value<'d, 'a>, usage: &mut AnthropicUsage, found: &mut Found<'d, 'a>) {
    // The JSON's own type, not the `event` field: not every client reads the latter.
    let kind = root.get("type").and_then(|kind| kind.as_str()).unwrap_or_default();
    let message = root.get("message");
    if let Some(message) = message {
        found.model(message);
    }
    let counts = root.get("usage").or_else(|| message.and_then(|message| message.get("usage")));
    if let Some(counts) = counts {
        usage.merge(counts);
        found.event.usage = usage.usage();
        // `message_start` counts the output as it begins.
        let ends =
            kind == "message_delta" && counts.get("output_tokens").is_some_and(|count| !count.is_null());
        found.event.usage_is_final = ends && found.event.usage.is_some();
    }
    let number = found.index(root, "index");
    let known: &[&str] = match kind.as_ref() {
        "content_block_delta" => &["text", "thinking", "partial_json", "content"],
        _ => &[],
    };
    let place = Place { choice: number, within: Within::Delta, index: 0 };
    found.others(Field::MessagesOther, root.get("delta"), place, [&NAMES, known]);
    match kind.as_ref() {
        "content_block_start" => {
            // Usually empty; a provider may begin the text right here.
            if let Some(block) = root.get("content_block") {
                found.text(Field::MessagesTextBegun, block.get("text"), number, 0);
                found.text(Field::MessagesThinkingBegun, block.get("thinking"), number, 0);
                found.text(Field::MessagesCompactionBegun, block.get("content"), number, COMPACTION);
            }
        }
        "content_block_delta" => {
            if let Some(delta) = root.get("delta") {
                found.text(Field::MessagesText, delta.get("text"), number, 0);
                found.text(Field::MessagesThinking, delta.get("thinking"), number, 0);
                found.text(Field::MessagesToolInput, delta.get("partial_json"), number, 0);
                found.text(Field::MessagesCompaction, delta.get("content"), number, COMPACTION);
            }
        }
        "content_block_stop" => found.event.closes.push(Closes::Choice(number)),
        "message_delta" => {
            let reason = root.get("delta").and_then(|delta| delta.get("stop_reason"));
            if reason.is_some_and(|reason| !reason.is_null()) {
                found.event.closes.push(Closes::All);
            }
        }
        "message_stop" => found.complete(),
        "error" => found.failed(),
        "message_start" | "ping" => {}
        _ => {
            let place = Place { choice: number, within: Within::Root, index: 0 };
            found.others(Field::MessagesUnknownEvent, Some(root), place, [&NAMES, &["id", "model"]]);
        }
    }
    if kind.starts_with("content_block") {
        found.numbered(Level::Choice, root.get("index"), 0);
    }
}

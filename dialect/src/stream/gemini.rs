//! Events of Gemini: each is a whole `GenerateContentResponse` with the next parts.
//!
//! By the rules of Protocol Buffers each member may be written `likeThis` or `like_this`, and SDKs read both.

use super::other::{Place, Within};
use super::{Closes, Field, Found, Level, has_text};
use crate::json::Value;
use crate::usage;

/// Members that name something, and blobs: not text to be put together.
const NAMES: [&str; 9] = [
    "id",
    "thoughtSignature",
    "thought_signature",
    "language",
    "outcome",
    "startOffset",
    "start_offset",
    "endOffset",
    "end_offset",
];

/// Members of a candidate and of the event that name something.
const ASIDE_NAMES: [&str; 10] = [
    "finishReason",
    "finish_reason",
    "finishMessage",
    "finish_message",
    "modelVersion",
    "model_version",
    "responseId",
    "response_id",
    "createTime",
    "create_time",
];

/// A member's two spellings.
type Spellings = [&'static str; 2];

const ARGUMENTS: Spellings = ["partialArgs", "partial_args"];
const BLOCK_REASON: Spellings = ["blockReason", "block_reason"];
const CALL: Spellings = ["functionCall", "function_call"];
const CODE: Spellings = ["executableCode", "executable_code"];
const CODE_RESULT: Spellings = ["codeExecutionResult", "code_execution_result"];
const FEEDBACK: Spellings = ["promptFeedback", "prompt_feedback"];
const FINISH_REASON: Spellings = ["finishReason", "finish_reason"];
const MODEL: Spellings = ["modelVersion", "model_version"];
const PATH: Spellings = ["jsonPath", "json_path"];
const SPOKEN: Spellings = ["audioTranscription", "audio_transcription"];
const STRING: Spellings = ["stringValue", "string_value"];

pub(super) fn read<'d, 'a>(root: Value<'d, 'a>, finished: &mut bool, found: &mut Found<'d, 'a>) {
    found.model = member(root, MODEL, found);
    let place = Place { choice: 0, within: Within::Root, index: 0 };
    found.others(Field::GeminiRootOther, Some(root), place, [&ASIDE_NAMES, &[]]);
    found.event.usage = root.get("usageMetadata").and_then(usage::gemini);
    for candidate in root.get("candidates").iter().flat_map(Value::items) {
        *finished |= read_candidate(candidate, found);
    }
    let feedback = member(root, FEEDBACK, found).and_then(|feedback| member(feedback, BLOCK_REASON, found));
    if feedback.is_some_and(is_reason) {
        // The prompt was refused: there are no candidates, and none will come.
        *finished = true;
        found.complete();
    }
    // Every event counts what was used so far.
    found.event.usage_is_final = found.event.usage.is_some() && *finished;
    if root.get("error").is_some_and(|error| !error.is_null()) {
        found.failed();
    }
}

/// True if the candidate finishes.
fn read_candidate(candidate: Value<'_, '_>, found: &mut Found<'_, '_>) -> bool {
    let choice = found.index(candidate, "index");
    let content = candidate.get("content");
    let before = found.pieces.len();
    for part in content.and_then(|content| content.get("parts")).iter().flat_map(Value::items) {
        read_part(part, choice, found);
    }
    let place = Place { choice, within: Within::Choice, index: 0 };
    found.others(Field::GeminiCandidateOther, Some(candidate), place, [&ASIDE_NAMES, &[]]);
    found.numbered(Level::Choice, candidate.get("index"), before);
    found.entry(choice, before);
    let finished = member(candidate, FINISH_REASON, found).is_some_and(is_reason);
    if finished {
        found.event.closes.push(Closes::Choice(choice));
    }
    finished
}

fn read_part(part: Value<'_, '_>, choice: u32, found: &mut Found<'_, '_>) {
    let place = |within| Place { choice, within, index: 0 };
    let thought = part.get("thought").filter(|thought| !thought.is_null());
    let is_thought = thought.and_then(|thought| thought.as_bool());
    // Some clients take 1 or a text for true.
    found.event.is_ambiguous |= thought.is_some() && is_thought.is_none();
    let field = if is_thought == Some(true) { Field::GeminiThought } else { Field::GeminiText };
    found.text(field, part.get("text"), choice, 0);
    found.others(Field::GeminiOther, Some(part), place(Within::ContentPart), [&NAMES, &["text"]]);
    if let Some(spoken) = member(part, SPOKEN, found) {
        found.text(Field::GeminiTranscript, spoken.get("text"), choice, 0);
        for word in spoken.get("words").iter().flat_map(Value::items) {
            found.others(Field::GeminiTranscriptWord, Some(word), place(Within::Audio), [&NAMES, &[]]);
        }
    }
    if let Some(code) = member(part, CODE, found) {
        found.text(Field::GeminiCode, code.get("code"), choice, 0);
        found.others(Field::GeminiCodeOther, Some(code), place(Within::Code), [&NAMES, &["code"]]);
    }
    let result = member(part, CODE_RESULT, found);
    found.others(Field::GeminiCodeResult, result, place(Within::CodeResult), [&NAMES, &[]]);
    let call = member(part, CALL, found);
    // `args` is an object, whole in its event; `partialArgs` carry its strings in pieces.
    let arguments = call.and_then(|call| member(call, ARGUMENTS, found));
    for argument in arguments.iter().flat_map(Value::items) {
        let path = member(argument, PATH, found).map(|path| path.text()).unwrap_or_default();
        let Some(text) = member(argument, STRING, found).filter(has_text) else { continue };
        if let Some(item) = found.number(place(Within::CallArgument), &path) {
            found.text(Field::GeminiArgument, Some(text), choice, item);
        }
    }
}

/// A member in either spelling. Of both, one client reads this and another that.
fn member<'d, 'a>(
    of: Value<'d, 'a>,
    [name, other]: Spellings,
    found: &mut Found<'_, '_>,
) -> Option<Value<'d, 'a>> {
    let (named, other) = (of.get(name), of.get(other));
    found.event.is_ambiguous |= named.is_some() && other.is_some();
    named.or(other)
}

fn is_reason(reason: Value<'_, '_>) -> bool {
    reason.as_str().is_some_and(|reason| !reason.is_empty() && !reason.ends_with("_UNSPECIFIED"))
}

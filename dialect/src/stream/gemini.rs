//! Events of Gemini: each is a whole `GenerateContentResponse` with the next parts.

use super::other::{Place, Within};
use super::{Closes, Field, Found, Level, index};
use crate::json::Value;
use crate::usage;

/// Members that name something, and blobs: not text to be put together.
const NAMES: [&str; 6] = ["id", "thoughtSignature", "language", "outcome", "startOffset", "endOffset"];

/// Members of a candidate and of the event that name something.
const ASIDE_NAMES: [&str; 5] = ["finishReason", "finishMessage", "modelVersion", "responseId", "createTime"];

pub(super) fn read<'d, 'a>(root: Value<'d, 'a>, finished: &mut bool, found: &mut Found<'d, 'a>) {
    found.model = root.get("modelVersion");
    let place = Place { choice: 0, within: Within::Root, index: 0 };
    found.others(Field::GeminiRootOther, Some(root), place, [&ASIDE_NAMES, &[]]);
    found.event.usage = root.get("usageMetadata").and_then(usage::gemini);
    for candidate in root.get("candidates").iter().flat_map(Value::items) {
        *finished |= read_candidate(candidate, found);
    }
    let feedback = root.get("promptFeedback").and_then(|feedback| feedback.get("blockReason"));
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
    let choice = index(candidate, "index");
    let content = candidate.get("content");
    let before = found.pieces.len();
    for part in content.and_then(|content| content.get("parts")).iter().flat_map(Value::items) {
        read_part(part, choice, found);
    }
    let place = Place { choice, within: Within::Choice, index: 0 };
    found.others(Field::GeminiCandidateOther, Some(candidate), place, [&ASIDE_NAMES, &[]]);
    found.numbered(Level::Choice, candidate.get("index"), before);
    let finished = candidate.get("finishReason").is_some_and(is_reason);
    if finished {
        found.event.closes.push(Closes::Choice(choice));
    }
    finished
}

fn read_part(part: Value<'_, '_>, choice: u32, found: &mut Found<'_, '_>) {
    let place = |within| Place { choice, within, index: 0 };
    let is_thought = part.get("thought").and_then(|thought| thought.as_bool()) == Some(true);
    let field = if is_thought { Field::GeminiThought } else { Field::GeminiText };
    found.text(field, part.get("text"), choice, 0);
    found.others(Field::GeminiOther, Some(part), place(Within::ContentPart), [&NAMES, &["text"]]);
    if let Some(spoken) = part.get("audioTranscription") {
        found.text(Field::GeminiTranscript, spoken.get("text"), choice, 0);
        for word in spoken.get("words").iter().flat_map(Value::items) {
            found.others(Field::GeminiTranscriptWord, Some(word), place(Within::Audio), [&NAMES, &[]]);
        }
    }
    if let Some(code) = part.get("executableCode") {
        found.text(Field::GeminiCode, code.get("code"), choice, 0);
        found.others(Field::GeminiCodeOther, Some(code), place(Within::Code), [&NAMES, &["code"]]);
    }
    let result = part.get("codeExecutionResult");
    found.others(Field::GeminiCodeResult, result, place(Within::CodeResult), [&NAMES, &[]]);
    let call = part.get("functionCall");
    // `args` is an object, whole in its event; `partialArgs` carry its strings in pieces.
    for argument in call.and_then(|call| call.get("partialArgs")).iter().flat_map(Value::items) {
        let path = argument.get("jsonPath").map(|path| path.text()).unwrap_or_default();
        if let Some(item) = found.others.number(place(Within::CallArgument), &path) {
            found.text(Field::GeminiArgument, argument.get("stringValue"), choice, item);
        }
    }
}

fn is_reason(reason: Value<'_, '_>) -> bool {
    reason.as_str().is_some_and(|reason| !reason.is_empty() && !reason.ends_with("_UNSPECIFIED"))
}

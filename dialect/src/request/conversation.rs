//! The texts of a request in the order in which a model reads them.

use crate::json::{Document, StringSpan, Value};

/// Members of the body that hold the conversation, in the order it is read: what is said once, then what is listed.
const ROOTS: [&str; 13] = [
    "tools",
    "functions",
    "system",
    "instructions",
    "systemInstruction",
    "system_instruction",
    "messages",
    "contents",
    "input",
    "prompt",
    "suffix",
    "stop",
    "stop_sequences",
];

/// Members of a message, of its parts and of a tool at any depth, whose strings are text to the model.
const TEXTS: [&str; 9] = [
    "content",
    "text",
    "output",
    "input_text",
    "output_text",
    "refusal",
    "thinking",
    "reasoning_content",
    "description",
];

/// One text of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPart {
    /// Where it stands.
    pub span: StringSpan,
    /// Whether it is the first of its message.
    pub begins_message: bool,
}

/// What a model reads, one after the other: tools, what is said once, messages, items, prompts and what follows
/// them, and what ends the answer.
///
/// Goes by the members' names, the same for all dialects.
pub fn messages<'d, 'a>(document: &'d Document<'a>) -> impl Iterator<Item = Value<'d, 'a>> {
    let root = document.root();
    ROOTS.iter().filter_map(move |name| root.get(name)).flat_map(|value| {
        let itself = value.items().next().is_none().then_some(value);
        itself.into_iter().chain(value.items())
    })
}

/// The texts of one message that a model reads one after the other: descriptions of tools, content parts, blocks and
/// items, tool results.
///
/// Texts that are in none of these places (names and values in tools' schemas, arguments of calls, metadata) do not
/// adjoin; neither do empty ones.
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits};
/// use bulkhead_dialect::request::{messages, texts};
///
/// let body = br#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
///     {"role":"assistant","content":"c"}],"system":"s"}"#;
/// let document = Document::parse(body, &Limits::REQUEST)?;
/// let texts = messages(&document).flat_map(texts);
/// let texts: Vec<(&[u8], bool)> = texts.map(|text| (&body[text.span.raw], text.begins_message)).collect();
/// assert_eq!(texts, [(&b"s"[..], true), (b"a", true), (b"b", false), (b"c", true)]);
/// # Ok::<(), bulkhead_dialect::json::JsonError>(())
/// ```
#[must_use]
pub fn texts(message: Value<'_, '_>) -> Vec<TextPart> {
    let mut parts = Vec::new();
    collect(message, true, &mut parts);
    if let Some(part) = parts.first_mut() {
        part.begins_message = true;
    }
    parts.retain(|part| !part.span.raw.is_empty());
    parts
}

/// Recursive; the parser has limited the depth.
fn collect(value: Value<'_, '_>, is_text: bool, parts: &mut Vec<TextPart>) {
    if let Some(span) = value.span() {
        parts.extend(is_text.then_some(TextPart { span, begins_message: false }));
        return;
    }
    for item in value.items() {
        collect(item, is_text, parts);
    }
    for (key, member) in value.entries() {
        collect(member, TEXTS.iter().any(|name| key.is(name)), parts);
    }
}

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

/// The texts of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// In the order in which they are read.
    pub parts: Vec<TextPart>,
    /// Whether a member that holds text stands twice in one object.
    pub is_ambiguous: bool,
}

impl FromIterator<Texts> for Texts {
    fn from_iter<I: IntoIterator<Item = Self>>(texts: I) -> Self {
        texts.into_iter().fold(Self::default(), |mut all, next| {
            all.parts.extend(next.parts);
            all.is_ambiguous |= next.is_ambiguous;
            all
        })
    }
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
/// let texts = messages(&document).flat_map(|message| texts(message).parts);
/// let texts: Vec<(&[u8], bool)> = texts.map(|text| (&body[text.span.raw], text.begins_message)).collect();
/// assert_eq!(texts, [(&b"s"[..], true), (b"a", true), (b"b", false), (b"c", true)]);
/// # Ok::<(), bulkhead_dialect::json::JsonError>(())
/// ```
#[must_use]
pub fn texts(message: Value<'_, '_>) -> Texts {
    let mut texts = Texts::default();
    collect(message, true, &mut texts);
    if let Some(part) = texts.parts.first_mut() {
        part.begins_message = true;
    }
    texts.parts.retain(|part| !part.span.raw.is_empty());
    texts
}

/// Recursive; the parser has limited the depth.
fn collect(value: Value<'_, '_>, is_text: bool, texts: &mut Texts) {
    if let Some(span) = value.span() {
        texts.parts.extend(is_text.then_some(TextPart { span, begins_message: false }));
        return;
    }
    for item in value.items() {
        collect(item, is_text, texts);
    }
    let mut seen = [false; TEXTS.len()];
    for (key, member) in value.entries() {
        let name = TEXTS.iter().position(|name| key.is(name));
        if let Some(seen) = name.and_then(|name| seen.get_mut(name)) {
            texts.is_ambiguous |= std::mem::replace(seen, true);
        }
        collect(member, name.is_some(), texts);
    }
}

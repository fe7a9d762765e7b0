//! The texts of a request in the order in which a model reads them.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::is_a;
use crate::json::{Document, Kind, StringSpan, Value};

/// Members of a request that hold the conversation, in the order it is read: what is said once, then what is listed.
const ROOTS: [&str; 17] = [
    "tools",
    "functions",
    "system",
    "instructions",
    "systemInstruction",
    "system_instruction",
    "messages",
    "title",
    "content",
    "contents",
    "input",
    "prompt",
    "suffix",
    "prediction",
    "stop",
    "stop_sequences",
    "stopSequences",
];

/// Members of a request that have such members themselves: Gemini's requests within requests.
const REQUESTS: [&str; 3] = ["generateContentRequest", "generate_content_request", "requests"];

/// The same of each request, behind its own members.
const CONFIGS: [&str; 2] = ["generationConfig", "generation_config"];

/// Values of a prompt that the provider keeps.
const VARIABLES: &str = "variables";

/// Members of a message, of its parts and of a tool at any depth, whose strings are text to the model.
const TEXTS: [&str; 12] = [
    "content",
    "text",
    "output",
    "input_text",
    "output_text",
    "refusal",
    "thinking",
    "reasoning_content",
    "description",
    "stdout",
    "stderr",
    "logs",
];

/// Members that are text in objects of one type; elsewhere they name something, as `title` does in every schema.
const TEXTS_BY_TYPE: [(&str, &[&str]); 2] =
    [("document", &["title", "context"]), ("search_result", &["source", "title"])];

/// One text of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPart {
    /// Where it stands.
    pub span: StringSpan,
    /// Whether it is the first of its message.
    pub begins_message: bool,
    /// Whether it is one of a list that a function returned, which may be hundreds of names.
    pub in_list: bool,
}

/// The texts of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// In the order in which they are read.
    pub parts: Vec<TextPart>,
    /// Whether a member that is or holds text stands twice in one object.
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
    requests(document.root()).flat_map(|request| {
        ROOTS.iter().filter_map(move |name| Some((*name, request.get(name)?))).flat_map(listed)
    })
}

/// The body and the objects in it that hold a conversation as well.
fn requests<'d, 'a>(root: Value<'d, 'a>) -> impl Iterator<Item = Value<'d, 'a>> {
    let within = REQUESTS.iter().filter_map(move |name| root.get(name));
    let within = within.flat_map(|value| std::iter::once(value).chain(value.items()));
    std::iter::once(root).chain(within).flat_map(|request| {
        let configs = CONFIGS.iter().filter_map(move |name| request.get(name));
        std::iter::once(request).chain(configs)
    })
}

/// What a member holds: a list of messages, one of them, or the values of a prompt's variables.
fn listed<'d, 'a>((name, value): (&str, Value<'d, 'a>)) -> impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a> {
    let variables = value.get(VARIABLES).filter(|_| name == "prompt");
    let is_message = variables.is_none() && value.items().next().is_none();
    let variables = variables.into_iter().flat_map(|variables| variables.entries());
    is_message.then_some(value).into_iter().chain(value.items()).chain(variables.map(|(_, value)| value))
}

/// Whether a member that holds such messages stands twice, in any spelling: one reader takes the first of them, another the last.
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits};
/// use bulkhead_dialect::request::is_ambiguous;
///
/// let body = br#"{"instructions":"one","instructions":"other","input":"hi"}"#;
/// assert!(is_ambiguous(&Document::parse(body, &Limits::REQUEST)?));
/// # Ok::<(), bulkhead_dialect::json::JsonError>(())
/// ```
#[must_use]
pub fn is_ambiguous(document: &Document<'_>) -> bool {
    let prompt = document.root().get("prompt");
    let variables = prompt.and_then(|prompt| prompt.get(VARIABLES));
    requests(document.root()).any(has_twice)
        || prompt.into_iter().chain(variables).any(|object| {
            let mut members = object.entries().map(|(key, _)| (key.text(), true)).collect();
            repeats_a_text(&mut members)
        })
}

/// Whether a request has a member of the conversation twice. Two spellings of one have the same place.
fn has_twice(request: Value<'_, '_>) -> bool {
    let mut seen = [false; ROOTS.len() + REQUESTS.len() + CONFIGS.len()];
    request.entries().any(|(key, _)| {
        let key = key.text();
        let mut names = ROOTS.iter().chain(&REQUESTS).chain(&CONFIGS);
        let place = names.position(|name| plain(name.as_bytes()).eq(plain(&key)));
        place.and_then(|place| seen.get_mut(place)).is_some_and(|seen| std::mem::replace(seen, true))
    })
}

/// A name without what its spellings differ in.
fn plain(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().filter(|byte| **byte != b'_').map(u8::to_ascii_lowercase)
}

/// The texts of one message that a model reads one after the other: descriptions of tools, content parts, blocks and
/// items, documents, what tools returned.
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
    collect(message, Reading::Text, &mut texts);
    if let Some(part) = texts.parts.first_mut() {
        part.begins_message = true;
    }
    texts.parts.retain(|part| !part.span.raw.is_empty());
    texts
}

/// What of a value is text, beside the members that are text anywhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The value itself, or the strings of its list.
    Text,
    /// Nothing.
    Names,
    /// Its `data`: the source of a document.
    Source,
    /// Its `response`: what Gemini's functions returned.
    Function,
    /// Its `result`, and the strings of all lists.
    Response,
}

/// An object's members by their names, and whether there is text in them.
type Members<'a> = SmallVec<[(Cow<'a, [u8]>, bool); 8]>;

/// Recursive; the parser has limited the depth.
fn collect(value: Value<'_, '_>, reading: Reading, texts: &mut Texts) {
    let part = |span, in_list| TextPart { span, begins_message: false, in_list };
    if let Some(span) = value.span() {
        texts.parts.extend((reading == Reading::Text).then(|| part(span, false)));
        return;
    }
    for item in value.items() {
        match item.span().filter(|_| reading == Reading::Response) {
            Some(span) => texts.parts.push(part(span, true)),
            None => collect(item, reading, texts),
        }
    }
    let mut members = Members::new();
    for (key, member) in value.entries() {
        let (before, reading) = (texts.parts.len(), reading.member(value, key, member));
        collect(member, reading, texts);
        members.push((key.text(), reading == Reading::Text || texts.parts.len() > before));
    }
    texts.is_ambiguous |= repeats_a_text(&mut members);
}

/// Whether a name stands there twice, once at least with text.
fn repeats_a_text(members: &mut Members<'_>) -> bool {
    members.sort_unstable();
    let mut same = members.chunk_by(|(one, _), (other, _)| one == other);
    same.any(|same| same.len() > 1 && same.iter().any(|(_, has_text)| *has_text))
}

impl Reading {
    /// How a member of `object` is read, where the object itself is read in this way.
    fn member(self, object: Value<'_, '_>, key: Value<'_, '_>, member: Value<'_, '_>) -> Self {
        let is = |names: &[&str]| names.iter().any(|name| key.is(name));
        let is_string = member.kind() == Kind::String;
        match self {
            // Lists in it are those of the response, whatever they are called.
            Self::Response if !is_string => Self::Response,
            Self::Response if is(&["result"]) => Self::Text,
            Self::Source if is(&["data"]) && !is_a(object, "base64") => Self::Text,
            Self::Function if is(&["response"]) => Self::Response,
            _ if is(&TEXTS) => Self::Text,
            _ if TEXTS_BY_TYPE.iter().any(|(kind, names)| is(names) && is_string && is_a(object, kind)) => {
                Self::Text
            }
            _ if is(&["source"]) => Self::Source,
            _ if is(&["functionResponse", "function_response"]) => Self::Function,
            _ => Self::Names,
        }
    }
}

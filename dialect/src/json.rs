//! Strict JSON (RFC 8259) as a flat tape over the raw bytes.
//!
//! - One pass, no recursion: depth and node count are limited, and going over is an error.
//! - Nothing is decoded up front. A string is a raw range and a flag whether it has escapes.
//! - Every string can be enumerated, keys and values alike and duplicates too, because DLP must
//!   not depend on which of two equal keys a provider reads.
//! - Edits are made on the raw bytes ([`splice`]), so what is not edited stays byte-identical.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

mod number;
mod parse;
mod rest;
mod splice;
mod text;

pub use number::plain_integer;
pub use rest::Rest;
pub use splice::{Splice, splice};
pub use text::{RawOffsets, escape, raw_offset, unescape};

pub(crate) use parse::Tape;
use parse::{Node, Tag};

/// What a document may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nested arrays and objects.
    pub depth: usize,
    /// Values and keys; each costs 16 bytes of memory.
    pub nodes: usize,
    /// What to do about bytes that are not UTF-8.
    pub utf8: Utf8,
}

/// What to do about bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utf8 {
    /// The document is refused: two readers may see two different texts.
    Reject,
    /// They may stand inside strings, as they are.
    Allow,
}

impl Limits {
    /// For what agents send.
    pub const REQUEST: Self = Self { depth: 128, nodes: 4 << 20, utf8: Utf8::Reject };
    /// For what providers send: refusing a reply for a broken character helps nobody.
    pub const RESPONSE: Self = Self { utf8: Utf8::Allow, ..Self::REQUEST };
}

impl Default for Limits {
    fn default() -> Self {
        Self::REQUEST
    }
}

/// Where a document stops being JSON, or goes over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: expected {expected}")]
pub struct JsonError {
    /// Offset of the offending byte.
    pub offset: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

/// A parsed document: the raw bytes and the tape over them.
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits};
///
/// let document = Document::parse(br#"{"model":"gpt-5","n":2}"#, &Limits::REQUEST)?;
/// let root = document.root();
/// assert_eq!(root.get("model").and_then(|model| model.as_str()).as_deref(), Some("gpt-5"));
/// assert_eq!(root.get("n").and_then(|n| n.as_u64()), Some(2));
/// assert_eq!(document.strings().filter(|string| !string.is_key).count(), 1);
/// # Ok::<(), bulkhead_dialect::json::JsonError>(())
/// ```
pub struct Document<'a> {
    raw: &'a [u8],
    tape: Tape,
}

/// One value of a document, or one key of an object.
#[derive(Clone, Copy)]
pub struct Value<'d, 'a> {
    raw: &'a [u8],
    nodes: &'d [Node],
    index: usize,
    node: Node,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{..}`
    Object,
    /// `[..]`
    Array,
    /// `".."`
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

/// One string of a document, key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringSpan {
    /// Its raw bytes, between the quotes.
    pub raw: Range<usize>,
    /// Whether it contains an escape; if not, raw and decoded bytes are the same.
    pub escaped: bool,
    /// Whether it names an object's member.
    pub is_key: bool,
}

impl<'a> Document<'a> {
    /// Parses one JSON text.
    ///
    /// Cost: one pass, plus one for UTF-8 where that is checked; one allocation in the usual case.
    ///
    /// # Errors
    /// [`JsonError`] at the first byte that is not JSON, or where a limit is passed.
    pub fn parse(raw: &'a [u8], limits: &Limits) -> Result<Self, JsonError> {
        Self::parse_onto(raw, limits, Tape::default())
    }

    /// Like [`Document::parse`], with the memory of an earlier tape.
    pub(crate) fn parse_onto(raw: &'a [u8], limits: &Limits, mut tape: Tape) -> Result<Self, JsonError> {
        parse::parse(raw, limits, &mut tape)?;
        Ok(Self { raw, tape })
    }

    pub(crate) fn into_tape(self) -> Tape {
        self.tape
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The document's one value.
    #[must_use]
    pub fn root(&self) -> Value<'_, 'a> {
        let nodes = self.tape.nodes();
        // A parsed tape is never empty; `null` has no members, so the fallback reads nothing.
        let node = nodes.first().copied().unwrap_or(Node::NULL);
        Value { raw: self.raw, nodes, index: 0, node }
    }

    /// Every string in the order it stands in the bytes, keys and values.
    pub fn strings(&self) -> impl Iterator<Item = StringSpan> + '_ {
        self.tape.nodes().iter().filter_map(Node::string)
    }

    /// Where the integers of 12 digits and more stand: a card or account number need not be a string.
    ///
    /// A sign and a fraction of zeros belong to the number, and an exponent if it leaves no fraction; what
    /// those stand for is told by [`plain_integer`]. One with another fraction is a measure
    /// (embeddings, log probabilities) and none of these.
    /// Cost: one pass over the tape; looks at the bytes of long numbers only.
    ///
    /// ```
    /// use bulkhead_dialect::json::{Document, Limits};
    ///
    /// let document = Document::parse(br#"{"card":4111111111111111,"p":-0.1234567890123}"#, &Limits::REQUEST)?;
    /// assert_eq!(document.long_integers().collect::<Vec<_>>(), [8..24]);
    /// # Ok::<(), bulkhead_dialect::json::JsonError>(())
    /// ```
    pub fn long_integers(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        rest::long_integers(self.raw, self.tape.nodes())
    }

    /// Integers of 6 to 11 digits that a name stands in front of, and that name: such a number may be an identity number,
    /// and only the name tells.
    ///
    /// ```
    /// use bulkhead_dialect::json::{Document, Limits};
    ///
    /// let document = Document::parse(br#"{"ssn":536221234,"n":[123456],"of":12}"#, &Limits::REQUEST)?;
    /// assert_eq!(document.named_integers().collect::<Vec<_>>(), [(2..5, 7..16)]);
    /// # Ok::<(), bulkhead_dialect::json::JsonError>(())
    /// ```
    pub fn named_integers(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + '_ {
        rest::named_integers(self.raw, self.tape.nodes())
    }

    /// What of the document stands outside these values of it.
    ///
    /// ```
    /// use bulkhead_dialect::json::{Document, Limits};
    ///
    /// let document = Document::parse(br#"{"messages":["known","new"],"user":"u"}"#, &Limits::REQUEST)?;
    /// let known = document.root().get("messages").unwrap().items().take(1).collect();
    /// assert_eq!(document.without(known).strings().count(), 4);
    /// # Ok::<(), bulkhead_dialect::json::JsonError>(())
    /// ```
    #[must_use]
    pub fn without(&self, values: Vec<Value<'_, 'a>>) -> Rest<'_> {
        Rest::new(self, values)
    }

    /// Every key of the document, at any depth, with its value.
    pub(crate) fn all_entries(&self) -> impl Iterator<Item = (Value<'_, 'a>, Value<'_, 'a>)> + '_ {
        let keys = self.all(|tag| tag.is_key());
        keys.filter_map(|key| Some((key, self.at(key.index + 1)?)))
    }

    /// Every object of the document, at any depth.
    pub(crate) fn all_objects(&self) -> impl Iterator<Item = Value<'_, 'a>> + '_ {
        self.all(|tag| tag == Tag::Object)
    }

    fn all(&self, which: impl Fn(Tag) -> bool) -> impl Iterator<Item = Value<'_, 'a>> {
        let nodes = self.tape.nodes().iter().enumerate();
        nodes.filter(move |(_, node)| which(node.tag)).filter_map(|(index, _)| self.at(index))
    }

    fn at(&self, index: usize) -> Option<Value<'_, 'a>> {
        let nodes = self.tape.nodes();
        Some(Value { raw: self.raw, nodes, index, node: nodes.get(index).copied()? })
    }
}

impl<'d, 'a> Value<'d, 'a> {
    /// What the value is; a key is a string.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.node.tag {
            Tag::Object => Kind::Object,
            Tag::Array => Kind::Array,
            Tag::Key | Tag::KeyEscaped | Tag::String | Tag::StringEscaped => Kind::String,
            Tag::Number => Kind::Number,
            Tag::True | Tag::False => Kind::Bool,
            Tag::Null => Kind::Null,
        }
    }

    /// Where the whole value stands, quotes and brackets included.
    #[must_use]
    pub fn raw(&self) -> Range<usize> {
        let Range { start, end } = self.node.range();
        if self.node.tag.is_string() { start.saturating_sub(1)..end + 1 } else { start..end }
    }

    /// An object's member of this name. Of several the last, as most readers have it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'d, 'a>> {
        let Value { raw, nodes, .. } = *self;
        let is_name = |key: &Node| match key.tag {
            // Most names differ in their length already; every event is asked for a dozen of them.
            Tag::Key => key.range().len() == name.len() && raw.get(key.range()) == Some(name.as_bytes()),
            _ => unescape(raw.get(key.range()).unwrap_or_default()) == name.as_bytes(),
        };
        let (mut key, mut found) = (self.index + 1, None);
        let end = if self.node.tag == Tag::Object { self.node.next() } else { key };
        while key < end {
            let value = nodes.get(key + 1)?;
            if nodes.get(key).is_some_and(is_name) {
                found = Some(Value { raw, nodes, index: key + 1, node: *value });
            }
            key = value.next();
        }
        found
    }

    /// An object's members in order; nothing for any other value.
    pub fn entries(&self) -> impl Iterator<Item = (Value<'d, 'a>, Value<'d, 'a>)> + use<'d, 'a> {
        let mut children = self.children(Tag::Object);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// An array's elements in order; nothing for any other value.
    pub fn items(&self) -> impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a> {
        self.children(Tag::Array)
    }

    /// Whether the value is a string with this decoded text.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        match self.node.tag {
            Tag::Key | Tag::String => self.inner() == text.as_bytes(),
            Tag::KeyEscaped | Tag::StringEscaped => unescape(self.inner()) == text.as_bytes(),
            _ => false,
        }
    }

    /// A string's or key's decoded bytes; none for any other value.
    pub(crate) fn text(&self) -> Cow<'a, [u8]> {
        match self.node.tag {
            Tag::Key | Tag::String => Cow::Borrowed(self.inner()),
            Tag::KeyEscaped | Tag::StringEscaped => unescape(self.inner()),
            _ => Cow::Borrowed(&[]),
        }
    }

    /// A string's decoded text. Bytes that are not UTF-8 and lone surrogates become U+FFFD.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        if !self.node.tag.is_string() {
            return None;
        }
        Some(match unescape(self.inner()) {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        })
    }

    /// A number written as a plain integer (no sign, fraction or exponent) within 64 bits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self.node.tag {
            Tag::Number => std::str::from_utf8(self.inner()).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// A number that is an integer within 64 bits, however it is written.
    pub(crate) fn as_integer(&self) -> Option<u64> {
        let number = (self.node.tag == Tag::Number).then(|| self.inner())?;
        self.as_u64().or_else(|| number::integer(number))
    }

    /// `true` or `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.node.tag {
            Tag::True => Some(true),
            Tag::False => Some(false),
            _ => None,
        }
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.node.tag == Tag::Null
    }

    /// Whether the value is an array or object without anything in it.
    pub(crate) fn is_empty_container(&self) -> bool {
        matches!(self.node.tag, Tag::Object | Tag::Array) && self.node.next() == self.index + 1
    }

    /// A string's span, as [`Document::strings`] has it.
    #[must_use]
    pub fn span(&self) -> Option<StringSpan> {
        self.node.string()
    }

    fn inner(&self) -> &'a [u8] {
        self.raw.get(self.node.range()).unwrap_or_default()
    }

    fn children(&self, of: Tag) -> impl Iterator<Item = Value<'d, 'a>> + use<'d, 'a> {
        let Value { raw, nodes, .. } = *self;
        let mut at = self.index + 1;
        let end = if self.node.tag == of { self.node.next() } else { at };
        std::iter::from_fn(move || {
            let index = at;
            let node = nodes.get(index).copied().filter(|_| index < end)?;
            at = node.next();
            Some(Value { raw, nodes, index, node })
        })
    }
}

// Bodies never get into logs, not even by way of `{:?}`.

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, nodes) = (self.raw.len(), self.tape.nodes().len());
        f.debug_struct("Document").field("bytes", &bytes).field("nodes", &nodes).finish()
    }
}

impl fmt::Debug for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("kind", &self.kind()).field("raw", &self.raw()).finish()
    }
}

#[cfg(test)]
mod tests;

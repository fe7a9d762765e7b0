//! The parser: bytes to tape.

use std::ops::Range;

use smallvec::SmallVec;

use super::{JsonError, Limits, StringSpan, Utf8};

/// The bytes of a word.
const WORD: usize = 8;
/// How many words of a string are looked at before whole blocks are.
const WORDS_FIRST: usize = 8;
/// The bytes of a block.
const BLOCK: usize = 64;

/// The nodes of a document in the order they begin. A key is followed by its value.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    nodes: Vec<Node>,
}

/// One value or key. Offsets are 32 bits, which keeps a node at 16 bytes; longer input is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Strings: behind the opening quote. Everything else: the first byte.
    start: u32,
    /// Strings: the closing quote. Everything else: behind the last byte.
    end: u32,
    /// The node behind this one and everything in it.
    next: u32,
    pub(super) tag: Tag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Object,
    Array,
    Key,
    KeyEscaped,
    String,
    StringEscaped,
    Number,
    True,
    False,
    Null,
}

impl Tape {
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

impl Tag {
    pub(super) fn is_key(self) -> bool {
        matches!(self, Self::Key | Self::KeyEscaped)
    }

    pub(super) fn is_string(self) -> bool {
        matches!(self, Self::Key | Self::KeyEscaped | Self::String | Self::StringEscaped)
    }
}

impl Node {
    pub(super) const NULL: Self = Self { start: 0, end: 0, next: 1, tag: Tag::Null };

    pub(super) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(super) fn next(&self) -> usize {
        self.next as usize
    }

    pub(super) fn string(&self) -> Option<StringSpan> {
        self.tag.is_string().then(|| StringSpan {
            raw: self.range(),
            escaped: matches!(self.tag, Tag::KeyEscaped | Tag::StringEscaped),
            is_key: self.tag.is_key(),
        })
    }
}

/// What may come next.
#[derive(Clone, Copy)]
enum Expect {
    Value,
    /// Behind `[`.
    ValueOrEnd,
    /// Behind `{`.
    KeyOrEnd,
    /// Behind a comma in an object.
    Key,
    /// Behind a value.
    CommaOrEnd,
}

struct Parser<'a, 't> {
    raw: &'a [u8],
    at: usize,
    nodes: &'t mut Vec<Node>,
    nodes_max: usize,
    /// The tape indexes of the containers that are open.
    open: SmallVec<[u32; 16]>,
    depth_max: usize,
}

pub(super) fn parse(raw: &[u8], limits: &Limits, tape: &mut Tape) -> Result<(), JsonError> {
    tape.nodes.clear();
    if u32::try_from(raw.len()).is_err() {
        return Err(JsonError { offset: 0, expected: "less than 4 GiB" });
    }
    if limits.utf8 == Utf8::Reject
        && let Err(error) = std::str::from_utf8(raw)
    {
        return Err(JsonError { offset: error.valid_up_to(), expected: "UTF-8" });
    }
    // Chat bodies have a node per 20 to 100 bytes.
    tape.nodes.reserve((raw.len() / 16).clamp(16, 64 * 1024).min(limits.nodes));
    let mut parser = Parser {
        raw,
        at: 0,
        nodes: &mut tape.nodes,
        nodes_max: limits.nodes,
        open: SmallVec::new(),
        depth_max: limits.depth,
    };
    parser.document()
}

impl Parser<'_, '_> {
    fn document(&mut self) -> Result<(), JsonError> {
        let mut expect = Expect::Value;
        loop {
            let byte = self.skip_space();
            expect = match (expect, byte) {
                (Expect::KeyOrEnd, Some(b'}')) | (Expect::ValueOrEnd, Some(b']')) => self.close(),
                (Expect::KeyOrEnd | Expect::Key, Some(b'"')) => {
                    self.string(Tag::Key, Tag::KeyEscaped)?;
                    if self.skip_space() != Some(b':') {
                        return Err(self.expected("':'"));
                    }
                    self.at += 1;
                    Expect::Value
                }
                (Expect::KeyOrEnd, _) => return Err(self.expected("a key or '}'")),
                (Expect::Key, _) => return Err(self.expected("a key")),
                (Expect::Value | Expect::ValueOrEnd, _) => self.value(byte)?,
                (Expect::CommaOrEnd, _) => match (self.in_object(), byte) {
                    (None, None) => return Ok(()),
                    (None, Some(_)) => return Err(self.expected("the end")),
                    (Some(true), Some(b'}')) | (Some(false), Some(b']')) => self.close(),
                    (Some(true), Some(b',')) => {
                        self.at += 1;
                        Expect::Key
                    }
                    (Some(false), Some(b',')) => {
                        self.at += 1;
                        Expect::Value
                    }
                    (Some(true), _) => return Err(self.expected("',' or '}'")),
                    (Some(false), _) => return Err(self.expected("',' or ']'")),
                },
            };
        }
    }

    fn value(&mut self, byte: Option<u8>) -> Result<Expect, JsonError> {
        match byte {
            Some(b'"') => self.string(Tag::String, Tag::StringEscaped)?,
            Some(b'{') => {
                self.open(Tag::Object)?;
                return Ok(Expect::KeyOrEnd);
            }
            Some(b'[') => {
                self.open(Tag::Array)?;
                return Ok(Expect::ValueOrEnd);
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true", Tag::True)?,
            Some(b'f') => self.word(b"false", Tag::False)?,
            Some(b'n') => self.word(b"null", Tag::Null)?,
            _ => return Err(self.expected("a value")),
        }
        Ok(Expect::CommaOrEnd)
    }

    fn string(&mut self, plain: Tag, with_escapes: Tag) -> Result<(), JsonError> {
        let start = self.at + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            end += special(self.raw.get(end..).unwrap_or_default());
            match self.raw.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end = self.escape_end(end)?;
                }
                Some(_) => return Err(JsonError { offset: end, expected: "an escaped control character" }),
                None => return Err(JsonError { offset: end, expected: "'\"'" }),
            }
        }
        self.at = end + 1;
        self.push(start, end, if escaped { with_escapes } else { plain })
    }

    /// The offset behind the escape at `at`.
    fn escape_end(&self, at: usize) -> Result<usize, JsonError> {
        match self.raw.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => match self.raw.get(at + 2..at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
                _ => Err(JsonError { offset: at, expected: "four hex digits behind \\u" }),
            },
            _ => Err(JsonError { offset: at, expected: "an escape" }),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(start, self.at, Tag::Number)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = self.raw.get(self.at..).unwrap_or_default();
        match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => Err(self.expected("a digit")),
            count => {
                self.at += count;
                Ok(())
            }
        }
    }

    fn word(&mut self, word: &'static [u8], tag: Tag) -> Result<(), JsonError> {
        let end = self.at + word.len();
        if self.raw.get(self.at..end) != Some(word) {
            return Err(self.expected("a value"));
        }
        let start = std::mem::replace(&mut self.at, end);
        self.push(start, end, tag)
    }

    fn open(&mut self, tag: Tag) -> Result<(), JsonError> {
        if self.open.len() >= self.depth_max {
            return Err(self.expected("less nesting"));
        }
        self.open.push(narrow(self.nodes.len()));
        self.at += 1;
        // The end and what follows are filled in by `close`.
        self.push(self.at - 1, self.at, tag)
    }

    fn close(&mut self) -> Expect {
        self.at += 1;
        let next = narrow(self.nodes.len());
        let end = narrow(self.at);
        if let Some(node) = self.open.pop().and_then(|index| self.nodes.get_mut(index as usize)) {
            node.end = end;
            node.next = next;
        }
        Expect::CommaOrEnd
    }

    fn push(&mut self, start: usize, end: usize, tag: Tag) -> Result<(), JsonError> {
        if self.nodes.len() >= self.nodes_max {
            return Err(JsonError { offset: start, expected: "fewer values" });
        }
        let next = narrow(self.nodes.len() + 1);
        self.nodes.push(Node { start: narrow(start), end: narrow(end), next, tag });
        Ok(())
    }

    /// Whether the innermost open container is an object; `None` at the top.
    fn in_object(&self) -> Option<bool> {
        let index = *self.open.last()?;
        self.nodes.get(index as usize).map(|node| node.tag == Tag::Object)
    }

    fn skip_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.raw.get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError { offset: self.at, expected }
    }
}

/// How many bytes come before the first quote, backslash or control character.
///
/// Most strings are a few bytes long, so the first words are looked at one by one; behind them whole blocks
/// are, without a branch per byte, which the compiler makes vector comparisons.
fn special(text: &[u8]) -> usize {
    let mut at = 0;
    while at < WORDS_FIRST * WORD
        && let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk)
    {
        let marks = special_bytes(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    let is_special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let rest = text.get(at..).unwrap_or_default();
    let (blocks, _) = rest.as_chunks::<BLOCK>();
    let plain = |block: &[u8; BLOCK]| !block.iter().fold(false, |found, &byte| found | is_special(byte));
    at += blocks.iter().take_while(|block| plain(block)).count() * BLOCK;
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

/// The highest bit of every byte that ends a run of plain string bytes.
///
/// Bits above the lowest one may be wrong, because a subtraction borrows from the next byte.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; WORD]);
    const HIGHS: u64 = ONES << 7;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    below(word, 0x20) | below(quotes, 1) | below(backslashes, 1)
}

/// Input of 4 GiB and more was refused, so every offset and every index fits.
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

//! How many tokens a text is: exactly where a model's encoding is public, by a table elsewhere.
//!
//! 1. Byte-level encodings never make more tokens than a text has bytes: that bound costs nothing.
//! 2. [`Counter`] looks at pairs of neighbouring bytes, in about three nanoseconds each. Over prose, code, tables, identifiers and
//!    a dozen languages it is between 15 % below and 45 % above what `o200k_base` makes of the whole text, and above it for
//!    a text that comes token by token; the tests hold it to that. Texts made to deceive it (thousands of letters without
//!    a space, scripts that nobody writes) can be several times as many tokens.
//! 3. [`Encoding::count`] is exact, at 10 to 200 MB/s, slowest for text that is one long word. A text is encoded in pieces
//!    of `PIECE_BYTES`, which bounds the time for a long word and adds one token in a thousand.

use std::sync::OnceLock;

use tiktoken::CoreBpe;
use tiktoken::encoding::{cl100k_base, o200k_base};

/// One megabyte of one letter takes 130 ms in pieces of this size, and twice that as a whole (measured on two cores of a
/// cloud machine).
const PIECE_BYTES: usize = 4096;

/// A public encoding of text into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Of `OpenAI`'s models since GPT-4o.
    O200k,
    /// Of GPT-4, GPT-3.5 and the embedding models.
    Cl100k,
}

/// Twenty and ten megabytes of memory that only those pay for who need them, once.
static O200K: OnceLock<CoreBpe> = OnceLock::new();
static CL100K: OnceLock<CoreBpe> = OnceLock::new();

/// How the names of models begin, with their encodings; the first that fits counts.
const MODELS: [(&str, Encoding); 13] = [
    ("gpt-4o", Encoding::O200k),
    ("gpt-4.1", Encoding::O200k),
    ("gpt-4.5", Encoding::O200k),
    ("gpt-5", Encoding::O200k),
    ("gpt-oss", Encoding::O200k),
    ("chatgpt-4o", Encoding::O200k),
    ("o1", Encoding::O200k),
    ("o3", Encoding::O200k),
    ("o4-", Encoding::O200k),
    ("gpt-4", Encoding::Cl100k),
    ("gpt-3.5", Encoding::Cl100k),
    ("text-embedding-3", Encoding::Cl100k),
    ("text-embedding-ada", Encoding::Cl100k),
];

impl Encoding {
    /// The encoding of a model as callers name it; `None` where it is not public.
    ///
    /// ```
    /// use bulkhead_dialect::tokens::Encoding;
    /// assert_eq!(Encoding::of("openai/gpt-5-mini"), Some(Encoding::O200k));
    /// assert_eq!(Encoding::of("ft:gpt-3.5-turbo:acme::1"), Some(Encoding::Cl100k));
    /// assert_eq!(Encoding::of("claude-opus-5"), None);
    /// ```
    #[must_use]
    pub fn of(model: &str) -> Option<Self> {
        let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        MODELS.iter().find(|(start, _)| name.starts_with(start)).map(|(_, encoding)| *encoding)
    }

    /// Whether its table is there; else the first count builds it, which takes some 100 ms.
    #[must_use]
    pub fn is_ready(self) -> bool {
        match self {
            Self::O200k => O200K.get().is_some(),
            Self::Cl100k => CL100K.get().is_some(),
        }
    }

    fn table(self) -> &'static CoreBpe {
        match self {
            Self::O200k => O200K.get_or_init(o200k_base),
            Self::Cl100k => CL100K.get_or_init(cl100k_base),
        }
    }

    /// The tokens of a text; what is no UTF-8 counts as the character that stands for it.
    ///
    /// Slow for an event loop, unless the text is short and [the table there](Self::is_ready).
    ///
    /// ```
    /// use bulkhead_dialect::tokens::Encoding;
    /// assert_eq!(Encoding::O200k.count(b"The quick brown fox."), 5);
    /// ```
    #[must_use]
    pub fn count(self, text: &[u8]) -> u64 {
        let encoding = self.table();
        let text = String::from_utf8_lossy(text);
        let mut rest: &str = &text;
        let mut tokens = 0;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
            tokens += encoding.count(piece) as u64;
            rest = after;
        }
        tokens
    }
}

/// How the names of models begin that reason without showing it, and say how much only at the end.
const UNSEEN: [&str; 6] = ["o1", "o3", "o4-", "gpt-5", "gpt-6", "grok-"];

/// Whether a model may have produced tokens before the first text that is seen of its answer.
///
/// ```
/// use bulkhead_dialect::tokens::may_reason_unseen;
/// assert!(may_reason_unseen("openai/o3") && !may_reason_unseen("gpt-4o"));
/// ```
#[must_use]
pub fn may_reason_unseen(model: &str) -> bool {
    let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
    UNSEEN.iter().any(|start| name.starts_with(start))
}

/// What a byte is to the table of neighbours.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    Start,
    Lower,
    Upper,
    Digit,
    Space,
    /// Line ends and tabs.
    Line,
    Mark,
    /// The first of two bytes: Latin with accents, Greek, Cyrillic, Hebrew, Arabic.
    Two,
    /// The first of three bytes, in the scripts of South and South-East Asia.
    Indic,
    /// The first of three bytes: Chinese, Japanese, Korean, signs.
    Three,
    /// The first of four bytes: emoji, rare scripts.
    Four,
    /// Another byte of a character.
    Inside,
}

const CLASSES: usize = 11;
/// What a token is in the table below.
const TOKEN: u64 = 64;
/// What a byte adds to the count, by the class before it (down) and its own (across), in 64ths of a token. Fitted to
/// `o200k_base` and rounded up, so that errors are mostly on the high side.
#[rustfmt::skip]
const COSTS: [[u8; CLASSES]; CLASSES] = [
    //    lower upper digit space line mark two indic three four
    [0,     52,   52,   44,   30,  50,  50,  40,  44,   58, 110], // the piece's first byte
    [0,      4,   80,   46,   40,  64,  52,  14,  40,   50, 110], // after a lower letter
    [0,     14,   14,   52,   40,  64,  34,  14,  40,   50, 110], // after an upper letter
    [0,     72,   80,   21,   52,  64,  64,  50,  50,   50, 110], // after a digit
    [0,     18,   16,   62,    4,  40,  46,  24,  40,   40, 110], // after a space
    [0,     56,   44,   44,   66,  10,  48,  56,  56,   56, 110], // after a line end
    [0,     26,   26,   44,   40,  10,  22,  40,  56,   56, 110], // after a mark
    [0,     30,   30,   44,   40,  50,  40,  14,  40,   50, 110], // after two bytes
    [0,     40,   40,   44,   40,  40,  40,  30,  22,   50, 110], // after three bytes, Indic
    [0,     40,   40,   44,   36,  30,  56,  40,  40,   58, 110], // after three bytes
    [0,     40,   40,   44,   44,  44,  44,  44,  44,   60, 124], // after four bytes
];
/// A word is rarely longer than this; further letters of its kind are likely to be noise.
const WORD_LETTERS: u32 = 12;
/// What each further one adds.
const LONG_WORD_COST: u64 = 32;

static CLASS_OF: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Mark; 256];
    let mut byte: u8 = 0;
    loop {
        let class = match byte {
            b'a'..=b'z' => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b'0'..=b'9' => Class::Digit,
            b' ' => Class::Space,
            b'\n' | b'\r' | b'\t' => Class::Line,
            0x80..=0xbf => Class::Inside,
            0xc0..=0xdf => Class::Two,
            0xe0 => Class::Indic,
            0xe1..=0xef => Class::Three,
            0xf0..=0xff => Class::Four,
            _ => Class::Mark,
        };
        // A constant cannot use an iterator, and a `u8` is always within the table.
        #[expect(clippy::indexing_slicing, reason = "evaluated when this is compiled")]
        {
            classes[byte as usize] = class;
        }
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}

/// Counts the tokens of text that comes in pieces, by the table of neighbours.
///
/// ```
/// use bulkhead_dialect::tokens::Counter;
/// let mut counter = Counter::default();
/// for piece in ["The", " quick", " brown", " fox", "."] {
///     counter.push(piece.as_bytes());
/// }
/// assert_eq!(counter.tokens(), 6); // five, in fact
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    parts: u64,
}

impl Counter {
    /// Counts a piece: a token at least, unless it is empty. Costs about three nanoseconds per byte (`benches/benches/budget.rs`).
    pub fn push(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.parts = self.parts.saturating_add(parts(piece).max(TOKEN));
        }
    }

    /// All tokens so far, rounded up.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.parts.div_ceil(TOKEN)
    }
}

/// 64ths of tokens.
fn parts(text: &[u8]) -> u64 {
    let (mut before, mut run, mut sum) = (Class::Start, 0u32, 0u64);
    for byte in text {
        let class = CLASS_OF.get(usize::from(*byte)).copied().unwrap_or(Class::Mark);
        if class == Class::Inside {
            continue;
        }
        run = if class == before { run + 1 } else { 0 };
        let is_letter = matches!(class, Class::Lower | Class::Upper | Class::Two);
        let cost = COSTS.get(before as usize).and_then(|row| row.get(class as usize));
        sum += if is_letter && run > WORD_LETTERS {
            LONG_WORD_COST
        } else {
            cost.map_or(TOKEN, |cost| u64::from(*cost))
        };
        before = class;
    }
    sum
}

#[cfg(test)]
mod tests;

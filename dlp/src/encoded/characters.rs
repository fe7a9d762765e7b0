//! Whether decoded bytes are text, and in which form.

/// How the characters of a text are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Characters {
    Utf8,
    /// Two bytes for a character, as Windows has it.
    Utf16 {
        little_endian: bool,
    },
}

impl Characters {
    /// The form of something decoded by its beginning; `None` if that is not mostly text.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        // An eighth may be something else: a mark at the start, half a character at the end.
        let is_most = |readable: usize| readable * 8 >= head.len() * 7;
        let forms = [Self::Utf8, Self::Utf16 { little_endian: true }, Self::Utf16 { little_endian: false }];
        let forms = forms.get(..if head.contains(&0) { 3 } else { 1 })?.iter();
        forms.copied().find(|form| !head.is_empty() && is_most(form.readable(head)))
    }

    /// How many of the bytes belong to readable characters.
    fn readable(self, head: &[u8]) -> usize {
        let is_readable = |c: &char| !c.is_control() || c.is_whitespace();
        match self {
            // Most of what is no text is told by these alone, in a fraction of the time.
            Self::Utf8 if head.iter().filter(|byte| is_never_in_text(**byte)).count() * 8 > head.len() => 0,
            Self::Utf8 => {
                let characters = head.utf8_chunks().flat_map(|chunk| chunk.valid().chars());
                characters.filter(is_readable).map(char::len_utf8).sum()
            }
            // Of other characters any two bytes might be one.
            Self::Utf16 { .. } => {
                2 * self
                    .units(head)
                    .filter_map(|unit| u8::try_from(unit).ok())
                    .map(char::from)
                    .filter(is_readable)
                    .count()
            }
        }
    }

    /// The same text in UTF-8.
    pub(super) fn into_utf8(self, bytes: Vec<u8>) -> Vec<u8> {
        if self == Self::Utf8 {
            return bytes;
        }
        let characters = char::decode_utf16(self.units(&bytes));
        characters
            .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
            .into_bytes()
    }

    fn units(self, bytes: &[u8]) -> impl Iterator<Item = u16> {
        let is_little = self == Self::Utf16 { little_endian: true };
        let pairs = bytes.as_chunks::<2>().0.iter();
        pairs.map(move |pair| if is_little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) })
    }
}

/// Whether a byte is no part of a readable character in UTF-8: a control character or a byte that no character has.
fn is_never_in_text(byte: u8) -> bool {
    matches!(byte, 0..9 | 0x0e..0x20 | 0x7f | 0xc0 | 0xc1 | 0xf5..)
}

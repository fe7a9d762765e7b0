//! How far each segment was acknowledged, as one small file.

use std::collections::BTreeMap;

pub(crate) const CURSOR: &str = "cursor";
const HEAD: &str = "bulkhead spool cursor 1";

/// Positions by segment, and the number that the next segment may have at least.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) next_segment: u64,
    pub(crate) positions: BTreeMap<u64, u64>,
}

impl Cursor {
    /// Text, so that a person can read it; the last line checks the ones before.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{HEAD}\nnext {}\n", self.next_segment);
        for (segment, position) in &self.positions {
            text.push_str(&format!("{segment} {position}\n"));
        }
        let checksum = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("crc {checksum:08x}\n"));
        text.into_bytes()
    }

    /// `None` for whatever is not a whole cursor: then records come back again, which harms nothing.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (body, checksum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let checksum = u32::from_str_radix(checksum.strip_prefix("crc ")?, 16).ok()?;
        let checked = text.get(..body.len() + 1)?;
        if crc32fast::hash(checked.as_bytes()) != checksum {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != HEAD {
            return None;
        }
        let next_segment = lines.next()?.strip_prefix("next ")?.parse().ok()?;
        let position = |line: &str| {
            let (segment, position) = line.split_once(' ')?;
            Some((segment.parse().ok()?, position.parse().ok()?))
        };
        let positions = lines.map(position).collect::<Option<_>>()?;
        Some(Self { next_segment, positions })
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn a_cursor_comes_back_and_a_changed_one_does_not() {
        let cursor = Cursor { next_segment: 9, positions: [(3, 0), (8, 512)].into() };
        let bytes = cursor.to_bytes();
        assert_eq!(Cursor::parse(&bytes), Some(cursor));
        for length in 0..bytes.len() {
            assert_eq!(Cursor::parse(&bytes[..length]), None, "cut to {length}");
        }
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(Cursor::parse(&damaged), None, "byte {place}");
        }
    }
}

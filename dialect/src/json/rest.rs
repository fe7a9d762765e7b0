//! A document without some of its values.

use std::fmt;
use std::ops::Range;

use smallvec::SmallVec;

use super::parse::{Node, Tag};
use super::{Document, StringSpan, Value, number};

/// The strings and numbers of a document that stand outside some of its values.
pub struct Rest<'d> {
    raw: &'d [u8],
    /// The tape between the values that are left out.
    stretches: SmallVec<[&'d [Node]; 4]>,
}

impl<'d> Rest<'d> {
    pub(super) fn new(document: &'d Document<'_>, mut without: Vec<Value<'_, '_>>) -> Self {
        let nodes = document.tape.nodes();
        // Mostly sorted already, which the stable sort makes use of.
        without.sort_by_key(|value| value.index);
        let ends = without.iter().map(|value| value.index).chain([nodes.len()]);
        let starts = [0].into_iter().chain(without.iter().map(|value| value.node.next()));
        // A value inside one that came before leaves nothing between them.
        let stretches = starts.zip(ends).filter_map(|(start, end)| nodes.get(start..end));
        Self { raw: document.raw, stretches: stretches.filter(|nodes| !nodes.is_empty()).collect() }
    }

    /// Every string in the order it stands in the bytes, keys and values.
    pub fn strings(&self) -> impl Iterator<Item = StringSpan> + '_ {
        self.stretches.iter().flat_map(|nodes| nodes.iter()).filter_map(Node::string)
    }

    /// Integers of fewer digits and the names in front of them; see [`Document::named_integers`].
    pub fn named_integers(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + '_ {
        self.stretches.iter().flat_map(|nodes| named_integers(self.raw, nodes))
    }

    /// Where the integers of 12 digits and more stand; see [`Document::long_integers`].
    pub fn long_integers(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.stretches.iter().flat_map(|nodes| long_integers(self.raw, nodes))
    }
}

/// Shorter ones are counts, hours and percentages, whatever they are called.
const NAMED_INTEGER_DIGITS: usize = 6;

pub(super) fn named_integers<'d>(
    raw: &'d [u8],
    nodes: &'d [Node],
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + 'd {
    nodes.array_windows().filter_map(|[name, number]| {
        let name = name.string().filter(|name| name.is_key)?;
        let range = number.range();
        let is_short = (NAMED_INTEGER_DIGITS..number::LONG_INTEGER_DIGITS).contains(&range.len());
        let is_number = number.tag == Tag::Number && is_short;
        let digits = raw.get(range.clone()).filter(|_| is_number)?;
        digits.iter().all(u8::is_ascii_digit).then_some((name.raw, range))
    })
}

pub(super) fn long_integers<'d>(raw: &'d [u8], nodes: &'d [Node]) -> impl Iterator<Item = Range<usize>> + 'd {
    let numbers = nodes.iter().filter(|node| node.tag == Tag::Number).map(Node::range);
    numbers.filter(|range| {
        range.len() >= number::LONG_INTEGER_DIGITS
            && number::is_long_integer(raw.get(range.clone()).unwrap_or_default())
    })
}

impl fmt::Debug for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A body never gets into a log.
        f.debug_struct("Rest").field("stretches", &self.stretches.len()).finish_non_exhaustive()
    }
}

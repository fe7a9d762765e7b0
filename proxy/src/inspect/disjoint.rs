//! Ranges of one text that do not overlap, and what is to be known about each: found by where they stand, however many.

use bulkhead_dialect::json::Splice;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Debug)]
pub(crate) struct Disjoint<T> {
    /// By their starts: their ends, and what is known.
    ranges: BTreeMap<usize, (usize, T)>,
}

/// Edits of one text.
pub(crate) type Edits = Disjoint<Cow<'static, [u8]>>;

impl<T> Default for Disjoint<T> {
    fn default() -> Self {
        Self { ranges: BTreeMap::new() }
    }
}

impl<T> Disjoint<T> {
    /// Whether one of the ranges holds all of `range`.
    pub(crate) fn contains(&self, range: &Range<usize>) -> bool {
        let before = self.ranges.range(..=range.start).next_back();
        before.is_some_and(|(_, &(end, _))| range.end <= end)
    }

    /// Whether one of the ranges has a byte of `range`.
    pub(crate) fn overlaps(&self, range: &Range<usize>) -> bool {
        self.last_overlapping(range).is_some()
    }

    /// Adds a range. What it overlaps becomes one range with it, and of what was known about them the first stays.
    pub(crate) fn insert(&mut self, range: Range<usize>, value: T) {
        let (mut merged, mut kept) = (range.clone(), value);
        while let Some(start) = self.last_overlapping(&range)
            && let Some((end, value)) = self.ranges.remove(&start)
        {
            merged = merged.start.min(start)..merged.end.max(end);
            kept = value;
        }
        self.ranges.insert(merged.start, (merged.end, kept));
    }

    fn last_overlapping(&self, range: &Range<usize>) -> Option<usize> {
        // Of ranges that do not overlap, the last to start is the last to end.
        let (&start, &(end, _)) = self.ranges.range(..range.end).next_back()?;
        (range.start < end).then_some(start)
    }
}

impl FromIterator<Range<usize>> for Disjoint<()> {
    fn from_iter<I: IntoIterator<Item = Range<usize>>>(ranges: I) -> Self {
        let mut disjoint = Self::default();
        ranges.into_iter().for_each(|range| disjoint.insert(range, ()));
        disjoint
    }
}

impl From<Vec<Splice<'static>>> for Edits {
    fn from(splices: Vec<Splice<'static>>) -> Self {
        let mut edits = Self::default();
        splices.into_iter().for_each(|splice| edits.insert(splice.range, splice.replacement));
        edits
    }
}

impl From<Edits> for Vec<Splice<'static>> {
    fn from(edits: Edits) -> Self {
        edits.ranges.into_iter().map(|(start, (end, text))| Splice::new(start..end, text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tells_what_a_walk_over_all_bytes_tells(
            ranges in prop::collection::vec((0_usize..40, 1_usize..8), 0..12),
            asked in (0_usize..44, 1_usize..8),
        ) {
            let asked = asked.0..asked.0 + asked.1;
            let mut disjoint = Disjoint::default();
            let mut covered: Vec<Range<usize>> = Vec::new();
            for (number, (start, len)) in ranges.into_iter().enumerate() {
                let new = start..start + len;
                disjoint.insert(new.clone(), number);
                let (touching, apart): (Vec<_>, Vec<_>) =
                    covered.into_iter().partition(|old| old.start < new.end && new.start < old.end);
                let merged = touching.iter().fold(new, |all, old| all.start.min(old.start)..all.end.max(old.end));
                covered = apart;
                covered.push(merged);
            }
            covered.sort_by_key(|range| range.start);
            let ranges: Vec<_> = disjoint.ranges.iter().map(|(&start, &(end, _))| start..end).collect();
            prop_assert_eq!(&ranges, &covered);
            let holds = |range: &Range<usize>| range.start <= asked.start && asked.end <= range.end;
            let touches = |range: &Range<usize>| range.start < asked.end && asked.start < range.end;
            prop_assert_eq!(disjoint.contains(&asked), covered.iter().any(holds));
            prop_assert_eq!(disjoint.overlaps(&asked), covered.iter().any(touches));
        }
    }

    #[test]
    fn of_what_becomes_one_range_the_first_value_stays() {
        let mut disjoint = Disjoint::default();
        disjoint.insert(4..6, "second");
        disjoint.insert(0..2, "first");
        disjoint.insert(6..9, "touches nothing");
        disjoint.insert(1..5, "new");
        assert_eq!(disjoint.ranges, BTreeMap::from([(0, (6, "first")), (6, (9, "touches nothing"))]));
    }
}

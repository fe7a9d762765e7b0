//! The way back from a view to the text it was made from.

use std::collections::VecDeque;

use crate::engine::Window;
use crate::finding::{Edit, Match, Scan};

/// How many replaced characters are remembered before those that nobody needs are dropped.
const STALE_REPLACED_MAX: usize = 256;

/// The same place in the view and in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    view: u64,
    text: u64,
}

/// A character that is not its own view.
#[derive(Clone, Copy, Debug)]
struct Replaced {
    at: Place,
    view_len: u8,
    text_len: u8,
}

impl Replaced {
    fn end(&self) -> Place {
        Place { view: self.at.view + u64::from(self.view_len), text: self.at.text + u64::from(self.text_len) }
    }
}

/// Where the bytes of a view come from. Empty while the view is the text.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    end: Place,
    /// Before this, only `kept` is known.
    base: Place,
    replaced: VecDeque<Replaced>,
    /// View offsets before the base that are still in use: where their byte starts, and where the one before ends.
    kept: Vec<(u64, u64, u64)>,
}

impl Offsets {
    /// Goes on by bytes that are their own view.
    pub(crate) fn keep(&mut self, len: usize) {
        self.end.view += len as u64;
        self.end.text += len as u64;
    }

    /// Goes on by one character and what took its place.
    pub(crate) fn replace(&mut self, text_len: usize, view_len: usize) {
        let len = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
        let replaced = Replaced { at: self.end, view_len: len(view_len), text_len: len(text_len) };
        self.end = replaced.end();
        self.replaced.push_back(replaced);
    }

    /// The last character replaced at or before a view offset, and the place from which the view is the text.
    fn before(&self, view: u64) -> (Option<&Replaced>, Place) {
        let count = self.replaced.partition_point(|replaced| replaced.at.view <= view);
        let last = count.checked_sub(1).and_then(|index| self.replaced.get(index));
        (last, last.map_or(self.base, Replaced::end))
    }

    /// Where the character begins that gave the view's byte at `view`.
    pub(crate) fn start(&self, view: u64) -> u64 {
        if let Some(&(_, start, _)) = self.kept(view) {
            return start;
        }
        match self.before(view) {
            (Some(replaced), after) if view < after.view => replaced.at.text,
            (_, after) => after.text + (view - after.view.min(view)),
        }
    }

    /// Where the character ends that gave the view's byte before `view`.
    pub(crate) fn end(&self, view: u64) -> u64 {
        if let Some(&(_, _, end)) = self.kept(view) {
            return end;
        }
        let Some(last) = view.checked_sub(1) else { return 0 };
        match self.before(last) {
            (Some(replaced), after) if last < after.view => replaced.end().text,
            (_, after) => after.text + (view - after.view.min(view)),
        }
    }

    /// The text before a place in the view: up to the byte at `view`, or all of it where the view ends there.
    pub(crate) fn up_to(&self, view: u64) -> u64 {
        if view >= self.end.view { self.end.text } else { self.start(view) }
    }

    /// The last place at or before `view` that is not inside a character; `window` holds the view around it.
    pub(crate) fn floor(&self, view: u64, window: Window<'_>) -> u64 {
        let (replaced, after) = self.before(view);
        if let Some(replaced) = replaced.filter(|_| view < after.view) {
            return replaced.at.view;
        }
        // A character stands in one piece, so it does not reach over one that was replaced.
        let reach = (view - after.view.min(view)).min(3);
        let back =
            (0..=reach).find(|back| !window.byte(view - back).is_some_and(is_continuation)).unwrap_or(0);
        let width = match window.byte(view - back) {
            Some(0xc0..0xe0) => 2,
            Some(0xe0..0xf0) => 3,
            Some(0xf0..) => 4,
            _ => 1,
        };
        if width > back { view - back } else { view }
    }

    /// Moves results for a whole text from the view to the text.
    pub(crate) fn restore(&self, scan: &mut Scan) {
        scan.matches.iter_mut().chain(&mut scan.blocked).for_each(|found| self.restore_match(found));
        scan.edits.iter_mut().fold(0, |from, edit| self.restore_edit(edit, from));
    }

    /// Moves a match from the view to the text.
    pub(crate) fn restore_match(&self, found: &mut Match) {
        (found.start, found.end) = (self.start(found.start), self.end(found.end));
    }

    /// Moves an edit from the view to the text and returns its end; `from` is the end of the one before.
    pub(crate) fn restore_edit(&self, edit: &mut Edit, from: u64) -> u64 {
        // Two edits may share a character, and a block goes on where it stopped.
        let start = if edit.replacement.is_some() { self.start(edit.start) } else { from };
        edit.start = start.max(from);
        edit.end = self.end(edit.end).max(from);
        edit.end
    }

    /// Forgets what lies before `needed`, but for the offsets `in_use`; now and then, because it takes a pass.
    pub(crate) fn forget(&mut self, needed: u64, in_use: impl FnOnce() -> Vec<u64>) {
        if self.replaced.len() <= STALE_REPLACED_MAX {
            return;
        }
        let stale = self.replaced.partition_point(|replaced| replaced.end().view < needed);
        let Some(&last) = stale.checked_sub(1).and_then(|index| self.replaced.get(index)) else { return };
        let base = last.end();
        let kept = in_use().into_iter().filter(|&view| view < base.view);
        self.kept = kept.map(|view| (view, self.start(view), self.end(view))).collect();
        self.replaced.drain(..stale);
        self.base = base;
    }

    /// How many places are remembered.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.replaced.len() + self.kept.len()
    }

    fn kept(&self, view: u64) -> Option<&(u64, u64, u64)> {
        if view >= self.base.view { None } else { self.kept.iter().find(|(kept, ..)| *kept == view) }
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

//! Where candidates start: by the byte they start with and what stands before it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use regex_automata::util::primitives::StateID;

use super::Rule;
use crate::automaton::Before;
use crate::context::ContextWords;
use crate::gate::Gate;

/// A candidate after its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) rule: u32,
    pub(crate) state: StateID,
    /// Whether one of the detector's context words must stand before it.
    pub(crate) needs_context: bool,
}

/// The candidates that survive their first byte, by that byte and the one before it.
#[derive(Debug)]
pub(super) struct StartTable {
    /// Bytes with the same starts share a column.
    columns: Box<[u8; 256]>,
    /// By column, then what stands before: where the cell's starts stand.
    cells: Vec<(u32, u32)>,
    starts: Vec<Start>,
    context_words: Option<ContextWords>,
}

/// The starts of one byte, after each of [`Before::SEEN`] and then of [`Before::ESCAPES`].
type Column = [Vec<Start>; Before::COUNT];

/// Tables of built-in detectors that are in use, by the detectors and the number of the first.
type Shared = HashMap<(usize, Vec<usize>), Weak<StartTable>>;

impl StartTable {
    /// The table of built-in detectors: one for all rule sets that have the same.
    pub(super) fn shared(rules: &[Rule], first: usize) -> Arc<Self> {
        static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);
        // Built-in detectors are never dropped, so their addresses name them.
        let detectors = rules.iter().map(|rule| Arc::as_ptr(&rule.detector).addr()).collect();
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, table| table.strong_count() > 0);
        let key = (first, detectors);
        if let Some(table) = shared.get(&key).and_then(Weak::upgrade) {
            return table;
        }
        let table = Arc::new(Self::new(rules, first));
        shared.insert(key, Arc::downgrade(&table));
        table
    }

    /// The table of `rules`, the first of which has the number `first`.
    pub(super) fn new(rules: &[Rule], first: usize) -> Self {
        let mut columns = Box::new([0; 256]);
        let mut distinct: Vec<Column> = Vec::new();
        for (place, byte) in columns.iter_mut().zip(0..=u8::MAX) {
            let column = column(rules, first, byte);
            let index = distinct.iter().position(|known| *known == column).unwrap_or_else(|| {
                distinct.push(column);
                distinct.len() - 1
            });
            // There are at most as many columns as bytes.
            *place = u8::try_from(index).unwrap_or(u8::MAX);
        }
        let context_words = ContextWords::new(rules, first);
        let mut table = Self { columns, cells: Vec::new(), starts: Vec::new(), context_words };
        for column in &distinct {
            let first = table.cells.len();
            for (index, cell) in column.iter().enumerate() {
                // Most patterns do not care what stands before them.
                let same = column.iter().take(index).position(|earlier| earlier == cell);
                let known = same.and_then(|same| table.cells.get(first + same)).copied();
                let place = known.unwrap_or_else(|| {
                    let from = table.starts.len();
                    table.starts.extend_from_slice(cell);
                    (narrow(from), narrow(table.starts.len()))
                });
                table.cells.push(place);
            }
        }
        table.starts.shrink_to_fit();
        table
    }

    /// The words without which some of these starts do not count.
    pub(super) fn context_words(&self) -> Option<&ContextWords> {
        self.context_words.as_ref()
    }

    #[inline]
    pub(super) fn at(&self, before: Before, byte: u8) -> &[Start] {
        let column = usize::from(self.columns.get(usize::from(byte)).copied().unwrap_or_default());
        let cell = column * Before::COUNT + before as usize;
        let Some(&(from, to)) = self.cells.get(cell) else { return &[] };
        self.starts.get(from as usize..to as usize).unwrap_or_default()
    }
}

/// The starts at one byte, in order of priority.
fn column(rules: &[Rule], first: usize, byte: u8) -> Column {
    let mut column = Column::default();
    let entered = |before, is_wanted: fn(&Rule) -> bool| {
        let rules = rules.iter().zip(first..).filter(move |(rule, _)| is_wanted(rule));
        rules.filter_map(move |(rule, index)| {
            let state = rule.detector.automaton().enter(before, byte)?;
            let needs_context = !rule.detector.context().is_empty();
            Some(Start { rule: narrow(index), state, needs_context })
        })
    };
    for (cell, before) in column.iter_mut().zip(Before::SEEN) {
        cell.extend(entered(before, |_| true));
    }
    for (cell, before) in column.iter_mut().skip(Before::SEEN.len()).zip(Before::ESCAPES) {
        if !before.is_in_escape(byte) {
            // Inside an escape the starts are those after a non-word byte, without the escape's own bytes.
            cell.extend(entered(Before::NonWord, |_| true));
        } else if before == Before::Backslash {
            // A fixed text is taken at its word: a backslash in front of `npm_` must not hide the token.
            cell.extend(entered(Before::NonWord, |rule| matches!(rule.detector.gate(), Gate::Prefixes(_))));
        }
    }
    column
}

/// Rules and starts are limited far below 2^32.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

//! Where candidates start: by the byte they start with and what stands before it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

use crate::automaton::{Automaton, State};

use crate::before::Before;
use crate::context::ContextWords;
use crate::detector::Detector;
use crate::gate::{Gate, RuleGate};
use crate::trie::{Builder, Node, Text, Trie};

/// A candidate after its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) rule: u32,
    pub(crate) state: State,
}

/// What may start with a byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Starts<'a> {
    /// Where in [`StartTable::texts`] the byte leads, if the fixed text of a detector may start with it.
    pub(crate) opening: Option<Node>,
    pub(crate) heads: &'a [Start],
    /// Candidates of detectors of which a context word must stand before them.
    pub(crate) with_context: &'a [Start],
}

/// The candidates that survive their first byte, by that byte and the one before it.
pub(super) struct StartTable {
    /// Of a shared table: whose starts these are.
    detectors: Box<[Arc<Detector>]>,
    /// The detectors' automata, which every byte of every open candidate asks.
    automata: Box<[Arc<Automaton>]>,
    /// Bytes with the same starts share a column.
    columns: Box<[u8; 256]>,
    /// By column: a bit for each [`Before`] after which something starts.
    busy: Vec<u16>,
    /// Of a shared table: what stands behind a byte at which nothing starts and no context word either, by what
    /// stands before it.
    quiet: Box<[Quiet]>,
    /// By column, then what stands before.
    cells: Vec<Cell<Range>>,
    starts: Vec<Start>,
    /// The fixed texts that detectors start with; where one is complete, its rules have a candidate.
    texts: Trie,
    context_words: Option<ContextWords>,
    /// Built when a whole text is to be scanned for the first time: most of many tenants ask nothing.
    gate: OnceLock<RuleGate>,
}

/// The starts of one byte after one of [`Before`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell<T> {
    opening: Option<Node>,
    heads: T,
    with_context: T,
}

/// What stands behind each byte that is not worth a closer look.
type Quiet = [Option<Before>; 256];

/// A part of a table's starts.
type Range = (u32, u32);

/// The starts of one byte, after each of [`Before::SEEN`] and then of [`Before::ESCAPES`].
type Column = [Cell<Vec<Start>>; Before::COUNT];

/// Tables of built-in detectors that are in use, by the detectors and the number of the first.
type Shared = HashMap<(usize, Vec<usize>), Weak<StartTable>>;

impl StartTable {
    /// The table of built-in detectors: one for all rule sets that have the same.
    pub(super) fn shared(detectors: Vec<Arc<Detector>>, first: usize) -> Arc<Self> {
        static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);
        // Built-in detectors are never dropped, so their addresses name them.
        let key = (first, detectors.iter().map(|detector| Arc::as_ptr(detector).addr()).collect());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, table| table.strong_count() > 0);
        if let Some(table) = shared.get(&key).and_then(Weak::upgrade) {
            return table;
        }
        let table = Self::new(&detectors, first, Openings::of(&detectors, first));
        let quiet = table.quiet_bytes();
        let table = Arc::new(Self { detectors: detectors.into(), quiet, ..table });
        shared.insert(key, Arc::downgrade(&table));
        table
    }

    /// The table of a tenant's own detectors. They are few: a tree of their texts would take more than it saves.
    pub(super) fn own(detectors: &[Arc<Detector>]) -> Arc<Self> {
        if detectors.is_empty() {
            // Most tenants have none, and nothing is the same for all of them.
            return Self::shared(Vec::new(), 0);
        }
        Arc::new(Self::new(detectors, 0, Openings::default()))
    }

    fn new(detectors: &[Arc<Detector>], first: usize, openings: Openings) -> Self {
        let mut columns = Box::new([0; 256]);
        let mut distinct: Vec<Column> = Vec::new();
        for (place, byte) in columns.iter_mut().zip(0..=u8::MAX) {
            let column = column(detectors, first, &openings, byte);
            let index = distinct.iter().position(|known| *known == column).unwrap_or_else(|| {
                distinct.push(column);
                distinct.len() - 1
            });
            // There are at most as many columns as bytes.
            *place = u8::try_from(index).unwrap_or(u8::MAX);
        }
        let context_words = ContextWords::new(detectors, first);
        let mut table = Self {
            detectors: Box::default(),
            automata: detectors.iter().map(|detector| Arc::clone(detector.automaton())).collect(),
            columns,
            quiet: Box::default(),
            busy: distinct.iter().map(busy).collect(),
            cells: Vec::new(),
            starts: Vec::new(),
            texts: openings.texts,
            context_words,
            gate: OnceLock::new(),
        };
        for column in distinct {
            let first = table.cells.len();
            for (index, cell) in column.iter().enumerate() {
                // Most patterns do not care what stands before them.
                let same = column.iter().take(index).position(|earlier| earlier == cell);
                let known = same.and_then(|same| table.cells.get(first + same)).copied();
                let place = known.unwrap_or_else(|| Cell {
                    opening: cell.opening,
                    heads: table.add(&cell.heads),
                    with_context: table.add(&cell.with_context),
                });
                table.cells.push(place);
            }
        }
        table.starts.shrink_to_fit();
        table
    }

    fn add(&mut self, starts: &[Start]) -> Range {
        let from = self.starts.len();
        self.starts.extend_from_slice(starts);
        (narrow(from), narrow(self.starts.len()))
    }

    /// The detectors of a shared table, in order of priority.
    #[inline]
    pub(super) fn detectors(&self) -> &[Arc<Detector>] {
        &self.detectors
    }

    /// The automaton of the detector at an index of this table.
    #[inline]
    pub(super) fn automaton(&self, index: usize) -> Option<&Automaton> {
        self.automata.get(index).map(|automaton| &**automaton)
    }

    /// The words without which some of these starts do not count.
    pub(super) fn context_words(&self) -> Option<&ContextWords> {
        self.context_words.as_ref()
    }

    /// Where matches may start; `detectors` are those of this table.
    pub(super) fn gate(&self, detectors: &[Arc<Detector>]) -> &RuleGate {
        self.gate.get_or_init(|| RuleGate::new(detectors))
    }

    /// Whether [`Self::gate`] is there.
    pub(super) fn has_gate(&self) -> bool {
        self.gate.get().is_some()
    }

    /// The fixed texts of which [`Starts::opening`] is the beginning, by the numbers of their rules.
    #[inline]
    pub(super) fn texts(&self) -> &Trie {
        &self.texts
    }

    fn quiet_bytes(&self) -> Box<[Quiet]> {
        let words = self.context_words.as_ref();
        let after = |before: Before| {
            let mut quiet: Quiet = [None; 256];
            for (place, byte) in quiet.iter_mut().zip(0..=u8::MAX) {
                let is_quiet =
                    !self.may_start(before, byte) && words.is_none_or(|words| words.is_quiet(before, byte));
                *place = is_quiet.then(|| before.then(byte));
            }
            quiet
        };
        Before::ALL.map(after).into()
    }

    /// What stands behind a byte at which nothing starts; `None` also where a context word may start or go on.
    #[inline]
    pub(super) fn pass(&self, before: Before, byte: u8) -> Option<Before> {
        *self.quiet.get(before as usize)?.get(usize::from(byte))?
    }

    /// Whether anything starts with a byte.
    #[inline]
    pub(super) fn may_start(&self, before: Before, byte: u8) -> bool {
        let column = self.columns.get(usize::from(byte)).copied().unwrap_or_default();
        self.busy.get(usize::from(column)).is_some_and(|busy| busy >> (before as u16) & 1 == 1)
    }

    #[inline]
    pub(super) fn at(&self, before: Before, byte: u8) -> Starts<'_> {
        let column = usize::from(self.columns.get(usize::from(byte)).copied().unwrap_or_default());
        let Some(cell) = self.cells.get(column * Before::COUNT + before as usize) else {
            return Starts::default();
        };
        let starts = |(from, to): Range| self.starts.get(from as usize..to as usize).unwrap_or_default();
        Starts { opening: cell.opening, heads: starts(cell.heads), with_context: starts(cell.with_context) }
    }
}

/// The fixed texts of detectors as a tree, and its roots.
#[derive(Debug, Default)]
struct Openings {
    texts: Trie,
    /// After a word byte, and after anything else.
    roots: Option<[Node; 2]>,
}

impl Openings {
    fn of(detectors: &[Arc<Detector>], first: usize) -> Self {
        let mut texts = Vec::new();
        let mut at_word_start = Vec::new();
        for (detector, index) in detectors.iter().zip(first..) {
            let Gate::Texts(fixed) = detector.gate() else { continue };
            for text in fixed {
                texts.push(Text { bytes: &text.bytes, ignore_case: text.ignore_case, id: narrow(index) });
                at_word_start.push(text.at_word_start);
            }
        }
        let mut builder = Builder::new(&texts);
        let inside = builder.root(|index| at_word_start.get(index) == Some(&false));
        let anywhere = builder.root(|_| true);
        Self { texts: builder.build(), roots: Some([inside, anywhere]) }
    }

    /// Whether a detector's candidates begin with the end of a fixed text of this tree.
    fn has(&self, detector: &Detector) -> bool {
        self.roots.is_some() && is_fixed(detector)
    }

    fn at(&self, before: Before, byte: u8) -> Option<Node> {
        let [inside, anywhere] = self.roots?;
        self.texts.step(if before == Before::Word { inside } else { anywhere }, byte)
    }
}

fn is_fixed(detector: &Detector) -> bool {
    matches!(detector.gate(), Gate::Texts(_))
}

/// The starts at one byte, in order of priority.
fn column(detectors: &[Arc<Detector>], first: usize, openings: &Openings, byte: u8) -> Column {
    let entered = |before, needs_context: bool, only_fixed: bool| {
        let detectors = detectors.iter().zip(first..).filter(move |(detector, _)| {
            detector.context().is_empty() != needs_context && (is_fixed(detector) || !only_fixed)
        });
        detectors.filter(|(detector, _)| !openings.has(detector)).filter_map(move |(detector, index)| {
            let state = detector.automaton().enter(before, byte)?;
            Some(Start { rule: narrow(index), state })
        })
    };
    let cell = |before, only_fixed| Cell {
        opening: openings.at(before, byte),
        heads: entered(before, false, only_fixed).collect(),
        with_context: entered(before, true, only_fixed).collect(),
    };
    let mut column = Column::default();
    for (place, before) in column.iter_mut().zip(Before::SEEN) {
        *place = cell(before, false);
    }
    for (place, before) in column.iter_mut().skip(Before::SEEN.len()).zip(Before::ESCAPES) {
        if !before.is_in_escape(byte) {
            // Inside an escape the starts are those after a non-word byte, without the escape's own bytes.
            *place = cell(Before::NonWord, false);
        } else if before == Before::Backslash {
            // A fixed text is taken at its word: a backslash in front of `npm_` must not hide the token.
            *place = cell(Before::NonWord, true);
        }
    }
    column
}

fn busy(column: &Column) -> u16 {
    let is_busy = column.iter().map(|cell| *cell != Cell::default());
    is_busy.zip(0..).fold(0, |bits, (is_busy, index)| bits | u16::from(is_busy) << index)
}

/// Rules and starts are limited far below 2^32.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

//! Rules compiled together: which detectors may start at a byte, and what a match leads to.

mod scan;
mod starts;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::action::Action;
use crate::automaton::Automaton;
use crate::before::Before;
use crate::catalogue::is_example;
use crate::context::ContextWords;
use crate::detector::Detector;
use crate::encoded::{self, Allowance};
use crate::finding::Scan;
use crate::gate::RuleGate;
use crate::keyed::ValueKey;
use crate::stream::StreamScanner;
use crate::trie::Trie;
use crate::view::{self, Offsets};
use starts::StartTable;
pub(crate) use starts::{Start, Starts};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// One detector and what to do with its matches.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What to look for.
    pub detector: Arc<Detector>,
    /// What to do with it.
    pub action: Action,
    /// How many bytes at a match's end stay when it is masked, at most; 0 for none.
    pub(crate) keep_last: u8,
}

impl Rule {
    /// A rule for all of a detector's matches.
    #[must_use]
    pub fn new(detector: Arc<Detector>, action: Action) -> Self {
        Self { detector, action, keep_last: 0 }
    }

    /// Lets the last bytes of a masked match stay, as in `[CREDIT_CARD]1111`.
    ///
    /// Never more than [`Detector::keep_last_max`]; fewer where the tail would begin inside a character or
    /// an escape.
    #[must_use]
    pub fn keeping_last(mut self, bytes: u8) -> Self {
        self.keep_last = bytes.min(self.detector.keep_last_max());
        self
    }
}

/// What a [`RuleSet`] does with the matches of one of its detectors.
#[derive(Clone, Copy, Debug)]
pub struct RuleRef<'a> {
    /// What is looked for.
    pub detector: &'a Arc<Detector>,
    /// What is done with it.
    pub action: Action,
    pub(crate) keep_last: u8,
}

/// A rule without its detector: what each tenant's choice of actions takes.
#[derive(Clone, Copy, Debug)]
struct Treatment {
    action: Action,
    keep_last: u8,
}

/// The rules of one policy for one direction; immutable, shared by all its requests.
///
/// Meaning: for every detector and every start where its left context holds, the longest end that its
/// validator accepts is a candidate. For a detector with context words ([`Detector::context`]) one of them must
/// also stand before the candidate, in any ASCII case, and start at most 64 bytes before it: after anything but
/// a letter or digit, or after an escape as described below. A candidate whose text is an allowed value is
/// none, and neither is
/// one of the same detector inside it. Then, by start, longer first, then detector priority (a
/// tenant's own, confidence, id), candidates are taken where they do not overlap one taken before. Masks
/// and tokens are chosen among each other, of two for the same bytes the mask, and alerts among alerts, so
/// that an alert cannot shield a value from being masked. Any
/// candidate of a `block` rule blocks, whatever covers it.
///
/// View: detectors see a text as a reader would, one character after the other. Characters that show nothing
/// (format characters, variation selectors, enclosing marks) are not there; digits of all scripts, compatibility
/// forms such as full width or mathematical letters, dashes, dots, spaces and look-alikes of ASCII letters are
/// ASCII; everything else, bytes that are no UTF-8 too, stays as it is. Lengths and boundaries of patterns,
/// custom terms and allowed values are those of the view. What is reported and masked are the characters of the
/// text itself, whole ones, from the first to the last that the match is made of.
///
/// Escapes: arguments of tool calls are JSON inside JSON, and may hold JSON again, so a text may hold `\n` as two
/// bytes or more. Directly after a backslash the letter of an escape (`n`, `t`, `r`, `b`, `f`, `u`) and up to four hex
/// digits after that `u` belong to the escape: no candidate starts at such a byte, and for the left context
/// of what follows it is no word byte. Matches that start earlier run over it like over any other byte, and
/// at their end it is one. This holds for every text, JSON or not: of `DOMAIN\bob@x.example` it masks
/// `ob@x.example`, and a fixed text such as a custom term is not found from an escape's letter on.
pub struct RuleSet {
    id: u64,
    /// The tenant's own detectors; these come first.
    own: Box<[Arc<Detector>]>,
    own_starts: Arc<StartTable>,
    /// The built-in detectors and their starts; the same for all rule sets that choose the same.
    shared_starts: Arc<StartTable>,
    /// One for each detector.
    treatments: Box<[Treatment]>,
    allow_values: HashSet<Box<[u8]>>,
    len_min: usize,
    value_key: Option<ValueKey>,
    ignores_examples: bool,
}

impl RuleSet {
    /// Compiles rules; of two rules for one detector the stricter wins, of two masks the one
    /// that keeps less.
    ///
    /// What is known about built-in detectors is shared by all rule sets with the same selection of them.
    #[must_use]
    pub fn new(rules: Vec<Rule>, allow_values: Vec<String>) -> Self {
        let rules = prioritise(rules);
        let treatment = |rule: &Rule| Treatment { action: rule.action, keep_last: rule.keep_last };
        let treatments = rules.iter().map(treatment).collect();
        let detectors = rules.into_iter().map(|rule| rule.detector);
        let (own, built_in): (Vec<_>, Vec<_>) = detectors.partition(|detector| detector.is_custom());
        let len_min = own.iter().chain(&built_in).map(|detector| detector.automaton().len_min()).min();
        let own_starts = StartTable::own(&own);
        let shared_starts = StartTable::shared(built_in, own.len());
        let allow_values = allow_values.iter().map(|value| view::fold(value).into_bytes().into()).collect();
        let id = NEXT_ID.fetch_add(1, Relaxed);
        Self {
            id,
            own: own.into(),
            own_starts,
            shared_starts,
            treatments,
            allow_values,
            len_min: len_min.unwrap_or(usize::MAX),
            value_key: None,
            ignores_examples: false,
        }
    }

    /// The same rules, but documented example values pass like allowed ones; see [`is_example`].
    #[must_use]
    pub fn ignoring_examples(self, ignores_examples: bool) -> Self {
        Self { ignores_examples, ..self }
    }

    /// Gives the set the key that fingerprints and tokens come from.
    ///
    /// Without one, matches have no fingerprint and [`Action::Tokenize`] masks.
    #[must_use]
    pub fn with_value_key(mut self, key: ValueKey) -> Self {
        self.value_key = Some(key);
        self
    }

    /// Whether there is no rule, so that every text is clean.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.treatments.is_empty()
    }

    /// A number that no other rule set of this process has, whatever becomes of this one.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The shortest match in bytes: a text that is shorter is clean. [`usize::MAX`] where there is no rule.
    #[must_use]
    pub fn match_bytes_min(&self) -> usize {
        self.len_min
    }

    /// The rules in order of priority.
    pub fn rules(&self) -> impl Iterator<Item = RuleRef<'_>> {
        let detectors = self.own.iter().chain(self.shared_starts.detectors());
        detectors.zip(&self.treatments).map(|(detector, treatment)| treatment.of(detector))
    }

    /// Whether [`Self::make_ready`] has nothing left to do.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.own_starts.has_gate() && self.shared_starts.has_gate()
    }

    /// Builds what the first scan of a whole text would else build: milliseconds for the built-in detectors, 20
    /// microseconds for each term. Not for an event loop.
    pub fn make_ready(&self) {
        let _built = self.gates();
        view::make_ready();
    }

    pub(crate) fn gates(&self) -> [&RuleGate; 2] {
        [self.own_starts.gate(&self.own), self.shared_starts.gate(self.shared_starts.detectors())]
    }

    /// A scanner for one channel of a stream.
    #[must_use]
    pub fn scanner(self: &Arc<Self>) -> StreamScanner {
        StreamScanner::new(Arc::clone(self))
    }

    /// Scans a whole text; the same result as a [`StreamScanner`] that is given the text and finished.
    ///
    /// Cost: one to two nanoseconds per byte and no allocation where nothing looks like a match.
    ///
    /// ```
    /// use bulkhead_dlp::{Action, Rule, RuleSet, catalogue};
    ///
    /// let detector = catalogue().select("US_SSN").remove(0).clone();
    /// let rules = RuleSet::new(vec![Rule::new(detector, Action::Block)], Vec::new());
    /// assert!(rules.scan(b"nothing here").clean());
    /// assert!(rules.scan(b"SSN 078-05-1120").blocked.is_some());
    /// ```
    #[must_use]
    pub fn scan(&self, text: &[u8]) -> Scan {
        self.scan_view_of(text, |rules, view, offsets| rules.scan_where_gates_open(view, offsets).0)
    }

    /// The plain scan, which looks at every byte.
    #[cfg(test)]
    pub(crate) fn scan_every_byte(&self, text: &[u8]) -> Scan {
        self.scan_view_of(text, |rules, view, offsets| rules.scan_every_byte_of_view(view, offsets).0)
    }

    /// Scans a text, and what it carries in other notations as far as `allowance` goes.
    pub(crate) fn scan_with_decoded(&self, text: &[u8], allowance: &mut Allowance) -> Scan {
        if text.len() < self.len_min {
            return Scan::default();
        }
        let mut scan = self.scan_view_of(text, |rules, view, offsets| {
            let (mut scan, goes_on) = rules.scan_where_gates_open(view, offsets);
            allowance.note_end(view, goes_on);
            encoded::add_decoded(rules, view, allowance, &mut scan);
            scan
        });
        encoded::add_unseen(self, text, allowance, &mut scan);
        scan
    }

    fn scan_view_of(&self, text: &[u8], scan: impl FnOnce(&Self, &[u8], &Offsets) -> Scan) -> Scan {
        if text.is_ascii() {
            return scan(self, text, &Offsets::default());
        }
        match view::of(text) {
            None => scan(self, text, &Offsets::default()),
            Some((view, offsets)) => {
                let mut found = scan(self, &view, &offsets);
                offsets.restore(&mut found);
                found
            }
        }
    }

    #[inline]
    pub(crate) fn detector(&self, index: u32) -> Option<&Arc<Detector>> {
        let index = usize::try_from(index).ok()?;
        match index.checked_sub(self.own.len()) {
            None => self.own.get(index),
            Some(index) => self.shared_starts.detectors().get(index),
        }
    }

    /// The automaton of a rule's detector.
    #[inline]
    pub(crate) fn automaton(&self, index: u32) -> Option<&Automaton> {
        let index = usize::try_from(index).ok()?;
        match index.checked_sub(self.own.len()) {
            None => self.own_starts.automaton(index),
            Some(index) => self.shared_starts.automaton(index),
        }
    }

    #[inline]
    pub(crate) fn rule(&self, index: u32) -> Option<RuleRef<'_>> {
        let treatment = self.treatments.get(usize::try_from(index).ok()?)?;
        Some(treatment.of(self.detector(index)?))
    }

    /// Whether any candidate starts with a byte.
    #[inline]
    pub(crate) fn may_start(&self, before: Before, byte: u8) -> bool {
        self.shared_starts.may_start(before, byte) || self.own_starts.may_start(before, byte)
    }

    /// What stands behind a byte at which nothing starts; `None` also where a context word may start or go on.
    #[inline]
    pub(crate) fn pass(&self, before: Before, byte: u8) -> Option<Before> {
        self.shared_starts.pass(before, byte).filter(|_| !self.own_starts.may_start(before, byte))
    }

    pub(crate) fn starts(&self, before: Before, byte: u8) -> [Starts<'_>; 2] {
        [self.own_starts.at(before, byte), self.shared_starts.at(before, byte)]
    }

    /// The fixed texts that the openings of [`Self::starts`] go on with.
    #[inline]
    pub(crate) fn fixed_texts(&self) -> &Trie {
        self.shared_starts.texts()
    }

    pub(crate) fn value_key(&self) -> Option<&ValueKey> {
        self.value_key.as_ref()
    }

    /// Whether some values pass although a detector finds them.
    pub(crate) fn has_allow_values(&self) -> bool {
        self.ignores_examples || !self.allow_values.is_empty()
    }

    pub(crate) fn allows(&self, detector: &Detector, value: &[u8]) -> bool {
        self.allow_values.contains(value) || self.ignores_examples && is_example(detector, value)
    }

    pub(crate) fn context_words(&self) -> Option<&ContextWords> {
        self.shared_starts.context_words()
    }
}

impl Treatment {
    fn of(self, detector: &Arc<Detector>) -> RuleRef<'_> {
        RuleRef { detector, action: self.action, keep_last: self.keep_last }
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Allowed values are a tenant's data: their number is enough.
        f.debug_struct("RuleSet")
            .field("rules", &self.rules().collect::<Vec<_>>())
            .field("allow_values", &self.allow_values.len())
            .finish_non_exhaustive()
    }
}

fn prioritise(rules: Vec<Rule>) -> Vec<Rule> {
    let mut rules = rules;
    let priority = |left: &Rule, right: &Rule| -> Ordering {
        let own = right.detector.is_custom().cmp(&left.detector.is_custom());
        own.then_with(|| right.detector.confidence().total_cmp(&left.detector.confidence()))
            .then_with(|| left.detector.id().cmp(right.detector.id()))
            .then_with(|| Arc::as_ptr(&left.detector).cmp(&Arc::as_ptr(&right.detector)))
            .then_with(|| right.action.cmp(&left.action))
            .then_with(|| left.keep_last.cmp(&right.keep_last))
    };
    rules.sort_by(priority);
    // The sort puts the stricter of two rules for one detector first, and this keeps the first.
    rules.dedup_by(|later, kept| Arc::ptr_eq(&later.detector, &kept.detector));
    rules
}

#[cfg(test)]
mod tests;

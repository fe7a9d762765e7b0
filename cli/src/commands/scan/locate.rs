//! From byte offsets to lines, columns and excerpts.

use std::sync::Arc;

use bulkhead_dlp::{Detector, Edit, Match, RuleSet, StreamScanner};

/// How much of the line before a finding its excerpt shows, in bytes.
const EXCERPT_BYTES: usize = 40;

/// Something found in a file.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Offsets in bytes from the start of the file.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) place: Place,
    pub(super) detector: Arc<Detector>,
}

/// Where a finding starts, for people.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: u64,
    /// From 1, in bytes.
    pub(super) column: u64,
    /// The end of the line before the finding, as far as nothing is masked in it.
    pub(super) before: String,
}

/// Scans a whole text.
pub(super) fn in_whole(rules: &RuleSet, text: &[u8], findings: &mut Vec<Finding>) {
    let scan = rules.scan(text);
    let mut locator = Locator::default();
    let places = locator.places(text, 0, &scan.edits);
    findings.extend(scan.matches.iter().map(|found| locator.finding(found, &places)));
}

/// Scans a text that comes in parts; keeps what is undecided and a little before it.
pub(super) struct Stream {
    scanner: StreamScanner,
    locator: Locator,
    /// The text from `base` on.
    held: Vec<u8>,
    base: u64,
    /// Where masked ranges start whose match is not complete.
    places: Vec<(u64, Place)>,
}

impl Stream {
    pub(super) fn new(rules: &Arc<RuleSet>) -> Self {
        Self {
            scanner: rules.scanner(),
            locator: Locator::default(),
            held: Vec::new(),
            base: 0,
            places: Vec::new(),
        }
    }

    /// Takes the next part and adds what it decides.
    pub(super) fn push(&mut self, part: &[u8], findings: &mut Vec<Finding>) {
        self.held.extend_from_slice(part);
        self.scanner.push(part);
        self.take(findings);
    }

    /// Ends the text.
    pub(super) fn finish(mut self, findings: &mut Vec<Finding>) {
        self.scanner.finish();
        self.take(findings);
    }

    fn take(&mut self, findings: &mut Vec<Finding>) {
        let (mut edits, mut matches) = (Vec::new(), Vec::new());
        self.scanner.take_edits(&mut edits);
        self.scanner.take_matches(&mut matches);
        self.places.extend(self.locator.places(&self.held, self.base, &edits));
        findings.extend(matches.iter().map(|found| self.locator.finding(found, &self.places)));
        let released = self.scanner.released();
        self.locator.advance(&self.held, self.base, released);
        self.places.retain(|(start, _)| !matches.iter().any(|found| found.start == *start));
        let keep_from = released.saturating_sub(EXCERPT_BYTES as u64).max(self.base);
        let stale = usize::try_from(keep_from - self.base).unwrap_or(self.held.len()).min(self.held.len());
        self.held.drain(..stale);
        self.base = keep_from;
    }
}

/// Counts lines up to a position that only moves forward.
#[derive(Default)]
struct Locator {
    position: u64,
    /// Lines that have ended before the position.
    lines: u64,
    line_start: u64,
    /// The end of the last masked range.
    masked_until: u64,
}

impl Locator {
    /// Moves on to `position` in a text that starts at `base`.
    fn advance(&mut self, text: &[u8], base: u64, position: u64) {
        let part = slice(text, base, self.position, position);
        for at in memchr::memchr_iter(b'\n', part) {
            self.lines += 1;
            self.line_start = self.position + at as u64 + 1;
        }
        self.position = position.max(self.position);
    }

    /// Where masked ranges start.
    fn places(&mut self, text: &[u8], base: u64, edits: &[Edit]) -> Vec<(u64, Place)> {
        let mut places = Vec::new();
        for edit in edits {
            self.advance(text, base, edit.start);
            if edit.replacement.is_some() {
                let from = edit
                    .start
                    .saturating_sub(EXCERPT_BYTES as u64)
                    .max(self.line_start)
                    .max(self.masked_until);
                let before =
                    String::from_utf8_lossy(slice(text, base, from, edit.start)).trim_start().to_owned();
                places.push((edit.start, Place { before, ..self.place(edit.start) }));
            }
            self.masked_until = edit.end;
        }
        places
    }

    fn place(&self, position: u64) -> Place {
        let column = position.saturating_sub(self.line_start) + 1;
        Place { line: self.lines + 1, column, before: String::new() }
    }

    fn finding(&self, found: &Match, places: &[(u64, Place)]) -> Finding {
        let place = places.iter().find(|(start, _)| *start == found.start).map(|(_, place)| place.clone());
        let place = place.unwrap_or_else(|| self.place(found.start));
        Finding { start: found.start, end: found.end, place, detector: Arc::clone(&found.detector) }
    }
}

fn slice(text: &[u8], base: u64, from: u64, to: u64) -> &[u8] {
    let offset =
        |position: u64| usize::try_from(position.saturating_sub(base)).unwrap_or(text.len()).min(text.len());
    text.get(offset(from)..offset(to)).unwrap_or_default()
}

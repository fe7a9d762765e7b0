//! A text that is cut gives what the whole text gives.

use bulkhead_dlp::{Edit, Match, TextRules, TextScanner, apply_edits};

/// Scans a text as a whole and in parts as long as `cuts` say, over and over; without any, in one part.
pub(crate) fn check_law(rules: &TextRules, text: &[u8], cuts: &[u8]) {
    let whole = rules.scan(text);
    let mut stream = Streamed::new(rules);
    let mut left = text;
    for &cut in cuts.iter().cycle().take(if cuts.is_empty() { 0 } else { text.len() }) {
        let (part, rest) = left.split_at(usize::from(cut).min(left.len()));
        stream.step(|scanner| scanner.push(part));
        left = rest;
    }
    stream.step(|scanner| scanner.push(left));
    stream.step(TextScanner::finish);

    assert_eq!(stream.scanner.blocked(), whole.blocked.as_ref());
    if whole.blocked.is_none() {
        assert_eq!(apply_edits(text, &stream.edits), apply_edits(text, &whole.edits));
        assert_eq!(stream.scanner.released(), text.len() as u64);
        assert_eq!(stream.matches, whole.matches);
    }
}

/// A scanner and what it has said so far.
struct Streamed {
    scanner: TextScanner,
    edits: Vec<Edit>,
    matches: Vec<Match>,
}

impl Streamed {
    fn new(rules: &TextRules) -> Self {
        Self { scanner: rules.scanner(), edits: Vec::new(), matches: Vec::new() }
    }

    fn step(&mut self, step: impl FnOnce(&mut TextScanner)) {
        let released = self.scanner.released();
        step(&mut self.scanner);
        assert!(self.scanner.released() >= released, "what was released is held again");
        let known = self.edits.len();
        self.scanner.take_edits(&mut self.edits);
        self.scanner.take_matches(&mut self.matches);
        let new = &self.edits[known..];
        assert!(new.iter().all(|edit| edit.start >= released), "a byte that had left is masked");
        assert!(new.iter().all(|edit| edit.end <= self.scanner.released()));
    }
}

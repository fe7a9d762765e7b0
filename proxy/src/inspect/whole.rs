//! Inspects a complete body: every string of a JSON document, or the text as it stands.

use super::Findings;
use super::known::CleanTexts;
use bulkhead_dialect::json::{Document, RawOffsets, Splice, escape, splice, unescape};
use bulkhead_dlp::{Action, Edit, Match, RuleSet};
use bulkhead_policy::trace::Direction;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// Stands in a trace's copy where a string held a value that was not masked on its way.
const HIDDEN: &[u8] = b"[HIDDEN]";
const HIDDEN_NUMBER: &[u8] = b"\"[HIDDEN]\"";

/// The result of inspecting one body. Offsets of its findings count raw bytes of the body.
#[derive(Debug, Default)]
pub(crate) struct Inspected {
    pub(crate) findings: Findings,
    /// Edits that mask what was found, sorted and disjoint.
    pub(crate) splices: Vec<Splice<'static>>,
    /// More edits for the copy that a trace keeps: there, what only alerts or blocks is hidden as well.
    pub(crate) hidden: Vec<Splice<'static>>,
    /// Ids of the detectors whose rule blocks.
    pub(crate) blocked: Vec<String>,
}

impl Inspected {
    /// The body with everything masked; the same bytes where nothing was.
    pub(crate) fn apply(&self, body: &Bytes) -> Bytes {
        if self.splices.is_empty() { body.clone() } else { splice(body, &self.splices).into() }
    }

    /// The body for the trace: every string with a finding that was not masked is hidden whole.
    pub(crate) fn for_trace(&self, body: &Bytes) -> Bytes {
        if self.hidden.is_empty() {
            return self.apply(body);
        }
        let is_hidden = |splice: &&Splice<'static>| {
            self.hidden.iter().any(|h| h.range.start <= splice.range.start && splice.range.end <= h.range.end)
        };
        let mut edits: Vec<_> = self.splices.iter().filter(|splice| !is_hidden(splice)).cloned().collect();
        edits.extend(self.hidden.iter().cloned());
        edits.sort_by_key(|edit| edit.range.start);
        splice(body, &edits).into()
    }
}

/// Inspects every string of a JSON document, keys included: an agent's arguments may carry secrets there.
///
/// Texts that `clean` knows are not scanned again; those that turn out to be clean are added to it.
pub(crate) fn json(
    rules: &RuleSet,
    raw: &[u8],
    document: &Document<'_>,
    direction: Direction,
    clean: Option<&CleanTexts>,
) -> Inspected {
    let mut inspected = Inspected::default();
    if rules.is_empty() {
        return inspected;
    }
    // Decoding and folding only make a text shorter.
    for span in document.strings().filter(|span| span.raw.len() >= rules.match_bytes_min()) {
        let text = raw.get(span.raw.clone()).unwrap_or_default();
        let form = if span.escaped { Form::EscapedJson } else { Form::Json };
        let known = clean.and_then(|clean| Some((clean, clean.fingerprint(rules, text, form)?)));
        if known.is_some_and(|(clean, fingerprint)| clean.contains(fingerprint)) {
            continue;
        }
        let found = inspect_string(rules, text, span.raw, form, direction, &mut inspected);
        if let Some((clean, fingerprint)) = known.filter(|_| !found) {
            clean.insert(fingerprint);
        }
    }
    for at in document.long_integers() {
        let digits = raw.get(at.clone()).unwrap_or_default();
        inspect_string(rules, digits, at, Form::Number, direction, &mut inspected);
    }
    // The numbers came last; edits go in order.
    inspected.splices.sort_by_key(|splice| splice.range.start);
    inspected
}

/// Inspects a body that is plain text, or whose form is unknown.
pub(crate) fn text(rules: &RuleSet, body: &[u8], direction: Direction) -> Inspected {
    let mut inspected = Inspected::default();
    if !rules.is_empty() {
        inspect_string(rules, body, 0..body.len(), Form::Plain, direction, &mut inspected);
    }
    inspected
}

/// How a text is written in the bytes around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// Between the quotes of a JSON string, without an escape.
    Json,
    /// Between the quotes of a JSON string, with escapes.
    EscapedJson,
    /// A JSON number; what takes its place is a string.
    Number,
}

/// Scans one text that stands at `at` and adds what it finds. False if that is nothing.
pub(crate) fn inspect_string(
    rules: &RuleSet,
    raw: &[u8],
    at: Range<usize>,
    form: Form,
    direction: Direction,
    inspected: &mut Inspected,
) -> bool {
    let decoded = if form == Form::EscapedJson { unescape(raw) } else { Cow::Borrowed(raw) };
    let scan = rules.scan(&decoded);
    if scan.clean() {
        return false;
    }
    let position = |offsets: Range<u64>| {
        let range = raw_range(raw, form, offsets);
        at.start + range.start..at.start + range.end
    };
    let add = |found: &Match, findings: &mut Findings| {
        let range = position(found.start..found.end);
        findings.add(found, direction, Cow::Borrowed("body"), (range.start as u64, range.end as u64));
    };
    for found in &scan.matches {
        add(found, &mut inspected.findings);
    }
    inspected.blocked.extend(scan.blocked.iter().map(|found| found.detector.id().to_string()));
    if form == Form::Number {
        // A number is replaced whole: half of one beside a string would be no JSON.
        let first = scan.edits.first();
        inspected.splices.extend(first.map(|edit| Splice::new(at.clone(), placeholder(edit, form))));
    } else {
        let edits = scan.edits.iter();
        let splices = edits.map(|edit| Splice::new(position(edit.start..edit.end), placeholder(edit, form)));
        inspected.splices.extend(splices);
    }
    if scan.blocked.is_some() || scan.matches.iter().any(|found| found.action != Action::Mask) {
        let hidden = if form == Form::Number { HIDDEN_NUMBER } else { HIDDEN };
        inspected.hidden.push(Splice::new(at, hidden));
    }
    true
}

/// Where decoded offsets stand in the raw text; never inside an escape.
pub(crate) fn raw_range(raw: &[u8], form: Form, offsets: Range<u64>) -> Range<usize> {
    let clamp = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(raw.len());
    let (start, end) = (clamp(offsets.start), clamp(offsets.end));
    if form != Form::EscapedJson {
        return start..end;
    }
    let mut map = RawOffsets::new(raw);
    let start = map.floor(start);
    start..map.ceil(end)
}

/// The bytes that take a masked value's place.
pub(crate) fn placeholder(edit: &Edit, form: Form) -> Vec<u8> {
    let Some(placeholder) = &edit.replacement else { return Vec::new() };
    let text = placeholder.as_str();
    let mut bytes = Vec::new();
    match form {
        Form::Plain => bytes.extend_from_slice(text.as_bytes()),
        Form::Json | Form::EscapedJson => escape(text, &mut bytes),
        Form::Number => {
            bytes.push(b'"');
            escape(text, &mut bytes);
            bytes.push(b'"');
        }
    }
    bytes
}

//! Inspects a complete body: every string of a JSON document, or the text as it stands.

use super::Findings;
use super::disjoint::Disjoint;
use super::known::{CleanTexts, SeenTexts};
use super::names::Names;
use bulkhead_dialect::json::{RawOffsets, Rest, Splice, escape, plain_integer, splice, unescape};
use bulkhead_dlp::{Action, Edit, Match, Replacement, TextRules, TokenMap};
use bulkhead_policy::trace::Direction;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

/// Stands in a trace's copy where a string held a value that was not masked on its way.
pub(crate) const HIDDEN: &[u8] = b"[HIDDEN]";
const HIDDEN_NUMBER: &[u8] = b"\"[HIDDEN]\"";

/// The result of inspecting one body. Offsets of its findings count raw bytes of the body.
#[derive(Debug, Default)]
pub(crate) struct Inspected {
    pub(crate) findings: Findings,
    /// Edits of what was found.
    pub(crate) splices: Splices,
    /// The tokens that took values' places.
    pub(crate) tokens: TokenMap,
    /// More edits for the copy that a trace keeps: there, what only alerts or blocks is hidden as well.
    pub(crate) hidden: Vec<Splice<'static>>,
    /// Ids of the detectors whose rule blocks.
    pub(crate) blocked: BTreeSet<String>,
    /// A text carries more in other encodings than is decoded.
    pub(crate) incomplete: bool,
    /// Where texts begin in which a value may have begun that goes on behind them, in ascending order.
    pub(crate) going_on: Vec<usize>,
}

/// The edits of one body or event, each list sorted and disjoint from the other.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Splices {
    /// What hides values.
    pub(crate) masks: Vec<Splice<'static>>,
    /// What puts values in their tokens' places; a trace shows the tokens.
    pub(crate) restored: Vec<Splice<'static>>,
}

impl Splices {
    /// Adds what is to be done at `range`; the text of `edit` is in its final form.
    pub(crate) fn add(&mut self, edit: &Edit, range: Range<usize>, text: Vec<u8>) {
        let puts_back = matches!(edit.replacement, Some(Replacement::Value(_)));
        let list = if puts_back { &mut self.restored } else { &mut self.masks };
        list.push(Splice::new(range, text));
    }

    /// All edits, sorted.
    pub(crate) fn merged(&self) -> Vec<Splice<'static>> {
        let mut merged = [self.masks.as_slice(), &self.restored].concat();
        merged.sort_by_key(|splice| splice.range.start);
        merged
    }
}

impl Inspected {
    /// Where strings begin in which something was found.
    pub(crate) fn touched(&self) -> impl Iterator<Item = usize> + '_ {
        let Splices { masks, restored } = &self.splices;
        masks.iter().chain(restored).chain(&self.hidden).map(|splice| splice.range.start)
    }

    /// The body with every edit made; the same bytes where there is none.
    pub(crate) fn apply(&self, body: &Bytes) -> Bytes {
        let edits = self.splices.merged();
        if edits.is_empty() { body.clone() } else { splice(body, &edits).into() }
    }

    /// The body for the trace: every string with a finding that was not masked is hidden whole, and no value is
    /// put back.
    pub(crate) fn for_trace(&self, body: &Bytes) -> Bytes {
        let hidden: Disjoint<()> = self.hidden.iter().map(|splice| splice.range.clone()).collect();
        let masks = self.splices.masks.iter().filter(|splice| !hidden.contains(&splice.range));
        let mut edits: Vec<_> = masks.chain(&self.hidden).cloned().collect();
        edits.sort_by_key(|edit| edit.range.start);
        if edits.is_empty() { body.clone() } else { splice(body, &edits).into() }
    }
}

/// Inspects every string of what is left of a JSON document, keys included: an agent's arguments may carry secrets there.
///
/// Texts that `clean` knows are not scanned again; those that turn out to be clean are added to it.
pub(crate) fn json(
    rules: &TextRules,
    raw: &[u8],
    rest: &Rest<'_>,
    direction: Direction,
    clean: Option<&CleanTexts>,
) -> Inspected {
    let mut inspected = Inspected::default();
    if rules.is_empty() {
        return inspected;
    }
    let (mut seen, mut names) = (SeenTexts::new(), Names::new(rules.rules()));
    for span in rest.strings() {
        let text = raw.get(span.raw.clone()).unwrap_or_default();
        if span.is_key {
            names.pass(text);
        }
        // Decoding and folding only make a text shorter.
        if text.len() < rules.match_bytes_min() {
            continue;
        }
        let form = if span.escaped { Form::EscapedJson } else { Form::Json };
        let name = if span.is_key { None } else { names.telling() };
        if name.is_some() {
            // What is known of a text was learned without a name.
            inspect_string(rules, Text { raw: text, at: span.raw, form, name }, direction, &mut inspected);
            continue;
        }
        if seen.contains(text) {
            continue;
        }
        let known = clean.and_then(|clean| Some((clean, clean.fingerprint(rules.rules(), text, form)?)));
        if known.is_some_and(|(clean, fingerprint)| clean.contains(fingerprint)) {
            continue;
        }
        let found =
            inspect_string(rules, Text { raw: text, at: span.raw, form, name }, direction, &mut inspected);
        match known {
            _ if found => {}
            Some((clean, fingerprint)) => clean.insert(fingerprint),
            // The same bytes are the same text, however they are written: only those with an escape have a backslash.
            None => seen.insert(text),
        }
    }
    for at in rest.long_integers() {
        inspect_string(rules, Text::number(raw, at, None), direction, &mut inspected);
    }
    for (name, at) in rest.named_integers() {
        names.pass(raw.get(name).unwrap_or_default());
        let name = names.telling();
        if name.is_some() {
            inspect_string(rules, Text::number(raw, at, name), direction, &mut inspected);
        }
    }
    // The numbers came last; edits go in order.
    inspected.splices.masks.sort_by_key(|splice| splice.range.start);
    inspected
}

/// Inspects a body that is plain text, or whose form is unknown.
pub(crate) fn text(rules: &TextRules, body: &[u8], direction: Direction) -> Inspected {
    let mut inspected = Inspected::default();
    if !rules.is_empty() {
        let text = Text { raw: body, at: 0..body.len(), form: Form::Plain, name: None };
        inspect_string(rules, text, direction, &mut inspected);
    }
    inspected
}

/// One text, as it stands in a body or an event.
pub(crate) struct Text<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) at: Range<usize>,
    pub(crate) form: Form,
    /// The name in front of it, where that may make a value of it.
    pub(crate) name: Option<Cow<'a, [u8]>>,
}

impl<'a> Text<'a> {
    pub(crate) fn number(body: &'a [u8], at: Range<usize>, name: Option<Cow<'a, [u8]>>) -> Self {
        Self { raw: body.get(at.clone()).unwrap_or_default(), at, form: Form::Number, name }
    }
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

/// Scans one text and adds what it finds. False if it is known to hold nothing, whatever follows it.
///
/// Of a request also what the text carries in other encodings: there is time, and agents write them.
pub(crate) fn inspect_string(
    rules: &TextRules,
    text: Text<'_>,
    direction: Direction,
    inspected: &mut Inspected,
) -> bool {
    let Text { raw, at, form, name } = text;
    let decoded = match form {
        Form::EscapedJson => unescape(raw),
        Form::Number => plain_integer(raw),
        Form::Plain | Form::Json => Cow::Borrowed(raw),
    };
    let scan = match direction {
        Direction::Request => {
            let found = match name {
                Some(name) => rules.rules().scan_member_deep(&name, &decoded),
                None => rules.rules().scan_deep(&decoded),
            };
            inspected.incomplete |= !found.complete;
            if found.goes_on && form != Form::Number {
                inspected.going_on.push(at.start);
            }
            if found.scan.clean() {
                return !found.complete || found.goes_on;
            }
            found.scan
        }
        Direction::Response => match name {
            Some(name) => rules.scan_member(&name, &decoded),
            None => rules.scan(&decoded),
        },
    };
    if scan.clean() {
        return false;
    }
    let mut ranges = RawRanges::new(raw, form);
    let mut position = |offsets: Range<u64>| {
        let range = ranges.of(offsets);
        at.start + range.start..at.start + range.end
    };
    for found in &scan.matches {
        let range = position(found.start..found.end);
        let range = (range.start as u64, range.end as u64);
        inspected.findings.add(found, direction, Cow::Borrowed("body"), range);
    }
    inspected.blocked.extend(scan.blocked.iter().map(|found| found.detector.id().to_string()));
    // A number is replaced whole: half of one beside a string would be no JSON.
    let edits_max = if form == Form::Number { 1 } else { usize::MAX };
    for edit in scan.edits.iter().take(edits_max) {
        let range = if form == Form::Number { at.clone() } else { position(edit.start..edit.end) };
        let text = remembered_text(edit, &decoded, &mut inspected.tokens);
        inspected.splices.add(edit, range, written(text, form));
    }
    let stays = |found: &Match| matches!(found.action, Action::Alert | Action::Block);
    if scan.blocked.is_some() || scan.matches.iter().any(stays) {
        let hidden = if form == Form::Number { HIDDEN_NUMBER } else { HIDDEN };
        inspected.hidden.push(Splice::new(at, hidden));
    }
    true
}

/// Where decoded offsets stand in the raw text; never inside an escape. One pass for ranges in the order of their starts.
pub(crate) struct RawRanges<'a> {
    len: usize,
    form: Form,
    offsets: RawOffsets<'a>,
}

impl<'a> RawRanges<'a> {
    pub(crate) fn new(raw: &'a [u8], form: Form) -> Self {
        Self { len: raw.len(), form, offsets: RawOffsets::new(raw) }
    }

    pub(crate) fn of(&mut self, offsets: Range<u64>) -> Range<usize> {
        let clamp = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(self.len);
        let (start, end) = (clamp(offsets.start), clamp(offsets.end));
        if self.form != Form::EscapedJson {
            return start..end;
        }
        let start = self.offsets.floor(start);
        // The next range may begin before this one ends.
        start..self.offsets.clone().ceil(end)
    }
}

/// The part of a text that an edit replaces.
fn covered<'t>(text: &'t [u8], edit: &Edit) -> &'t [u8] {
    let offset = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    text.get(offset(edit.start)..offset(edit.end)).unwrap_or_default()
}

/// The text that an edit of `text` puts in; of a token the value is remembered, or it is none.
pub(crate) fn remembered_text<'e>(edit: &'e Edit, text: &[u8], tokens: &mut TokenMap) -> &'e str {
    match &edit.replacement {
        Some(Replacement::Token(token)) if !tokens.insert(token, covered(text, edit)) => {
            token.placeholder().as_str()
        }
        _ => new_text(edit),
    }
}

/// The text that an edit puts in.
pub(crate) fn new_text(edit: &Edit) -> &str {
    edit.replacement.as_ref().map_or("", Replacement::as_str)
}

/// A text as it stands in the bytes around it.
pub(crate) fn written(text: &str, form: Form) -> Vec<u8> {
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

//! Values that are split over the parts of a conversation: a model reads them as one text, so they are one.
//!
//! 1. Texts that adjoin are scanned as one, with nothing between them and with a space, or a line break between
//!    messages. Of a long text only what is near its ends takes part: a few dozen characters tell whether a value may
//!    reach over an end at all, and most do not.
//! 2. Only a value that reaches over an end counts, and only if none of the texts holds one of the kind that is
//!    complete: `see` and `jane@example.com` are two texts, not one address.
//! 3. What takes the value's place stands in the first text; the others lose their part.

mod chains;
mod pieces;

use super::Effort;
use super::disjoint::{Disjoint, Edits};
use super::known::CleanTexts;
use super::whole::{Form, HIDDEN, Inspected, RawRanges, remembered_text, written};
use bulkhead_dialect::request::TextPart;
use bulkhead_dlp::{Action, DeepScan, DetectorId, Edit, Match, RuleSet};
use bulkhead_policy::trace::Direction;
use chains::{Chain, Ends, Segment, chains};
pub(crate) use chains::{REACH_BYTES, visible_len_of};
use pieces::Allowance;
use std::borrow::Cow;
use std::collections::HashMap;
use std::mem;
use std::ops::Range;

/// How many texts are tried without their neighbours.
const FEW_TEXTS: usize = 6;

/// Bytes of a text that lies in the middle of a value, at most; a longer one can only end or begin it there.
const COVERED_BYTES_MAX: usize = 64;

/// What may stand between the parts of a message, and between messages.
const JOINTS: [[&str; 2]; 2] = [["", ""], [" ", "\n"]];

/// One way of joining a chain.
struct Joined<'c, 'a> {
    segments: &'c [Segment<'a>],
    text: Vec<u8>,
    /// Where each segment stands in the text.
    places: Vec<Range<usize>>,
}

/// What was found, by where it stands in the body.
#[derive(Default)]
struct Found {
    masks: Edits,
    hidden: Edits,
    /// The values that reach over an end, by their detectors: another way to cut may show a part of the same value.
    split: HashMap<DetectorId, Disjoint<()>>,
    /// What segments hold by themselves, by where they stand: each is asked about in many ways to join it.
    alone: HashMap<Range<usize>, Vec<Match>>,
}

impl Found {
    fn of(inspected: &mut Inspected) -> Self {
        Self {
            masks: mem::take(&mut inspected.splices.masks).into(),
            hidden: mem::take(&mut inspected.hidden).into(),
            split: HashMap::new(),
            alone: HashMap::new(),
        }
    }
}

/// Adds to `inspected` the values that reach over texts which adjoin. False where little effort was not enough.
pub(crate) fn inspect(
    rules: &RuleSet,
    raw: &[u8],
    parts: &[TextPart],
    clean: &CleanTexts,
    effort: Effort,
    inspected: &mut Inspected,
) -> bool {
    let stretches = stretches(rules, raw, parts, clean, &inspected.going_on);
    join(rules, raw, parts, stretches, clean, effort, inspected)
}

/// Whether a chain joined has anything that a closer look may show to be a value. What `clean` knows is not scanned again.
fn may_hold_value(rules: &RuleSet, chain: &Chain<'_>, clean: &CleanTexts) -> bool {
    let texts = chain.iter().map(|segment| (&*segment.text, segment.begins_message));
    let fingerprint = clean.fingerprint_of_parts(rules, texts);
    if clean.contains(fingerprint) {
        return false;
    }
    let holds_nothing = ways_to_join(chain).all(|joined| is_clean(&rules.scan_deep(&joined.text)));
    if holds_nothing {
        clean.insert(fingerprint);
    }
    !holds_nothing
}

/// Looks at stretches of parts with all that can belong to a value. False where little effort was not enough.
fn join(
    rules: &RuleSet,
    raw: &[u8],
    parts: &[TextPart],
    stretches: impl IntoIterator<Item = Range<usize>>,
    clean: &CleanTexts,
    effort: Effort,
    inspected: &mut Inspected,
) -> bool {
    let mut stretches = stretches.into_iter().peekable();
    if stretches.peek().is_none() {
        return true;
    }
    let mut found = Found::of(inspected);
    let mut allowance = Allowance::new(effort);
    for stretch in stretches {
        for chain in &chains(parts, stretch, |index, part| Ends::in_reach(raw, index, part)) {
            for joined in ways_to_join(chain) {
                joined.inspect(rules, Some(clean), &mut found, inspected);
            }
            pieces::ways_to_join(chain, &mut allowance, |joined| {
                joined.inspect(rules, None, &mut found, inspected);
            });
        }
    }
    inspected.splices.masks = found.masks.into();
    inspected.hidden = found.hidden.into();
    inspected.incomplete |= allowance.is_used_up();
    effort == Effort::Full || !allowance.is_used_up()
}

/// The stretches of parts in which a value may reach over an end.
fn stretches(
    rules: &RuleSet,
    raw: &[u8],
    parts: &[TextPart],
    clean: &CleanTexts,
    going_on: &[usize],
) -> Vec<Range<usize>> {
    let goes_on = |segment: &Segment<'_>| going_on.binary_search(&segment.string.start).is_ok();
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for chain in chains(parts, 0..parts.len(), |index, part| Ends::near(raw, index, part)) {
        let (Some(first), Some(last)) = (chain.first(), chain.last()) else { continue };
        let stretch = first.part..last.part + 1;
        let may_reach_over = chain.iter().any(goes_on)
            || pieces::runs(&chain).next().is_some()
            || may_hold_value(rules, &chain, clean);
        match stretches.last_mut() {
            _ if !may_reach_over => {}
            Some(before) if stretch.start < before.end => before.end = stretch.end,
            _ => stretches.push(stretch),
        }
    }
    stretches
}

/// A chain as a whole, and every few texts of it alone with nothing between them: what stands before and behind them may
/// touch a value so that it looks like a part of a word. Between the first and the last only texts that a value can
/// cover are of interest.
fn ways_to_join<'c, 'a>(chain: &'c Chain<'a>) -> impl Iterator<Item = Joined<'c, 'a>> {
    let is_short = |segment: &Segment<'_>| segment.text.len() <= COVERED_BYTES_MAX;
    let few = (0..chain.len()).flat_map(move |from| {
        let behind = chain.iter().skip(from + 1).take(FEW_TEXTS - 2);
        let inner = behind.take_while(|segment| is_short(segment)).count();
        let last = (from + 1 + inner).min(chain.len().saturating_sub(1));
        (from + 1..=last).filter_map(move |to| chain.get(from..=to))
    });
    let [glued, _] = JOINTS;
    let few = few.filter(|few| few.len() < chain.len()).map(move |few| Joined::new(few, glued));
    // Where there is white space at each joint, more of it shows nothing new.
    let joints = if chain.array_windows().all(are_apart) { 1 } else { JOINTS.len() };
    JOINTS.into_iter().take(joints).map(|joints| Joined::new(chain, joints)).chain(few)
}

fn are_apart([left, right]: &[Segment<'_>; 2]) -> bool {
    let [last, first] = [left.text.last(), right.text.first()];
    [last, first].into_iter().flatten().any(u8::is_ascii_whitespace)
}

impl<'c, 'a> Joined<'c, 'a> {
    fn new(segments: &'c [Segment<'a>], [between_parts, between_messages]: [&'static str; 2]) -> Self {
        Self::with(
            segments,
            |_, segment| if segment.begins_message { between_messages } else { between_parts },
        )
    }

    /// The texts with what `joint` gives in front of each but the first.
    fn with(segments: &'c [Segment<'a>], joint: impl Fn(usize, &Segment<'a>) -> &'static str) -> Self {
        let (mut text, mut places) = (Vec::new(), Vec::new());
        for (at, segment) in segments.iter().enumerate() {
            if !text.is_empty() {
                text.extend_from_slice(joint(at, segment).as_bytes());
            }
            places.push(text.len()..text.len() + segment.text.len());
            text.extend_from_slice(&segment.text);
        }
        Self { segments, text, places }
    }

    /// Adds the values that reach over an end. What `clean` knows is not scanned again.
    fn inspect(
        &self,
        rules: &RuleSet,
        clean: Option<&CleanTexts>,
        found: &mut Found,
        inspected: &mut Inspected,
    ) {
        let known = clean.and_then(|clean| Some((clean, clean.fingerprint(rules, &self.text, Form::Plain)?)));
        if known.is_some_and(|(clean, fingerprint)| clean.contains(fingerprint)) {
            return;
        }
        let scanned = rules.scan_deep(&self.text);
        inspected.incomplete |= !scanned.complete;
        if is_clean(&scanned) {
            known.into_iter().for_each(|(clean, fingerprint)| clean.insert(fingerprint));
        }
        let is_new = |value: &&Match| self.is_split(rules, value, found) && !self.is_known(value, found);
        let split: Vec<&Match> = scanned.scan.matches.iter().filter(is_new).collect();
        split.iter().for_each(|value| self.add(value, found, inspected));
        let spans: Disjoint<()> = split.iter().map(|value| span(value.start, value.end)).collect();
        let masks = |edit: &&Edit| spans.overlaps(&span(edit.start, edit.end));
        scanned.scan.edits.iter().filter(masks).for_each(|edit| self.mask(edit, found, inspected));
        for value in split {
            let known = found.split.entry(value.detector.id().clone()).or_default();
            self.in_body(value).for_each(|place| known.insert(place, ()));
        }
    }

    /// The segments that a span touches, and where in their texts.
    fn touched(&self, start: u64, end: u64) -> impl Iterator<Item = (&'c Segment<'a>, Range<usize>)> {
        let Range { start, end } = span(start, end);
        let first = self.places.partition_point(|place| place.end <= start);
        let segments = self.segments.iter().zip(&self.places).skip(first);
        let touched = segments.take_while(move |(_, place)| place.start < end);
        touched.filter(|(_, place)| !place.is_empty()).map(move |(segment, place)| {
            let within = |at: usize| at.clamp(place.start, place.end) - place.start;
            (segment, within(start)..within(end))
        })
    }

    /// Whether a value needs more than one text, or the word that tells it does.
    fn is_split(&self, rules: &RuleSet, value: &Match, found: &mut Found) -> bool {
        let needs_context = !value.detector.context().is_empty();
        if self.touched(value.start, value.end).nth(1).is_none() && !needs_context {
            return false;
        }
        // A block without an upper length is never complete where its text ends.
        value.detector.max_len().is_none()
            || !self.touched(value.start, value.end).any(|(segment, span)| {
                let (start, end) = (span.start as u64, span.end as u64);
                let alone = found.alone.entry(segment.at.clone());
                let alone = alone.or_insert_with(|| rules.scan_deep(&segment.text).scan.matches);
                let same = |other: &Match| other.detector.id() == value.detector.id();
                alone.iter().any(|other| same(other) && other.start < end && start < other.end)
            })
    }

    /// The parts of a value in the body.
    fn in_body(&self, found: &Match) -> impl Iterator<Item = Range<usize>> {
        self.touched(found.start, found.end).map(|(segment, span)| in_body(segment, span))
    }

    /// Whether the same detector has found this, or some of it, already.
    fn is_known(&self, value: &Match, found: &Found) -> bool {
        let known = found.split.get(value.detector.id());
        known.is_some_and(|known| self.in_body(value).any(|place| known.overlaps(&place)))
    }

    fn add(&self, value: &Match, found: &mut Found, inspected: &mut Inspected) {
        let mut touched = self.touched(value.start, value.end);
        let Some((first, span)) = touched.next() else { return };
        let at = in_body(first, span);
        let at = (at.start as u64, at.end as u64);
        inspected.findings.add(value, Direction::Request, Cow::Borrowed("body"), at);
        if !matches!(value.action, Action::Alert | Action::Block) {
            return;
        }
        if value.action == Action::Block {
            inspected.blocked.insert(value.detector.id().to_string());
        }
        for (segment, _) in std::iter::once((first, 0..0)).chain(touched) {
            found.hidden.insert(segment.string.clone(), Cow::Borrowed(HIDDEN));
        }
    }

    fn mask(&self, edit: &Edit, found: &mut Found, inspected: &mut Inspected) {
        let mut text = remembered_text(edit, &self.text, &mut inspected.tokens);
        for (segment, span) in self.touched(edit.start, edit.end) {
            found.masks.insert(in_body(segment, span), written(text, segment.form).into());
            text = "";
        }
    }
}

/// Whether nothing was found, nothing goes on and nothing was decoded, so that more of the texts shows no more.
fn is_clean(found: &DeepScan) -> bool {
    found.scan.clean() && found.complete && !found.goes_on && !found.decoded
}

fn span(start: u64, end: u64) -> Range<usize> {
    let offset = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    offset(start)..offset(end)
}

fn in_body(segment: &Segment<'_>, span: Range<usize>) -> Range<usize> {
    let range = RawRanges::new(segment.raw, segment.form).of(span.start as u64..span.end as u64);
    segment.at.start + range.start..segment.at.start + range.end
}

#[cfg(test)]
mod tests;

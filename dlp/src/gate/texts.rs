//! Finds the fixed texts of all detectors by three bytes that each of them has.
//!
//! Of every text two windows of three bytes are known that overlap by two. One of them stands at an even place,
//! so every second place need not be looked at. Windows are chosen that are rare in prose and code.

use std::ops::BitOr;
use std::sync::Arc;

use memchr::memchr;

use super::positions::Place;
use super::{FixedText, Stop, TEXT_BYTES_MIN, is_word_before, takes};
use crate::detector::Detector;

/// The bits of a byte that are the same in both cases of a letter.
const CASELESS: u8 = 0x5f;

/// The same for a window.
const KEY_MASK: u32 = u32::from_le_bytes([CASELESS, CASELESS, CASELESS, 0]);

/// The bytes of two windows.
const WINDOW_BYTES: usize = 4;

/// How far behind the start of a match its windows may stand.
const OFFSET_MAX: usize = 16;

/// A match whose windows have more forms is better found by something else.
const FORMS_MAX: usize = 1100;

/// How many slots there are, as a power of two: so many that few windows of other texts share one.
const SLOT_BITS: u32 = 17;

/// The bytes read for four windows.
const STRIDE: usize = 9;

/// Two windows of a match: which bytes can stand where.
#[derive(Debug)]
pub(crate) struct Window {
    offset: usize,
    places: [Place; WINDOW_BYTES],
}

impl Window {
    /// The windows that are rarest in ordinary text, if they are rare; `places` are those of a match's first bytes.
    pub(super) fn rarest(places: &[Place]) -> Option<Self> {
        let any: Place = (0..=u8::MAX).collect();
        let count = places.len();
        let padded: Vec<&Place> = places.iter().chain((count..WINDOW_BYTES).map(|_| &any)).collect();
        let windows = padded.array_windows::<WINDOW_BYTES>().enumerate().take(OFFSET_MAX);
        let windows = windows.map(|(offset, places)| Self { offset, places: places.map(Clone::clone) });
        let fitting = windows.filter(|window| window.form_count() <= FORMS_MAX);
        fitting.min_by(|left, right| left.frequency().total_cmp(&right.frequency()))
    }

    /// Both windows in every form, for what stands at `sought`.
    fn entries(&self, sought: u32) -> Vec<Entry> {
        let [a, b, c, d] = self.places.each_ref().map(folded);
        let mut entries = Vec::new();
        for (places, fourth, earlier) in [([&a, &b, &c], &d, true), ([&b, &c, &d], &a, false)] {
            let [firsts, seconds, thirds] = places;
            let fourth = fourth.first().copied().filter(|_| fourth.len() == 1);
            let offset = narrow(self.offset + usize::from(!earlier));
            let pairs = firsts.iter().flat_map(|first| seconds.iter().map(move |second| (*first, *second)));
            let keys = pairs
                .flat_map(|(first, second)| thirds.iter().map(move |third| key([first, second, *third])));
            entries.extend(keys.map(|key| Entry { key, fourth, earlier, offset, sought }));
        }
        entries
    }

    /// How many forms the windows have.
    fn form_count(&self) -> usize {
        let [a, b, c, d] = self.places.each_ref().map(|bytes| folded(bytes).len());
        a * b * c + b * c * d
    }

    /// Whether they meet less of ordinary text than long words do.
    pub(super) fn is_rare(&self) -> bool {
        self.frequency() < 300_000.0
    }

    /// How many of a billion windows of ordinary text are these, were every byte by itself.
    fn frequency(&self) -> f64 {
        let [a, b, c, d] = self.places.each_ref().map(folded);
        let of = |places: [&Place; TEXT_BYTES_MIN]| -> f64 {
            let each = places.map(|bytes| bytes.iter().copied().map(frequency).sum::<f64>());
            // Dashes and the like come in lines of them.
            let [first, second, third] = places;
            let repeated = first.len() == 1 && first == second && second == third;
            each.iter().product::<f64>() * if repeated { 100.0 } else { 1.0 }
        };
        of([&a, &b, &c]) + of([&b, &c, &d])
    }
}

/// What is looked for, and what tells that it is there.
#[derive(Debug)]
struct Sought {
    window: Window,
    what: What,
}

/// What a window may belong to.
#[derive(Debug)]
enum What {
    Text {
        text: FixedText,
        /// The longest match in bytes.
        reach: usize,
    },
    Detector(Arc<Detector>),
}

/// A text or another thing to look for.
#[derive(Debug)]
pub(super) struct Wanted(Option<Sought>);

impl Wanted {
    pub(super) fn text(text: &FixedText, reach: usize) -> Self {
        let places: Vec<Place> = text.bytes.iter().map(|&byte| Place::from([byte])).collect();
        let window = Window::rarest(&places);
        Self(window.map(|window| Sought { window, what: What::Text { text: text.clone(), reach } }))
    }

    /// A context word. Whether it starts a word is seen later, and so is where its match starts.
    pub(super) fn context(word: &str) -> Self {
        Self::text(&FixedText { at_word_start: false, ..FixedText::in_any_case(word, false) }, 0)
    }

    pub(super) fn window(window: &Window, detector: Arc<Detector>) -> Self {
        let Window { offset, places } = window;
        let window = Window { offset: *offset, places: places.clone() };
        Self(Some(Sought { window, what: What::Detector(detector) }))
    }
}

impl What {
    fn starts_at(&self, text: &[u8], start: usize) -> bool {
        match self {
            Self::Text { text: fixed, reach } => fixed.starts_at(text, start, *reach),
            Self::Detector(detector) => !is_word_before(text, start) && takes(detector, text, start),
        }
    }
}

impl FixedText {
    fn starts_at(&self, text: &[u8], start: usize, reach: usize) -> bool {
        let behind = text.get(start..).unwrap_or_default();
        // Where the text ends before the fixed one does, that may go on behind it.
        let found = behind.get(..self.bytes.len()).unwrap_or(behind);
        let expected = self.bytes.get(..found.len()).unwrap_or_default();
        let same = if self.ignore_case { found.eq_ignore_ascii_case(expected) } else { found == expected };
        let is_cut = found.len() < self.bytes.len();
        same && !(self.at_word_start && is_word_before(text, start))
            && (is_cut
                || self.then.is_none_or(|byte| {
                    let end = text.len().min(start.saturating_add(reach));
                    text.get(start..end).is_some_and(|reach| memchr(byte, reach).is_some())
                }))
    }
}

/// One window of something sought.
#[derive(Debug)]
struct Entry {
    key: u32,
    /// The byte of the other window, folded, if there is only one: most windows of other texts have another.
    fourth: Option<u8>,
    /// Whether it is the earlier window, so that the fourth byte stands behind it.
    earlier: bool,
    /// How far behind the start of a match the window stands.
    offset: u32,
    /// The place of what it belongs to.
    sought: u32,
}

/// Looks for windows.
#[derive(Debug)]
pub(super) struct TextFinder {
    /// A bit per slot: whether a window has it.
    known: Box<[u64; 1 << (SLOT_BITS - 6)]>,
    /// By slot.
    entries: Vec<Entry>,
    /// Of so many slots together, as a power of two: where their entries begin; and the end.
    buckets: Vec<u32>,
    bucket_bits: u32,
    sought: Vec<What>,
}

impl TextFinder {
    /// `None` if there is nothing to look for.
    pub(super) fn new(wanted: Vec<Wanted>) -> Option<Self> {
        let mut entries = Vec::new();
        let mut sought = Vec::new();
        for Sought { window, what } in wanted.into_iter().filter_map(|wanted| wanted.0) {
            entries.extend(window.entries(narrow(sought.len())));
            sought.push(what);
        }
        entries.sort_by_key(|entry| slot(entry.key));
        let mut known = Box::new([0; 1 << (SLOT_BITS - 6)]);
        for entry in &entries {
            let slot = slot(entry.key);
            if let Some(bits) = known.get_mut(slot as usize / 64) {
                *bits |= 1_u64 << (slot % 64);
            }
        }
        // About one entry each.
        let bucket_bits = SLOT_BITS.saturating_sub(entries.len().max(1).ilog2());
        let slots = (0..=1_u32 << SLOT_BITS).step_by(1 << bucket_bits);
        let begin = |bucket: u32| narrow(entries.partition_point(|entry| slot(entry.key) < bucket));
        let buckets = slots.map(begin).collect();
        (!entries.is_empty()).then_some(Self { known, entries, buckets, bucket_bits, sought })
    }

    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Stop> {
        let mut at = from;
        // Four windows at once: one branch instead of four, and nearly always it is not taken.
        while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<STRIDE>) {
            let keys = keys(bytes);
            if keys.map(|key| self.knows(key)).into_iter().fold(0, BitOr::bitor) & 1 != 0 {
                for (key, at) in keys.into_iter().zip((at..).step_by(2)) {
                    if self.knows(key) & 1 != 0
                        && let Some(stop) = self.look_closer(text, from, at, key)
                    {
                        return Some(stop);
                    }
                }
            }
            at += 8;
        }
        // The second window of a text of three bytes ends one byte behind it.
        while let Some([first, second, rest @ ..]) = text.get(at..) {
            let key = key([*first, *second, rest.first().copied().unwrap_or_default()]);
            if self.knows(key) & 1 != 0
                && let Some(stop) = self.look_closer(text, from, at, key)
            {
                return Some(stop);
            }
            at += 2;
        }
        None
    }

    /// Whether something has a window like this: in the lowest bit, without a branch.
    #[inline]
    fn knows(&self, key: u32) -> u64 {
        let slot = slot(key);
        self.known.get(slot as usize / 64).copied().unwrap_or_default() >> (slot % 64)
    }

    #[inline(never)]
    fn look_closer(&self, text: &[u8], from: usize, at: usize, key: u32) -> Option<Stop> {
        let bucket = slot(key) as usize >> self.bucket_bits;
        let &[first, end] = self.buckets.get(bucket..)?.first_chunk()?;
        let entries = self.entries.get(first as usize..end as usize)?.iter();
        let folded = |at: usize| text.get(at).map(|byte| byte & CASELESS);
        let (before, after) = (at.checked_sub(1).and_then(folded), folded(at + TEXT_BYTES_MIN));
        let fits = |entry: &&Entry| {
            entry.key == key
                && (entry.fourth.is_none() || entry.fourth == if entry.earlier { after } else { before })
        };
        let starts = entries.filter(fits).filter_map(|entry| {
            let start = at.checked_sub(entry.offset as usize).filter(|start| *start >= from)?;
            self.sought.get(entry.sought as usize)?.starts_at(text, start).then_some(start)
        });
        // What has a window further on may start earlier, by no more than this.
        starts.min().map(|start| Stop { start: at.saturating_sub(OFFSET_MAX), window: start })
    }
}

/// Letters of both cases are one byte.
fn folded(bytes: &Place) -> Place {
    bytes.iter().map(|byte| byte & CASELESS).collect()
}

/// A window as a number, letters of both cases as one.
#[inline]
fn key([a, b, c]: [u8; TEXT_BYTES_MIN]) -> u32 {
    u32::from_le_bytes([a, b, c, 0]) & KEY_MASK
}

/// The windows at the even places of nine bytes: from one load instead of twelve.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a key is the low three bytes")]
fn keys(&[a, b, c, d, e, f, g, h, i]: &[u8; STRIDE]) -> [u32; STRIDE / 2] {
    let eight = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let last = eight >> 48 | u64::from(i) << 16;
    [eight, eight >> 16, eight >> 32, last].map(|bytes| bytes as u32 & KEY_MASK)
}

/// The place of a key in the table of bits.
#[inline]
fn slot(key: u32) -> u32 {
    // Multiplying by 2^32 divided by the golden ratio spreads keys evenly over the high bits.
    key.wrapping_mul(0x9e37_79b1) >> (u32::BITS - SLOT_BITS)
}

/// There are far fewer than 2^32 of anything here.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// How many of a thousand bytes of prose and code are this one, roughly.
fn frequency(folded: u8) -> f64 {
    match folded {
        // A space without its case bit.
        0x00 => 170.0,
        b'E' => 90.0,
        b'T' => 70.0,
        b'A' | b'O' | b'I' | b'N' | b'S' | b'R' => 55.0,
        b'L' | b'D' | b'C' | b'U' | b'M' | b'P' => 28.0,
        b'H' | b'F' | b'G' | b'B' | b'Y' => 16.0,
        b'W' | b'V' | b'K' | b'X' | b'_' => 8.0,
        b'J' | b'Q' | b'Z' => 2.0,
        // '*' is a line feed without its case bit.
        0x0a..=0x0f | 0x1a => 12.0,
        0x10..=0x19 => 4.0,
        _ => 3.0,
    }
}

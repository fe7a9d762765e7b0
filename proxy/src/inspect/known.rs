//! What was clean before in requests: texts, texts side by side, and beginnings of conversations.
//!
//! 1. What is remembered is a keyed fingerprint, never a text. The key is random and never leaves the process.
//! 2. A fingerprint covers the text's raw bytes, how they are written and the rule set that judged them, so a
//!    text that is clean for one policy says nothing about another.
//! 3. Only what has no finding at all is remembered: they need no edit, no finding and no verdict.
//! 4. The table has a fixed size. A new fingerprint takes an old one's place, and then that text is scanned again.

use super::whole::Form;
use bulkhead_dlp::RuleSet;
use highway::{HighwayHash, HighwayHasher, Key};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shorter texts are scanned as quickly as they are looked up.
const TEXT_BYTES_MIN: usize = 24;
/// Buckets of the table; with four fingerprints of 8 bytes each it takes 4 MiB.
const BUCKETS: usize = 1 << 17;
const BUCKET: usize = 4;
/// What is no [`Form`] of one text.
const PARTS: u64 = 1 << 32;
const BEGINNINGS: u64 = 2 << 32;

/// The fingerprints of what is clean; shared by all requests of a process.
pub(crate) struct CleanTexts {
    key: [u64; 4],
    buckets: Box<[[AtomicU64; BUCKET]]>,
}

/// Where a fingerprint stands, or would stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint {
    bucket: usize,
    /// Which place of a full bucket it takes.
    place: usize,
    tag: u64,
}

impl CleanTexts {
    /// An empty table with a random key.
    pub(crate) fn new() -> Self {
        // The standard library's hasher has its 128 bits from the operating system.
        let random = RandomState::new();
        let key = [0, 1, 2, 3].map(|part: u64| random.hash_one(part));
        let empty = || [const { AtomicU64::new(0) }; BUCKET];
        Self { key, buckets: std::iter::repeat_with(empty).take(BUCKETS).collect() }
    }

    /// The fingerprint of a text under the rules; none for texts that are too short to gain by it.
    pub(crate) fn fingerprint(&self, rules: &RuleSet, raw: &[u8], form: Form) -> Option<Fingerprint> {
        (raw.len() >= TEXT_BYTES_MIN).then(|| self.finish(self.hasher(rules, form as u64).hash128(raw)))
    }

    /// The fingerprint of texts that adjoin, each with whether it begins a message: that of no other texts, and of no
    /// text that looks like all of them.
    pub(crate) fn fingerprint_of_parts<'t>(
        &self,
        rules: &RuleSet,
        parts: impl IntoIterator<Item = (&'t [u8], bool)>,
    ) -> Fingerprint {
        let mut hasher = self.hasher(rules, PARTS);
        for (text, begins_message) in parts {
            hasher.append(&(text.len() as u64 * 2 + u64::from(begins_message)).to_le_bytes());
            hasher.append(text);
        }
        self.finish(hasher.finalize128())
    }

    /// The fingerprints of a conversation's beginnings: of its first message, of the first two, and so on.
    pub(crate) fn fingerprints_of_beginnings<'t>(
        &self,
        rules: &RuleSet,
        messages: impl IntoIterator<Item = &'t [u8]>,
    ) -> Vec<Fingerprint> {
        let mut hasher = self.hasher(rules, BEGINNINGS);
        let beginnings = messages.into_iter().map(|message| {
            hasher.append(&(message.len() as u64).to_le_bytes());
            hasher.append(message);
            self.finish(hasher.clone().finalize128())
        });
        beginnings.collect()
    }

    fn hasher(&self, rules: &RuleSet, what: u64) -> HighwayHasher {
        let [first, rules_part, what_part, last] = self.key;
        HighwayHasher::new(Key([first, rules_part ^ rules.id(), what_part ^ what, last]))
    }

    fn finish(&self, [low, high]: [u64; 2]) -> Fingerprint {
        let bucket = usize::try_from(low).unwrap_or_default() % self.buckets.len();
        // Zero stands for an empty place.
        Fingerprint { bucket, place: (low >> 32) as usize % BUCKET, tag: high | 1 }
    }

    /// Whether what has this fingerprint was clean.
    pub(crate) fn contains(&self, text: Fingerprint) -> bool {
        self.bucket(text).iter().any(|tag| tag.load(Ordering::Relaxed) == text.tag)
    }

    /// Remembers that it was clean.
    pub(crate) fn insert(&self, text: Fingerprint) {
        let bucket = self.bucket(text);
        let empty = bucket.iter().find(|tag| tag.load(Ordering::Relaxed) == 0);
        if let Some(place) = empty.or_else(|| bucket.get(text.place)) {
            place.store(text.tag, Ordering::Relaxed);
        }
    }

    fn bucket(&self, text: Fingerprint) -> &[AtomicU64] {
        self.buckets.get(text.bucket).map_or(&[], |bucket| bucket.as_slice())
    }
}

/// Short texts of one body that were clean, to be compared with: members' names and their usual values come again and
/// again.
#[derive(Debug)]
pub(crate) struct SeenTexts<'a>([&'a [u8]; SEEN]);

/// How many are remembered; one takes another's place.
const SEEN: usize = 128;

impl<'a> SeenTexts<'a> {
    pub(crate) fn new() -> Self {
        Self([&[]; SEEN])
    }

    /// Whether the same text was seen before.
    pub(crate) fn contains(&self, text: &[u8]) -> bool {
        self.0.get(place(text)).is_some_and(|seen| *seen == text)
    }

    pub(crate) fn insert(&mut self, text: &'a [u8]) {
        if let Some(seen) = self.0.get_mut(place(text)) {
            *seen = text;
        }
    }
}

/// A caller that chose its texts to share places would only have them scanned.
fn place(text: &[u8]) -> usize {
    let byte = |at: usize| text.get(at).copied().map_or(0, usize::from);
    (text.len() * 7 + byte(0) * 11 + byte(text.len() / 2) * 13 + byte(text.len().wrapping_sub(1))) % SEEN
}

impl fmt::Debug for CleanTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever knows the key could look for texts that share a fingerprint.
        f.debug_struct("CleanTexts").field("buckets", &self.buckets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

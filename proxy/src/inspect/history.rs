//! What of a conversation was clean before: agents send all of it with every turn, and add to its end.
//!
//! 1. A conversation is the list of its messages in the order in which a model reads them. Of each beginning of the list
//!    there is a fingerprint; it is remembered up to the first message in which anything was found.
//! 2. The strings of a beginning that is remembered are the same bytes under the same rules: they are not scanned again.
//! 3. Nor are its texts joined again, but for those from which a value may reach over its end, into what is new.

use super::joined::{REACH_BYTES, visible_len_of};
use super::known::{CleanTexts, Fingerprint};
use super::whole::Inspected;
use bulkhead_dialect::json::{Document, Value};
use bulkhead_dialect::request::{Texts, messages, texts};
use bulkhead_dlp::RuleSet;

/// Longer conversations are remembered as far as this: a body of a few megabytes may hold millions of empty messages.
const MESSAGES_MAX: usize = 8192;

/// The messages of one request.
pub(crate) struct History<'d, 'a> {
    document: &'d Document<'a>,
    /// The first of them.
    messages: Vec<Value<'d, 'a>>,
    /// Of the beginning that ends with the message.
    fingerprints: Vec<Fingerprint>,
    /// How many messages are the beginning that is known.
    known: usize,
}

impl<'d, 'a> History<'d, 'a> {
    pub(crate) fn of(document: &'d Document<'a>, rules: &RuleSet, clean: &CleanTexts) -> Self {
        let messages: Vec<_> = messages(document).take(MESSAGES_MAX).collect();
        let raw = |message: &Value<'_, '_>| document.raw().get(message.raw()).unwrap_or_default();
        let fingerprints = clean.fingerprints_of_beginnings(rules, messages.iter().map(raw));
        let known = fingerprints.partition_point(|&beginning| clean.contains(beginning));
        // One that was forgotten leads the search astray.
        let is_known = |&known: &usize| fingerprints.get(known - 1).is_some_and(|&last| clean.contains(last));
        let known = Some(known).filter(|&known| known > 0).filter(is_known).unwrap_or(0);
        Self { document, messages, fingerprints, known }
    }

    /// The messages whose strings are known to be clean.
    pub(crate) fn known(&self) -> &[Value<'d, 'a>] {
        self.messages.get(..self.known).unwrap_or_default()
    }

    /// The texts that adjoin and over whose ends a value may reach: the new ones and those near them.
    pub(crate) fn texts(&self) -> Texts {
        let mut left = REACH_BYTES;
        let near = self.known().iter().rev().map(|&message| texts(message)).take_while(|texts| {
            let is_near = left > 0;
            let visible = |text| visible_len_of(self.document.raw(), text);
            left = texts.parts.iter().map(visible).fold(left, usize::saturating_sub);
            is_near
        });
        let mut near: Vec<_> = near.collect();
        near.reverse();
        let new = messages(self.document).skip(self.known).map(texts);
        near.into_iter().chain(new).collect()
    }

    /// Remembers what of it was clean.
    pub(crate) fn remember(&self, inspected: &Inspected, clean: &CleanTexts) {
        if inspected.incomplete {
            return;
        }
        let mut found: Vec<usize> = inspected.touched().chain(inspected.going_on.iter().copied()).collect();
        found.sort_unstable();
        let is_clean = |message: &Value<'_, '_>| {
            let at = message.raw();
            let next = found.partition_point(|&found| found < at.start);
            found.get(next).is_none_or(|&found| found >= at.end)
        };
        let new = self.messages.iter().zip(&self.fingerprints).skip(self.known);
        new.take_while(|(message, _)| is_clean(message)).for_each(|(_, &beginning)| clean.insert(beginning));
    }
}

#[cfg(test)]
mod tests;

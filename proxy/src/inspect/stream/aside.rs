//! What of an event belongs to no text that goes on over events.

use super::{Stop, StreamInspector};
use crate::inspect::whole::{Form, Inspected, Text, inspect_string};
use bulkhead_dialect::sse::Frame;
use bulkhead_dlp::Action;
use bulkhead_policy::trace::Direction;
use std::borrow::Cow;
use std::collections::BTreeSet;

impl StreamInspector {
    /// Scans a text that belongs to no channel.
    /// `named` is the text with the name in front of it, as they stand in the event.
    pub(super) fn scan_whole<'a>(
        &mut self,
        text: Text<'a>,
        named: &[u8],
        name: impl FnOnce() -> Option<Cow<'a, [u8]>>,
        into: &mut Inspected,
    ) {
        // Only here the bytes alone say which text it is.
        let is_plain = text.form == Form::Json;
        if is_plain && self.repeats.knows(named) {
            return;
        }
        let found = inspect_string(&self.rules, Text { name: name(), ..text }, Direction::Response, into);
        if is_plain && !found {
            self.repeats.note_clean(named);
        }
    }

    /// Comments, ids, event names and unknown fields: nobody has a reason to put a value there.
    pub(super) fn inspect_around_data(&mut self, frame: &Frame) -> Result<(), Stop> {
        if self.rules.rules().is_empty() {
            return Ok(());
        }
        let raw = frame.raw();
        let (before, after) = match frame.data_range() {
            Some(data) => {
                (raw.get(..data.start).unwrap_or_default(), raw.get(data.end..).unwrap_or_default())
            }
            // No data, or several lines of it: whatever is in those is scanned again as one text.
            None => (raw.as_ref(), &[][..]),
        };
        let mut hiding = BTreeSet::new();
        for fields in [before, after] {
            if self.repeats.knows(fields) {
                continue;
            }
            let scan = self.rules.rules().scan(fields);
            if scan.clean() {
                self.repeats.note_clean(fields);
            }
            for found in &scan.matches {
                let label = Cow::Borrowed("event fields");
                self.findings.add(found, Direction::Response, label, (found.start, found.end));
            }
            let found = scan.matches.iter().filter(|found| found.action != Action::Alert);
            hiding.extend(found.map(|found| found.detector.id().to_string()));
        }
        if hiding.is_empty() { Ok(()) } else { Err(Stop::Blocked(hiding)) }
    }
}

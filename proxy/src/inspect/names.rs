//! Names of members, as far as they may make a value of what they name: `password`, `ssn`.

use bulkhead_dialect::json::unescape;
use bulkhead_dlp::RuleSet;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Names that are remembered, so that the same few of a body are asked about once.
const ASKED_MAX: usize = 12;

/// The name in front of the string at hand. An element of a list has that of the list.
pub(crate) struct Names<'a> {
    rules: &'a RuleSet,
    last: &'a [u8],
    asked: SmallVec<[(&'a [u8], bool); ASKED_MAX]>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(rules: &'a RuleSet) -> Self {
        Self { rules, last: &[], asked: SmallVec::new() }
    }

    /// Takes the raw bytes of a name.
    pub(crate) fn pass(&mut self, name: &'a [u8]) {
        self.last = name;
    }

    /// The last name, if what it names may be a value because of it.
    pub(crate) fn telling(&mut self) -> Option<Cow<'a, [u8]>> {
        let name = self.last;
        // Empty is what nobody has named.
        if name.is_empty() {
            return None;
        }
        let known = self.asked.iter().find(|(asked, _)| *asked == name).map(|(_, is_telling)| *is_telling);
        let is_telling = known.unwrap_or_else(|| {
            let is_telling = self.rules.is_telling(&unescape(name));
            if self.asked.len() < ASKED_MAX {
                self.asked.push((name, is_telling));
            }
            is_telling
        });
        is_telling.then(|| unescape(name))
    }
}

#[cfg(test)]
mod tests;

//! Values that their names tell: `"password": "..."` is one text to a reader, and two strings to a parser.
//!
//! A value is scanned alone and together with the name in front of it, as JSON writes the two. What reaches over its ends is
//! replaced as far as it lies in the value.

use crate::encoded::{DeepScan, merged};
use crate::finding::{Edit, Match, Scan};
use crate::gate::Search;
use crate::rules::RuleSet;
use crate::view;

/// A member of an object as one text.
struct Member {
    text: Vec<u8>,
    /// Where its value stands.
    start: u64,
    end: u64,
}

impl RuleSet {
    /// Whether a value may be one because of the name in front of it.
    ///
    /// ```
    /// use bulkhead_dlp::{Action, Rule, RuleSet, apply_edits, catalogue};
    ///
    /// let rules = catalogue().default_set().into_iter().map(|detector| Rule::new(detector.clone(), Action::Mask));
    /// let rules = RuleSet::new(rules.collect(), Vec::new());
    /// assert!(rules.is_telling(b"password") && !rules.is_telling(b"content"));
    /// let edits = rules.scan_member(b"password", b"hV7#qLm2!xTz").edits;
    /// assert_eq!(apply_edits(b"hV7#qLm2!xTz", &edits), b"[PASSWORD_LITERAL]");
    /// ```
    #[must_use]
    pub fn is_telling(&self, name: &[u8]) -> bool {
        let Member { text, .. } = Member::new(name, b"");
        let folded = if text.is_ascii() { None } else { view::of(&text) };
        let text = folded.as_ref().map_or(text.as_slice(), |(view, _)| view);
        // What may begin anywhere begins in the value, too.
        let gates = self.gates().into_iter().filter(|gate| !gate.is_closed_to_skipping());
        !Search::new(gates, text).is_over()
    }

    /// Scans the value of a member. Spans are those of the value.
    #[must_use]
    pub fn scan_member(&self, name: &[u8], value: &[u8]) -> Scan {
        let member = Member::new(name, value);
        merged(self.scan(value), member.in_value(self.scan(&member.text)))
    }

    /// Scans the value of a member, and what it carries in other notations; see [`RuleSet::scan_deep`].
    #[must_use]
    pub fn scan_member_deep(&self, name: &[u8], value: &[u8]) -> DeepScan {
        let member = Member::new(name, value);
        let (alone, found) = (self.scan_deep(value), self.scan_deep(&member.text));
        DeepScan {
            scan: merged(alone.scan, member.in_value(found.scan)),
            complete: alone.complete && found.complete,
            // Behind the closing quote nothing goes on.
            goes_on: alone.goes_on,
            decoded: alone.decoded || found.decoded,
        }
    }
}

impl Member {
    fn new(name: &[u8], value: &[u8]) -> Self {
        let before = [b"\"", name, b"\":\""].concat();
        let (start, end) = (before.len() as u64, (before.len() + value.len()) as u64);
        Self { text: [before.as_slice(), value, b"\""].concat(), start, end }
    }

    fn in_value(&self, found: Scan) -> Scan {
        let span = |start: u64, end: u64| {
            let (start, end) = (start.max(self.start), end.min(self.end));
            (start < end).then(|| (start - self.start, end - self.start))
        };
        let match_of = |found: Match| {
            let (start, end) = span(found.start, found.end)?;
            Some(Match { start, end, ..found })
        };
        let edit_of = |edit: Edit| {
            let (start, end) = span(edit.start, edit.end)?;
            Some(Edit { start, end, ..edit })
        };
        Scan {
            matches: found.matches.into_iter().filter_map(match_of).collect(),
            edits: found.edits.into_iter().filter_map(edit_of).collect(),
            blocked: found.blocked.and_then(match_of),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Action, CompileLimits, CustomDetector, CustomPattern, Detector, Rule, apply_edits, catalogue,
    };

    fn rules() -> RuleSet {
        let rules = catalogue().iter().map(|detector| Rule::new(Arc::clone(detector), Action::Mask));
        RuleSet::new(rules.collect(), Vec::new())
    }

    #[test]
    fn a_value_is_found_because_of_its_name() {
        let cases = [
            ("password", "hV7#qLm2!xTz", "[PASSWORD_LITERAL]"),
            ("aws_secret_access_key", "wJalrXUtnFEMIK7MDENGbPxRfiCYzT3hUq8LmN0p", "[API_KEY_LITERAL]"),
            ("ssn", "536221234", "[US_SSN]"),
            ("ſſn", "536221234", "[US_SSN]"),
            ("note", "536221234", "536221234"),
            ("ssn", "mine is 536221234, thanks", "mine is [US_SSN], thanks"),
            ("to", "jane@example.com", "[EMAIL_ADDRESS]"),
        ];
        let rules = rules();
        for (name, value, expected) in cases {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            for edits in
                [rules.scan_member(name, value).edits, rules.scan_member_deep(name, value).scan.edits]
            {
                assert_eq!(String::from_utf8_lossy(&apply_edits(value, &edits)), expected);
            }
        }
    }

    #[test]
    fn a_name_hides_nothing_of_what_the_value_is_alone() {
        let regex = CustomPattern::Regex("^[0-9]{3}-x$".into());
        let long = CustomPattern::Regex("BEG[a ]{99,400}END".into());
        let own = [("AT_START", regex), ("LONG", long)].map(|(id, pattern)| {
            let spec = CustomDetector { id: id.into(), pattern };
            let detector = Detector::custom(&spec, &CompileLimits::default()).unwrap();
            Rule::new(Arc::new(detector), Action::Mask)
        });
        let rules = RuleSet::new(own.into(), Vec::new());
        let edits = rules.scan_member(b"content", b"123-x").edits;
        assert_eq!(apply_edits(b"123-x", &edits), b"[AT_START]");
        assert_eq!(rules.scan_member(b"content", b"123-x").matches.len(), 1);
        // The next text may go on with it.
        let begun = format!("BEG{}", "a ".repeat(60));
        assert!(rules.scan_member_deep(b"content", begun.as_bytes()).goes_on);
    }

    #[test]
    fn a_name_tells_wherever_it_changes_what_is_found() {
        let rules = rules();
        let names = [
            "password",
            "db_password",
            "ssn",
            "SSN",
            "apiKey",
            "client_secret",
            "iban",
            "passport",
            "content",
        ];
        let values = ["hV7#qLm2!xTz", "536221234", "wJalrXUtnFEMIK7MDENGbPxRfiCYzT3hUq8LmN0p", "plain"];
        for (name, value) in names.iter().flat_map(|name| values.map(|value| (*name, value))) {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            let changes = rules.scan_member(name, value) != rules.scan(value);
            assert!(!changes || rules.is_telling(name), "{:?}", String::from_utf8_lossy(name));
        }
        for name in ["content", "text", "role", "type", "description", "id", "name", "input", "arguments"] {
            assert!(!rules.is_telling(name.as_bytes()), "{name}");
        }
    }
}

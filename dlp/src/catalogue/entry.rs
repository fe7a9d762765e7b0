//! How a built-in detector is written down.

use crate::automaton::{self, Automaton, Built};
use crate::detector::{Description, Detector, Matcher};
use crate::gate::{Gate, Shape};
use crate::validate::Validator;

/// The size limit of one built-in automaton in bytes. The largest, for JSON web tokens, needs a third.
const AUTOMATON_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Detectors of one category.
pub(super) struct Table {
    pub(super) category: &'static str,
    pub(super) entries: &'static [Entry],
}

/// One built-in detector as written.
pub(super) struct Entry {
    pub(super) id: &'static str,
    pub(super) pattern: &'static str,
    confidence: f32,
    label: &'static str,
    aliases: &'static [&'static str],
    validator: Option<Validator>,
    context: &'static [&'static str],
    near: Near,
    finds: &'static str,
    misses: &'static str,
}

/// How a scan finds the places where a detector may match without running it everywhere.
///
/// A detector with context words needs none of these: those words are the places.
pub(super) enum Near {
    /// The pattern starts with one of a few fixed texts.
    Prefix,
    /// The same, and this byte follows somewhere in the match.
    PrefixThen(u8),
    /// The pattern starts with one of these words, in any case.
    Words(&'static [&'static str]),
    /// The pattern starts with one of these words, as a part of a name: see [`Gate::from_name_parts`].
    NameParts(&'static [&'static str]),
    /// A shape that a cheap test knows.
    Shape(Shape),
    /// None of those; which bytes can stand where is read off the pattern.
    Positions,
}

/// A detector by its id, how likely a match is a value, and its pattern.
pub(super) const fn entry(id: &'static str, confidence: f32, pattern: &'static str) -> Entry {
    Entry {
        id,
        pattern,
        confidence,
        label: id,
        aliases: &[],
        validator: None,
        context: &[],
        near: Near::Prefix,
        finds: "",
        misses: "",
    }
}

impl Entry {
    /// A made-up value; `{n:alphabet}` stands for n characters, see [`super::sample::expand`].
    pub(super) const fn finds(self, finds: &'static str) -> Self {
        Self { finds, ..self }
    }

    /// Close to a value, but none: a character short, a wrong check digit, a wrong boundary.
    pub(super) const fn misses(self, misses: &'static str) -> Self {
        Self { misses, ..self }
    }

    /// What a value must satisfy beside its shape, in words and as code.
    pub(super) const fn checked(self, what: &'static str, is_valid: fn(&[u8]) -> bool) -> Self {
        Self { validator: Some(Validator { what, is_valid }), ..self }
    }

    /// The words of which one must stand before a value; see [`crate::context`]. Three letters or more each.
    pub(super) const fn context(self, context: &'static [&'static str]) -> Self {
        Self { context, ..self }
    }

    /// The text inside the placeholder, and one more name, where it is not the id.
    pub(super) const fn label(self, label: &'static str, aliases: &'static [&'static str]) -> Self {
        Self { label, aliases, ..self }
    }

    /// Other names for the detector.
    pub(super) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Where to look for it.
    pub(super) const fn near(self, near: Near) -> Self {
        Self { near, ..self }
    }

    /// The detector, whose pattern is compiled when it is first used.
    pub(super) fn detector(&'static self, category: &'static str) -> Detector {
        let description = Description {
            category,
            aliases: self.aliases,
            confidence: self.confidence,
            validator: self.validator,
            context: self.context,
            samples: Some((self.finds, self.misses)),
        };
        Detector::new(self.id, self.label, description, || self.compile())
    }

    #[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles all of them")]
    fn compile(&self) -> Matcher {
        let hir = automaton::parse(self.pattern).expect("built-in pattern parses");
        let automaton =
            Automaton::compile(&hir, AUTOMATON_BYTES_MAX, Built::Shared).expect("built-in pattern compiles");
        let gate = match self.near {
            _ if !self.context.is_empty() => Gate::Context(self.context),
            Near::Prefix => Gate::from_prefixes(&hir),
            Near::PrefixThen(byte) => Gate::from_prefixes(&hir).then(byte),
            Near::Words(words) => Gate::from_words(words, &hir),
            Near::Shape(shape) => Gate::Shape(shape),
            Near::NameParts(words) => Gate::from_name_parts(words),
            Near::Positions => Gate::from_positions(&automaton, &hir),
        };
        Matcher { automaton: automaton.into(), gate }
    }
}

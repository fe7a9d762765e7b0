//! A detector: one compiled automaton and what is known about the values it finds.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::automaton::Automaton;
use crate::gate::Gate;
use crate::validate::Validator;

/// The category of tenants' own detectors.
pub(crate) const CUSTOM: &str = "custom";

/// The name of a detector, unique within a catalogue or a tenant: `EMAIL_ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DetectorId(Arc<str>);

impl DetectorId {
    pub(crate) fn new(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DetectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for DetectorId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DetectorId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What stands in a text where a masked value stood: `[EMAIL_ADDRESS]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placeholder(Arc<str>);

impl Placeholder {
    fn new(label: &str) -> Self {
        Self(format!("[{label}]").into())
    }

    /// The placeholder as text, brackets included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Placeholder {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Finds one kind of sensitive value; immutable and shared by every rule set that uses it.
///
/// ```
/// let email = bulkhead_dlp::catalogue().select("EMAIL_ADDRESS");
/// assert_eq!(email.first().map(|detector| detector.category()), Some("pii"));
/// ```
pub struct Detector {
    pub(crate) id: DetectorId,
    pub(crate) category: Box<str>,
    pub(crate) label: Box<str>,
    pub(crate) aliases: Box<[Box<str>]>,
    pub(crate) confidence: f32,
    pub(crate) placeholder: Placeholder,
    pub(crate) automaton: Automaton,
    pub(crate) validator: Option<Validator>,
    pub(crate) gate: Gate,
}

/// The parts of a detector that are plain text.
pub(crate) struct Description<'a> {
    pub(crate) id: &'a str,
    pub(crate) category: &'a str,
    pub(crate) label: &'a str,
    pub(crate) aliases: &'a [&'a str],
    pub(crate) confidence: f32,
}

impl Detector {
    pub(crate) fn new(
        description: &Description<'_>,
        automaton: Automaton,
        validator: Option<Validator>,
        gate: Gate,
    ) -> Self {
        Self {
            id: DetectorId::new(description.id),
            category: description.category.into(),
            label: description.label.into(),
            aliases: description.aliases.iter().map(|alias| (*alias).into()).collect(),
            confidence: description.confidence,
            placeholder: Placeholder::new(description.label),
            automaton,
            validator,
            gate,
        }
    }

    /// The detector's name.
    #[must_use]
    pub fn id(&self) -> &DetectorId {
        &self.id
    }

    /// The dotted category, general to special: `secret.llm`.
    #[must_use]
    pub fn category(&self) -> &str {
        &self.category
    }

    /// The text inside the placeholder.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Other names under which a policy may select this detector.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(AsRef::as_ref)
    }

    /// How likely a match is what the detector says, 0 to 1.
    #[must_use]
    pub fn confidence(&self) -> f32 {
        self.confidence
    }

    /// The longest match in bytes; `None` for blocks that are masked as they pass, whatever their length.
    #[must_use]
    pub fn max_len(&self) -> Option<usize> {
        self.automaton.len_max()
    }

    /// How many bytes of a masked match may stay at its end: up to 8, and less than half of the shortest match.
    #[must_use]
    pub fn keep_last_max(&self) -> u8 {
        const KEEP_LAST_MAX: usize = 8;
        if self.is_open_ended() {
            return 0;
        }
        let less_than_half = self.automaton.len_min().saturating_sub(1) / 2;
        u8::try_from(less_than_half.min(KEEP_LAST_MAX)).unwrap_or(0)
    }

    /// Bytes of memory that its compiled form takes.
    #[must_use]
    pub fn automaton_bytes(&self) -> usize {
        self.automaton.bytes()
    }

    /// What takes the place of a masked match.
    #[must_use]
    pub fn placeholder(&self) -> &Placeholder {
        &self.placeholder
    }

    /// Whether it is a tenant's own.
    pub(crate) fn is_custom(&self) -> bool {
        &*self.category == CUSTOM
    }

    /// Whether the match has no upper length, so that it must be masked while it goes on.
    pub(crate) fn is_open_ended(&self) -> bool {
        self.automaton.len_max().is_none()
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector")
            .field("id", &self.id)
            .field("category", &self.category)
            .finish_non_exhaustive()
    }
}

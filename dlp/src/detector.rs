//! A detector: one pattern and what is known about the values it finds.

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::automaton::Automaton;
use crate::catalogue::{sample, selector};
use crate::gate::Gate;
use crate::validate::Validator;

/// The category of tenants' own detectors.
pub const CUSTOM: &str = "custom";

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
    id: DetectorId,
    label: Box<str>,
    placeholder: Placeholder,
    description: Description,
    matcher: LazyLock<Matcher, Compile>,
}

/// What a detector's pattern is compiled to.
pub(crate) struct Matcher {
    pub(crate) automaton: Arc<Automaton>,
    pub(crate) gate: Gate,
}

/// Compiles a pattern when a rule set first uses it.
type Compile = Box<dyn FnOnce() -> Matcher + Send>;

/// What a detector is beside its name and its pattern.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description {
    pub(crate) category: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) confidence: f32,
    pub(crate) validator: Option<Validator>,
    pub(crate) context: &'static [&'static str],
    /// What it finds and what it leaves alone, as templates; see `catalogue::sample`.
    pub(crate) samples: Option<(&'static str, &'static str)>,
}

impl Detector {
    pub(crate) fn new(
        id: &str,
        label: &str,
        description: Description,
        compile: impl FnOnce() -> Matcher + Send + 'static,
    ) -> Self {
        Self {
            id: DetectorId::new(id),
            label: label.into(),
            placeholder: Placeholder::new(label),
            description,
            matcher: LazyLock::new(Box::new(compile)),
        }
    }

    /// The detector's name.
    #[must_use]
    pub fn id(&self) -> &DetectorId {
        &self.id
    }

    /// The dotted category, general to special: `secret.llm`.
    #[must_use]
    pub fn category(&self) -> &'static str {
        self.description.category
    }

    /// The text inside the placeholder.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Other names under which a policy may select this detector.
    pub fn aliases(&self) -> impl Iterator<Item = &'static str> {
        self.description.aliases.iter().copied()
    }

    /// How likely a match is what the detector says, 0 to 1.
    #[must_use]
    pub fn confidence(&self) -> f32 {
        self.description.confidence
    }

    /// The words of which one must start within the 64 bytes before a value; empty if the value is enough.
    #[must_use]
    pub fn context(&self) -> &'static [&'static str] {
        self.description.context
    }

    /// What is checked beyond the shape, in words: a check digit, a table of ranges.
    #[must_use]
    pub fn validates(&self) -> Option<&'static str> {
        self.description.validator.map(|validator| validator.what)
    }

    /// A made-up value that this detector finds; none for a tenant's own.
    #[must_use]
    pub fn example(&self) -> Option<String> {
        self.description.samples.map(|(finds, _)| sample::expand(finds))
    }

    /// A text close to a value that this detector leaves alone; none for a tenant's own.
    #[must_use]
    pub fn near_miss(&self) -> Option<String> {
        self.description.samples.map(|(_, misses)| sample::expand(misses))
    }

    /// The longest match in bytes; `None` for blocks that are masked as they pass, whatever their length.
    #[must_use]
    pub fn max_len(&self) -> Option<usize> {
        self.automaton().len_max()
    }

    /// Whether a selector names this detector: its id or a pattern of ids (`AWS_*`), an alias, its category
    /// or one above it (`secret` or `secret.*` for `secret.llm`), or everything (`*`).
    ///
    /// ```
    /// let key = bulkhead_dlp::catalogue().select("AWS_ACCESS_KEY_ID").remove(0);
    /// assert!(key.is_named_by("AWS_*") && key.is_named_by("secret.*") && key.is_named_by("*"));
    /// assert!(!key.is_named_by("GCP_*") && !key.is_named_by("secret.llm.*"));
    /// ```
    #[must_use]
    pub fn is_named_by(&self, selector: &str) -> bool {
        selector::names(self, selector)
    }

    /// How many bytes of a masked match may stay at its end: up to 8, and less than half of the shortest match.
    #[must_use]
    pub fn keep_last_max(&self) -> u8 {
        const KEEP_LAST_MAX: usize = 8;
        if self.is_open_ended() {
            return 0;
        }
        let less_than_half = self.automaton().len_min().saturating_sub(1) / 2;
        u8::try_from(less_than_half.min(KEEP_LAST_MAX)).unwrap_or(0)
    }

    /// Bytes of memory that its compiled form takes.
    #[must_use]
    pub fn automaton_bytes(&self) -> usize {
        self.automaton().bytes()
    }

    /// What takes the place of a masked match.
    #[must_use]
    pub fn placeholder(&self) -> &Placeholder {
        &self.placeholder
    }

    /// Whether it is a tenant's own.
    pub(crate) fn is_custom(&self) -> bool {
        self.category() == CUSTOM
    }

    /// Whether the match has no upper length, so that it must be masked while it goes on.
    pub(crate) fn is_open_ended(&self) -> bool {
        self.automaton().len_max().is_none()
    }

    #[inline]
    pub(crate) fn automaton(&self) -> &Arc<Automaton> {
        &self.matcher.automaton
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.matcher.gate
    }

    /// Whether a text of the detector's shape is a value.
    pub(crate) fn accepts(&self, value: &[u8]) -> bool {
        self.description.validator.is_none_or(|validator| (validator.is_valid)(value))
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector")
            .field("id", &self.id)
            .field("category", &self.category())
            .finish_non_exhaustive()
    }
}

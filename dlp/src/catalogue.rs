//! The built-in detectors: what they are, which of them a selector names, and example values.
//!
//! - `tables/`: the detectors themselves, a file for each kind. To add one, write an entry there.
//! - `entry`: how one is written; `sample`: how made-up values are.
//! - `examples`: values from documentation, which are no secrets.

mod entry;
mod examples;
pub(crate) mod sample;
pub(crate) mod selector;
mod tables;

use std::sync::{Arc, LazyLock};

use crate::detector::Detector;
use crate::engine::HOLD_LIMIT;
use entry::{Entry, entry};
pub use examples::is_example;
use tables::{EMAIL_DOMAIN, TABLES};

/// What a detector must reach to be in the default set.
const DEFAULT_CONFIDENCE_MIN: f32 = 0.8;

/// Personal data that ordinary texts are full of; not in the default set.
const ORDINARY: [&str; 3] = ["EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS"];

/// All built-in detectors.
#[derive(Debug)]
pub struct Catalogue {
    detectors: Vec<Arc<Detector>>,
    hold_limit: Arc<Detector>,
    email_domain: Arc<Detector>,
}

/// The built-in detectors. Each is compiled when a rule set first uses it.
///
/// ```
/// use bulkhead_dlp::catalogue;
///
/// assert!(catalogue().iter().any(|detector| detector.id().as_str() == "AWS_ACCESS_KEY_ID"));
/// ```
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    static HOLD_LIMIT_ENTRY: Entry = entry(HOLD_LIMIT, 1.0, HOLD_LIMIT);
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        let of_table = |table: &'static entry::Table| {
            table.entries.iter().map(|entry| Arc::new(entry.detector(table.category)))
        };
        Catalogue {
            detectors: TABLES.iter().copied().flatten().flat_map(of_table).collect(),
            hold_limit: Arc::new(HOLD_LIMIT_ENTRY.detector("")),
            email_domain: Arc::new(EMAIL_DOMAIN.detector("pii")),
        }
    });
    &CATALOGUE
}

impl Catalogue {
    /// All built-in detectors, in the catalogue's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Detector>> {
        self.detectors.iter()
    }

    /// The detectors that a policy's selector names; see [`Detector::is_named_by`].
    ///
    /// Unknown selectors give nothing; the caller knows whether that is an error.
    ///
    /// ```
    /// use bulkhead_dlp::catalogue;
    ///
    /// assert_eq!(catalogue().select("CREDIT_CARD").len(), 1);
    /// assert_eq!(catalogue().select("PHONE_NUMBER").len(), 3); // an alias of all forms
    /// assert!(catalogue().select("secret.*").len() > catalogue().select("secret.llm.*").len());
    /// assert!(catalogue().select("AWS_*").len() > 1);
    /// assert!(catalogue().select("NO_SUCH_DETECTOR").is_empty());
    /// ```
    #[must_use]
    pub fn select(&self, selector: &str) -> Vec<&Arc<Detector>> {
        self.detectors.iter().filter(|detector| detector.is_named_by(selector)).collect()
    }

    /// The detectors to begin with: likely to be right without a word of context, and not for data that every
    /// text has, such as e-mail addresses, telephone numbers and IP addresses.
    #[must_use]
    pub fn default_set(&self) -> Vec<&Arc<Detector>> {
        let is_default = |detector: &&Arc<Detector>| {
            detector.confidence() >= DEFAULT_CONFIDENCE_MIN
                && detector.context().is_empty()
                && !ORDINARY.contains(&detector.label())
        };
        self.detectors.iter().filter(is_default).collect()
    }

    /// `EMAIL_ADDRESS` from the `@` on, under the same id: the local part is no part of the match.
    ///
    /// Any word may turn out to be a local part, so a stream holds each until it ends; with this detector it
    /// does not.
    ///
    /// ```
    /// use bulkhead_dlp::{Action, Rule, RuleSet, apply_edits, catalogue};
    ///
    /// let rule = Rule::new(catalogue().email_domain().clone(), Action::Mask);
    /// let text = b"jane.doe@example.com";
    /// let edits = RuleSet::new(vec![rule], Vec::new()).scan(text).edits;
    /// assert_eq!(apply_edits(text, &edits), b"jane.doe[EMAIL_ADDRESS]");
    /// ```
    #[must_use]
    pub fn email_domain(&self) -> &Arc<Detector> {
        &self.email_domain
    }

    /// Stands in the match that blocks a text with too many open candidates; finds nothing by itself.
    pub(crate) fn hold_limit(&self) -> &Arc<Detector> {
        &self.hold_limit
    }
}

/// All built-in patterns as text, by id.
pub(crate) fn patterns() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES.iter().copied().flatten().flat_map(|table| table.entries).map(|entry| (entry.id, entry.pattern))
}

/// A made-up value of one detector, with what must stand before it, and a text that it must leave alone.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) id: String,
    /// A context word and a space, or nothing.
    pub(crate) before: String,
    pub(crate) value: String,
    pub(crate) near_miss: String,
}

#[cfg(test)]
impl Sample {
    /// The value with its context.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.before, self.value)
    }
}

/// One sample of every built-in detector.
#[cfg(test)]
pub(crate) fn samples() -> Vec<Sample> {
    let sample = |detector: &Arc<Detector>| Sample {
        id: detector.id().to_string(),
        before: detector.context().first().map(|word| format!("{word} ")).unwrap_or_default(),
        value: detector.example().unwrap(),
        near_miss: detector.near_miss().unwrap(),
    };
    catalogue().iter().map(sample).collect()
}

#[cfg(test)]
mod tests;

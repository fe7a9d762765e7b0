//! The built-in detectors, compiled once per process.

mod built_in;
#[cfg(test)]
pub(crate) mod samples;

use std::sync::{Arc, LazyLock};

use crate::automaton::{self, Automaton, Built};
use crate::detector::{Description, Detector};
use crate::engine::HOLD_LIMIT;
use crate::gate::Gate;
use built_in::{BUILT_IN, BuiltIn, EMAIL_DOMAIN, Near};

/// The size limit of one built-in automaton in bytes. The largest, for JSON web tokens, needs a third.
const AUTOMATON_BYTES_MAX: usize = 4 * 1024 * 1024;

/// All built-in detectors.
#[derive(Debug)]
pub struct Catalogue {
    detectors: Vec<Arc<Detector>>,
    hold_limit: Arc<Detector>,
    email_domain: Arc<Detector>,
}

/// The built-in detectors; the first call compiles them.
///
/// ```
/// use bulkhead_dlp::catalogue;
///
/// assert!(catalogue().iter().any(|detector| detector.id().as_str() == "AWS_ACCESS_KEY_ID"));
/// ```
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
        detectors: BUILT_IN.iter().map(|built_in| Arc::new(compile(built_in))).collect(),
        hold_limit: Arc::new(compile(&BuiltIn { id: HOLD_LIMIT, pattern: HOLD_LIMIT, ..BuiltIn::DEFAULT })),
        email_domain: Arc::new(compile(&EMAIL_DOMAIN)),
    });
    &CATALOGUE
}

impl Catalogue {
    /// All built-in detectors, in the catalogue's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Detector>> {
        self.detectors.iter()
    }

    /// The detectors a policy's selector names: an id, an alias, a category with everything below it, or `*`.
    ///
    /// Unknown selectors give nothing; the caller knows whether that is an error.
    ///
    /// ```
    /// use bulkhead_dlp::catalogue;
    ///
    /// assert_eq!(catalogue().select("CREDIT_CARD").len(), 1);
    /// assert_eq!(catalogue().select("PHONE_NUMBER").len(), 2); // an alias of both forms
    /// assert!(catalogue().select("secret.*").len() > catalogue().select("secret.llm.*").len());
    /// assert!(catalogue().select("NO_SUCH_DETECTOR").is_empty());
    /// ```
    #[must_use]
    pub fn select(&self, selector: &str) -> Vec<&Arc<Detector>> {
        self.detectors.iter().filter(|detector| is_selected(detector, selector)).collect()
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

fn is_selected(detector: &Detector, selector: &str) -> bool {
    if selector == "*"
        || detector.id().as_str() == selector
        || detector.aliases().any(|alias| alias == selector)
    {
        return true;
    }
    let category = selector.strip_suffix(".*").unwrap_or(selector);
    detector.category().strip_prefix(category).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles all of them")]
fn compile(built_in: &BuiltIn) -> Detector {
    let hir = automaton::parse(built_in.pattern).expect("built-in pattern parses");
    let automaton =
        Automaton::compile(&hir, AUTOMATON_BYTES_MAX, Built::Shared).expect("built-in pattern compiles");
    let gate = match built_in.near {
        Near::Prefix => Gate::from_prefixes(&hir),
        Near::PrefixThen(byte) => Gate::from_prefixes(&hir).then(byte),
        Near::Shape(shape) => Gate::Shape(shape),
    };
    let description = Description {
        id: built_in.id,
        category: built_in.category,
        label: if built_in.label.is_empty() { built_in.id } else { built_in.label },
        aliases: built_in.aliases,
        confidence: built_in.confidence,
    };
    Detector::new(&description, automaton, built_in.validator, gate)
}

/// All built-in patterns as text, by id.
#[cfg(test)]
pub(crate) fn patterns() -> impl Iterator<Item = (&'static str, &'static str)> {
    BUILT_IN.iter().map(|built_in| (built_in.id, built_in.pattern))
}

#[cfg(test)]
mod tests;

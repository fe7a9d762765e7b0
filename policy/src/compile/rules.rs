//! One rule of a document: the detectors it names, and what becomes of their matches.

use std::sync::Arc;

use bulkhead_dlp::{Action, Detector, Rule, catalogue};

use crate::document::{DocumentError, EmailHold, RuleAction, RuleDirection, RuleDocument};

/// The category of values that are never restored.
const SECRET: &str = "secret";
const EMAIL: &str = "EMAIL_ADDRESS";

/// Compiles the rule that stands at `path`; `own` are the detectors beside the built-in ones.
pub(super) fn compile(
    path: &str,
    rule: &RuleDocument,
    email: Option<EmailHold>,
    own: &[Arc<Detector>],
) -> Result<Vec<(RuleDirection, Rule)>, DocumentError> {
    let mut selected = Vec::new();
    for (position, selector) in rule.detect.iter().enumerate() {
        let detectors = select(selector, own);
        if detectors.is_empty() {
            let path = format!("{path}.detect[{position}]");
            let expected = "a detector, a category such as pii.*, or *";
            return Err(DocumentError::found(path, format!("{selector:?}"), expected));
        }
        selected.extend(detectors);
    }
    if let Some(min) = rule.min_confidence {
        let highest = selected.iter().map(|detector| detector.confidence()).fold(0.0, f32::max);
        selected.retain(|detector| detector.confidence() >= min);
        if selected.is_empty() {
            let expected = format!("at most {highest}, the highest confidence among the rule's detectors");
            return Err(DocumentError::found(format!("{path}.min_confidence"), min, expected));
        }
    }
    let keep_last = rule.mask.map_or(0, |mask| mask.keep_last);
    if let Some(short) = selected.iter().find(|detector| keep_last > detector.keep_last_max()) {
        let expected = format!(
            "at most {} for {}: less than half of its shortest match, and none of a match of any length",
            short.keep_last_max(),
            short.id()
        );
        return Err(DocumentError::found(format!("{path}.mask.keep_last"), keep_last, expected));
    }
    let compiled = selected.into_iter().flat_map(|detector| {
        let rule_for = |detector: Arc<Detector>| {
            let action = action(rule.action, &detector);
            Rule::new(detector, action).keeping_last(keep_last)
        };
        by_direction(detector, rule.on, email)
            .into_iter()
            .flatten()
            .map(move |(on, detector)| (on, rule_for(detector)))
    });
    Ok(compiled.collect())
}

/// Finds the detectors that a selector names, among the built-in ones and `own`.
fn select(selector: &str, own: &[Arc<Detector>]) -> Vec<Arc<Detector>> {
    let own = own.iter().filter(|detector| detector.is_named_by(selector));
    catalogue().select(selector).into_iter().chain(own).map(Arc::clone).collect()
}

/// Where addresses may be found by their domain, that is so in answers alone: requests are read whole anyway.
fn by_direction(
    detector: Arc<Detector>,
    on: RuleDirection,
    email: Option<EmailHold>,
) -> [Option<(RuleDirection, Arc<Detector>)>; 2] {
    let is_split = email == Some(EmailHold::MaskDomain) && detector.id().as_str() == EMAIL;
    if !is_split || on == RuleDirection::Request {
        return [Some((on, detector)), None];
    }
    let response = Some((RuleDirection::Response, Arc::clone(catalogue().email_domain())));
    [response, (on == RuleDirection::Both).then_some((RuleDirection::Request, detector))]
}

/// A secret must not come back from a provider, so where it would become a token it is masked.
fn action(action: RuleAction, detector: &Detector) -> Action {
    let is_secret = detector.category().split('.').next() == Some(SECRET);
    match action {
        RuleAction::Block => Action::Block,
        RuleAction::Mask => Action::Mask,
        RuleAction::Tokenize if is_secret => Action::Mask,
        RuleAction::Tokenize => Action::Tokenize,
        RuleAction::Alert => Action::Alert,
    }
}

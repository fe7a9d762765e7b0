//! Detectors and rules of all layers, compiled together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bulkhead_dlp::{CompileLimits, CustomDetector, CustomPattern, Detector, Rule, RuleSet};

use super::{CompileError, CompileInput, Layer, Layers, refuse, rules};
use crate::document::{DetectorDocument, DocumentError, RuleDirection};
use crate::trace::Direction;

/// What the platform's own detectors are called, so that they cannot clash with a tenant's.
const PLATFORM_PREFIX: &str = "PLATFORM_";

/// Detectors that are in use somewhere, by their definition: equal ones are compiled once for all tenants.
#[derive(Debug, Default)]
pub struct DetectorCache {
    known: Mutex<HashMap<String, Weak<Detector>>>,
}

impl DetectorCache {
    fn get(&self, document: &DetectorDocument, limits: &CompileLimits) -> Result<Arc<Detector>, String> {
        let definition = serde_json::to_string(&(document, format!("{limits:?}"))).unwrap_or_default();
        if let Some(known) = self.lock().get(&definition).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let detector =
            Detector::custom(&custom(document), limits).map(Arc::new).map_err(|error| error.to_string())?;
        let mut known = self.lock();
        known.retain(|_, detector| detector.strong_count() > 0);
        known.insert(definition, Arc::downgrade(&detector));
        Ok(detector)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Detector>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn custom(document: &DetectorDocument) -> CustomDetector {
    let pattern = match (&document.regex, &document.terms) {
        (Some(regex), _) => CustomPattern::Regex(regex.clone()),
        (None, terms) => CustomPattern::Terms {
            terms: terms.clone().unwrap_or_default(),
            ignore_case: document.ignore_case.unwrap_or(false),
        },
    };
    CustomDetector { id: document.id.clone(), pattern }
}

pub(super) struct Rules {
    pub(super) request: Arc<RuleSet>,
    pub(super) response: Arc<RuleSet>,
}

pub(super) fn compile(layers: &Layers<'_>, input: &CompileInput<'_>) -> Result<Rules, CompileError> {
    let mut own: Vec<Arc<Detector>> = Vec::new();
    let mut placed: Vec<(Layer, RuleDirection, Rule)> = Vec::new();
    for (layer, document) in &layers.0 {
        for (index, detector) in document.dlp.detectors.iter().enumerate() {
            let path = format!("dlp.detectors[{index}]");
            let compiled = compile_detector(&path, *layer, detector, &own, input);
            own.push(compiled.map_err(|error| refuse(*layer, error))?);
        }
        for (index, rule) in document.dlp.rules.iter().enumerate() {
            let path = format!("dlp.rules[{index}]");
            let compiled = rules::compile(&path, rule, document.dlp.email, &own);
            let compiled = compiled.map_err(|error| refuse(*layer, error))?;
            placed.extend(compiled.into_iter().map(|(on, rule)| (*layer, on, rule)));
        }
    }
    let allow_values = allow_values(layers, &placed);
    let set = |direction| {
        let applies = |on: &RuleDirection| applies(*on, direction);
        let rules = placed.iter().filter(|(_, on, _)| applies(on)).map(|(_, _, rule)| rule.clone());
        let rules = RuleSet::new(rules.collect(), allow_values.clone());
        Arc::new(match input.value_key {
            Some(key) => rules.with_value_key(key.clone()),
            None => rules,
        })
    };
    Ok(Rules { request: set(Direction::Request), response: set(Direction::Response) })
}

fn compile_detector(
    path: &str,
    layer: Layer,
    document: &DetectorDocument,
    own: &[Arc<Detector>],
    input: &CompileInput<'_>,
) -> Result<Arc<Detector>, DocumentError> {
    let at = format!("{path}.id");
    let is_platforms = document.id.to_ascii_uppercase().starts_with(PLATFORM_PREFIX);
    match (layer, is_platforms) {
        (Layer::Platform, false) => {
            return Err(DocumentError::found(
                at,
                &document.id,
                format!("an id that starts with {PLATFORM_PREFIX}"),
            ));
        }
        (Layer::Tenant | Layer::Agent, true) => {
            let expected = format!("an id that does not start with {PLATFORM_PREFIX}");
            return Err(DocumentError::found(at, &document.id, expected));
        }
        _ => {}
    }
    if own.iter().any(|other| other.id().as_str().eq_ignore_ascii_case(&document.id)) {
        return Err(DocumentError::found(at, &document.id, "an id that the tenant's policy does not use"));
    }
    input.detectors.get(document, &input.options.detector).map_err(|reason| DocumentError::new(path, &reason))
}

/// Returns the values that rules leave alone.
///
/// The platform's and the tenant's count; where an agent states its own list, only what is on both. A value
/// of the tenant's that a rule of the platform finds is left out, or a tenant could lift the floor value by
/// value. It is not an error: a new rule of the platform must not make a tenant's policy invalid.
fn allow_values(layers: &Layers<'_>, rules: &[(Layer, RuleDirection, Rule)]) -> Vec<String> {
    let stated = |layer| layers.get(layer).and_then(|document| document.dlp.allow_values.as_ref());
    let platform = stated(Layer::Platform).cloned().unwrap_or_default();
    let floor = rules.iter().filter(|(layer, ..)| *layer == Layer::Platform).map(|(_, _, rule)| rule.clone());
    let floor = RuleSet::new(floor.collect(), platform.clone());
    let by_agent = |value: &&String| stated(Layer::Agent).is_none_or(|values| values.contains(value));
    let tenants = stated(Layer::Tenant).into_iter().flatten().filter(by_agent);
    let harmless = tenants.filter(|value| floor.scan(value.as_bytes()).clean()).cloned();
    let mut values: Vec<String> = platform.iter().filter(by_agent).cloned().chain(harmless).collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn applies(on: RuleDirection, direction: Direction) -> bool {
    matches!(
        (on, direction),
        (RuleDirection::Both, _)
            | (RuleDirection::Request, Direction::Request)
            | (RuleDirection::Response, Direction::Response)
    )
}

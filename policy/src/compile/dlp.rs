//! Detectors and rules of all layers, compiled together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bulkhead_dlp::{CompileLimits, CustomDetector, CustomPattern, Detector, Rule, RuleSet};

use super::{CompileError, CompileInput, Layer, Layers, refuse, rules};
use crate::document::{DetectorDocument, DocumentError, RuleDirection};
use crate::trace::Direction;

/// What the platform's own detectors are called, so that they cannot clash with a tenant's.
const PLATFORM_PREFIX: &str = "PLATFORM_";

/// Compiled detectors by their definition.
#[derive(Debug, Default)]
struct Known {
    detectors: HashMap<String, Weak<Detector>>,
    /// How many there were when those that nobody uses were last taken out.
    swept: usize,
}

/// Detectors that are in use somewhere, by their definition: equal ones are compiled once for all tenants.
#[derive(Debug, Default)]
pub struct DetectorCache {
    known: Mutex<Known>,
}

impl DetectorCache {
    /// Says whether a detector is compiled already.
    pub(crate) fn holds(&self, document: &DetectorDocument, limits: &CompileLimits) -> bool {
        let known = self.lock();
        known.detectors.get(&definition(document, limits)).is_some_and(|known| known.strong_count() > 0)
    }

    /// Returns the detector, compiled if it is not yet.
    pub(crate) fn get(
        &self,
        document: &DetectorDocument,
        limits: &CompileLimits,
    ) -> Result<Arc<Detector>, String> {
        let definition = definition(document, limits);
        if let Some(known) = self.lock().detectors.get(&definition).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let detector =
            Detector::custom(&custom(document), limits).map(Arc::new).map_err(|error| error.to_string())?;
        let mut known = self.lock();
        // Not each time: a hundred thousand tenants have at least as many detectors.
        if known.detectors.len() > 2 * known.swept {
            known.detectors.retain(|_, detector| detector.strong_count() > 0);
            known.swept = known.detectors.len();
        }
        known.detectors.insert(definition, Arc::downgrade(&detector));
        Ok(detector)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn definition(document: &DetectorDocument, limits: &CompileLimits) -> String {
    serde_json::to_string(&(document, format!("{limits:?}"))).unwrap_or_default()
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
        compile_detectors(*layer, &document.dlp.detectors, &mut own, input)
            .map_err(|error| refuse(*layer, error))?;
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
        let rules = rules.ignoring_examples(ignores_examples(layers));
        Arc::new(match input.value_key {
            Some(key) => rules.with_value_key(key.clone()),
            None => rules,
        })
    };
    Ok(Rules { request: set(Direction::Request), response: set(Direction::Response) })
}

/// Compiles a document's own detectors behind those of the layers above.
fn compile_detectors(
    layer: Layer,
    documents: &[DetectorDocument],
    own: &mut Vec<Arc<Detector>>,
    input: &CompileInput<'_>,
) -> Result<(), DocumentError> {
    let max = input.options.detectors_max;
    if documents.len() > max {
        let expected = format!("at most {max} detectors; put terms of one kind into one list");
        return Err(DocumentError::found("dlp.detectors", documents.len(), expected));
    }
    let max = input.options.automata_bytes_max;
    let mut bytes = 0;
    for (index, document) in documents.iter().enumerate() {
        let path = format!("dlp.detectors[{index}]");
        let detector = compile_detector(&path, layer, document, own, input)?;
        bytes += detector.automaton_bytes();
        if bytes > max {
            let found = format!("{bytes} bytes of compiled detectors up to here");
            let expected =
                format!("at most {max}; use fewer terms, smaller repetitions or fewer alternatives");
            return Err(DocumentError::found(path, found, expected));
        }
        own.push(detector);
    }
    Ok(())
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

/// Returns whether documented example values pass: if a layer says so and none says no.
///
/// So neither a tenant nor an agent can let them pass where the platform, or its tenant, refuses.
fn ignores_examples(layers: &Layers<'_>) -> bool {
    let mut stated = layers.each(|document| document.dlp.ignore_examples).peekable();
    stated.peek().is_some() && stated.all(|ignores| ignores)
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

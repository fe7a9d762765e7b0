//! From documents to a policy that requests are judged by.
//!
//! Three layers lie over each other: **platform** (a floor that no tenant can weaken), **tenant**, **agent**.
//! - DLP: all rules apply; of two for one detector the stricter wins. A value that a tenant or agent allows
//!   still counts where a rule of the platform would find it. `uninspectable: block` of any layer wins.
//!   `email` says how the rules of its own document find addresses, so it weakens no other layer's.
//! - `allow`: what every layer allows. Budgets: all of them. Limits: the lowest that is stated for a tenant, an agent
//!   and a key; those at the top of an agent's document are the agent's, like `per_agent` of the others.
//! - Upstreams are the tenant's. Routes are the agent's where its document has some, else the tenant's.
//! - Prices: the platform's, then the tenant's, then the built-in table. `unknown_price: refuse` of any layer
//!   wins.
//! - `capture`: the least that a layer states; `sealed` is for the tenant and its agents to state. `traces`: the surest, kept for the shortest time.
//!   `max_staleness_seconds`: the lowest.

mod allow;
mod dlp;
mod limits;
mod pattern;
mod rules;
mod spend;
mod traces;
mod upstreams;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use bulkhead_dlp::{CompileLimits, RuleSet, ValueKey};
use secrecy::SecretString;

pub use allow::{AllowList, NotAllowed};
pub use dlp::DetectorCache;
pub use pattern::{InvalidPattern, ModelPattern};
pub use spend::PriceSource;
pub use traces::TraceSettings;
pub use upstreams::{Upstream, UpstreamIndex};

use crate::address::Reach;
use crate::data_key::DataKey;
use crate::document::{Capture, DocumentError, PolicyDocument, Uninspectable, UpstreamDialect};
use crate::ids::{CredentialId, Revision};
use crate::ledger::BudgetSpec;
use crate::limiter::Limits;
use crate::prices::Price;
use limits::LimitsByScope;
use spend::Prices;
use upstreams::Route;

/// Largest request body where no document says otherwise.
pub const BODY_BYTES_DEFAULT: u64 = 32 * 1024 * 1024;

/// Whose document it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// The operator of the installation.
    Platform,
    /// The tenant.
    Tenant,
    /// One agent of the tenant.
    Agent,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Platform => "platform",
            Self::Tenant => "tenant",
            Self::Agent => "agent",
        })
    }
}

/// A credential for an upstream, opened.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The credential.
    pub id: CredentialId,
    /// Its version; connections of different versions are never shared.
    pub version: u32,
    /// The secret that goes to the provider.
    pub secret: Arc<SecretString>,
}

/// What an installation lets a policy cost and do.
#[derive(Debug, Clone)]
pub struct CompileOptions {
    /// Bounds for one custom detector.
    pub detector: CompileLimits,
    /// How many custom detectors a document may have.
    pub detectors_max: usize,
    /// Bytes of all compiled detectors of a document. Building an automaton takes time by its size, so this
    /// bounds the time too: without a clock, so that every node comes to the same verdict.
    pub automata_bytes_max: usize,
    /// Which hosts upstreams may have.
    pub upstreams: Reach,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self {
            detector: CompileLimits::default(),
            detectors_max: 200,
            automata_bytes_max: 16 << 20,
            upstreams: Reach::Public,
        }
    }
}

/// Everything a policy is made from.
#[derive(Debug, Clone, Copy)]
pub struct CompileInput<'a> {
    /// Revision that the result answers to.
    pub revision: Revision,
    /// Documents; at most one per layer.
    pub layers: &'a [(Layer, &'a PolicyDocument)],
    /// The tenant's credentials by name.
    pub credentials: &'a HashMap<String, Credential>,
    /// Bounds and permissions.
    pub options: &'a CompileOptions,
    /// Detectors that are already compiled.
    pub detectors: &'a DetectorCache,
    /// The tenant's key for fingerprints and tokens; `None` where no request will be judged.
    pub value_key: Option<&'a ValueKey>,
    /// The tenant's key for original bodies, where it has one.
    pub data_key: Option<&'a Arc<DataKey>>,
}

/// Says which layer's document cannot be compiled, where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{layer} policy: {error}")]
pub struct CompileError {
    /// Whose document it is.
    pub layer: Layer,
    /// The place and the reason.
    pub error: DocumentError,
}

/// A tenant's policy, or an agent's where it has its own document: immutable, shared by all requests it
/// judges.
///
/// ```
/// use std::collections::HashMap;
/// use bulkhead_policy::compile::*;
/// use bulkhead_policy::document::{CheckOptions, PolicyDocument};
/// use bulkhead_policy::ids::Revision;
/// let text = "
/// upstreams: { openai: { base_url: 'https://api.openai.com', dialect: openai } }
/// allow: { operations: [chat], models: ['gpt-*'] }
/// ";
/// let document = PolicyDocument::parse(text, &CheckOptions::default())?;
/// let policy = compile(&CompileInput {
///     revision: Revision::new(1),
///     layers: &[(Layer::Tenant, &document)],
///     credentials: &HashMap::new(),
///     options: &CompileOptions::default(),
///     detectors: &DetectorCache::default(),
///     value_key: None,
///     data_key: None,
/// })?;
/// assert_eq!(policy.allows("chat", Some("gpt-5")), Ok(()));
/// assert_eq!(policy.allows("chat", Some("o3")), Err(NotAllowed::Model));
/// assert_eq!(policy.route("gpt-5").map(<[_]>::len), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TenantPolicy {
    revision: Revision,
    upstreams: Vec<Upstream>,
    routes: Vec<Route>,
    allow: Vec<AllowList>,
    request_rules: Arc<RuleSet>,
    response_rules: Arc<RuleSet>,
    uninspectable: Uninspectable,
    prices: Prices,
    budgets: Vec<BudgetSpec>,
    limits: LimitsByScope,
    body_bytes_max: u64,
    capture: Capture,
    data_key: Option<Arc<DataKey>>,
    traces: TraceSettings,
    max_staleness_seconds: Option<u64>,
}

/// Lays documents over each other and resolves every name in them.
///
/// Costs up to some hundred milliseconds where detectors are new and large: not for the request path.
///
/// # Errors
/// [`CompileError`] with the layer and the place in its document.
pub fn compile(input: &CompileInput<'_>) -> Result<TenantPolicy, CompileError> {
    let mut layers = input.layers.to_vec();
    layers.sort_by_key(|(layer, _)| *layer);
    let layers = Layers(layers);
    let (upstreams, routes) = upstreams::compile(&layers, input)?;
    let rules = dlp::compile(&layers, input)?;
    Ok(TenantPolicy {
        revision: input.revision,
        upstreams,
        routes,
        allow: allow::compile(&layers)?,
        request_rules: rules.request,
        response_rules: rules.response,
        uninspectable: strictest_uninspectable(&layers),
        prices: Prices::of(&layers)?,
        budgets: spend::budgets(&layers)?,
        limits: limits::compile(&layers)?,
        body_bytes_max: layers
            .each(|document| document.limits.body_bytes.map(NonZeroU64::get))
            .min()
            .unwrap_or(BODY_BYTES_DEFAULT),
        capture: least_capture(&layers)?,
        data_key: input.data_key.cloned(),
        traces: TraceSettings::of(&layers)?,
        max_staleness_seconds: layers.each(|document| document.max_staleness_seconds).min(),
    })
}

/// Documents in the order platform, tenant, agent.
struct Layers<'a>(Vec<(Layer, &'a PolicyDocument)>);

impl<'a> Layers<'a> {
    fn get(&self, wanted: Layer) -> Option<&'a PolicyDocument> {
        self.0.iter().find(|(layer, _)| *layer == wanted).map(|(_, document)| *document)
    }

    /// Returns what layers state, leaving out those that do not.
    fn each<T: 'a>(&self, stated: impl Fn(&'a PolicyDocument) -> Option<T>) -> impl Iterator<Item = T> {
        self.0.iter().filter_map(move |(_, document)| stated(document))
    }
}

fn refuse(layer: Layer, error: DocumentError) -> CompileError {
    CompileError { layer, error }
}

fn strictest_uninspectable(layers: &Layers<'_>) -> Uninspectable {
    let mut stated = layers.each(|document| document.dlp.uninspectable).peekable();
    let says_allow = stated.peek().is_some() && stated.all(|what| what == Uninspectable::Allow);
    if says_allow { Uninspectable::Allow } else { Uninspectable::Block }
}

/// Keeping originals is a tenant's own decision, and its key is made when it takes it; the platform can only forbid.
fn least_capture(layers: &Layers<'_>) -> Result<Capture, CompileError> {
    if layers.get(Layer::Platform).and_then(|document| document.capture) == Some(Capture::Sealed) {
        let message = "sealed is not part of the platform policy; state it in the tenant's";
        return Err(refuse(Layer::Platform, DocumentError::new("capture", message)));
    }
    Ok(layers.each(|document| document.capture).min().unwrap_or(Capture::None))
}

impl TenantPolicy {
    /// Returns the tenant's revision that this policy belongs to.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Says whether a call may be made; `model` is `None` where the operation has none.
    ///
    /// # Errors
    /// [`NotAllowed`] with what is missing.
    pub fn allows(&self, operation: &str, model: Option<&str>) -> Result<(), NotAllowed> {
        self.allow.iter().try_for_each(|list| list.check(operation, model))
    }

    /// Returns where a model goes: the first upstream and its fallbacks; `None` if no route matches.
    #[must_use]
    pub fn route(&self, model: &str) -> Option<&[UpstreamIndex]> {
        self.routes.iter().find(|route| route.matches(model)).map(Route::upstreams)
    }

    /// Returns the upstreams of a model's route that speak `dialect`, in order.
    pub fn upstreams_for(&self, model: &str, dialect: UpstreamDialect) -> impl Iterator<Item = &Upstream> {
        let route = self.route(model).unwrap_or_default();
        route
            .iter()
            .filter_map(|index| self.upstream(*index))
            .filter(move |upstream| upstream.dialect == dialect)
    }

    /// Returns an upstream of a route.
    #[must_use]
    pub fn upstream(&self, index: UpstreamIndex) -> Option<&Upstream> {
        self.upstreams.get(index.position())
    }

    /// Returns all upstreams, ordered by name.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// Returns the rules for what the agent sends.
    #[must_use]
    pub fn request_rules(&self) -> &Arc<RuleSet> {
        &self.request_rules
    }

    /// Returns the rules for what the provider answers.
    #[must_use]
    pub fn response_rules(&self) -> &Arc<RuleSet> {
        &self.response_rules
    }

    /// Returns what happens with what cannot be read.
    #[must_use]
    pub fn uninspectable(&self) -> Uninspectable {
        self.uninspectable
    }

    /// Returns the price to count a model at; `None`: it has none, and under a budget in usd it must be
    /// refused.
    #[must_use]
    pub fn price(&self, model: &str) -> Option<Price> {
        self.prices.find(model).map(|(price, _)| price)
    }

    /// Returns the price to count a model at, and where it was found.
    #[must_use]
    pub fn priced(&self, model: &str) -> Option<(Price, PriceSource)> {
        self.prices.find(model)
    }

    /// Returns the prices that the documents state, by model, in no order.
    pub fn stated_prices(&self) -> impl Iterator<Item = (&str, Price, PriceSource)> {
        self.prices.stated()
    }

    /// Returns all budgets, those of every layer.
    #[must_use]
    pub fn budgets(&self) -> &[BudgetSpec] {
        &self.budgets
    }

    /// Returns the limits that all requests of the tenant share.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits.tenant
    }

    /// Returns the limits of each agent that this policy judges.
    #[must_use]
    pub fn agent_limits(&self) -> Limits {
        self.limits.agent
    }

    /// Returns the limits of each API key of those agents.
    #[must_use]
    pub fn key_limits(&self) -> Limits {
        self.limits.key
    }

    /// Returns the largest request body in bytes, as sent and after decompression.
    #[must_use]
    pub fn body_bytes_max(&self) -> u64 {
        self.body_bytes_max
    }

    /// Returns which bodies traces keep.
    #[must_use]
    pub fn capture(&self) -> Capture {
        self.capture
    }

    /// Returns what seals original bodies; `None` unless the policy wants them.
    #[must_use]
    pub fn body_key(&self) -> Option<&Arc<DataKey>> {
        self.data_key.as_ref().filter(|_| self.capture == Capture::Sealed)
    }

    /// Returns how long this may be judged by after the database was last reached; `None`: for ever.
    #[must_use]
    pub fn max_staleness_seconds(&self) -> Option<u64> {
        self.max_staleness_seconds
    }

    /// Returns how surely traces are kept.
    #[must_use]
    pub fn traces(&self) -> TraceSettings {
        self.traces
    }
}

#[cfg(test)]
mod tests;

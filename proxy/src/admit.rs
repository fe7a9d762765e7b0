//! Steps 3 to 5: whose request is it, what does it ask, and may it come in now?
//!
//! An [`Exchange`] is made only here, together with the place that the request takes. Whoever holds one need not ask
//! whether the key was valid, which policy judges, or whether the tenant had room.

use crate::identify::api_key;
use crate::record::{Arrival, Caller, Recorder};
use crate::rejection::Rejection;
use crate::room::Room;
use bulkhead_dialect::{Dialect, Endpoint, Unknown, UnknownReason, classify};
use bulkhead_policy::compile::NotAllowed;
use bulkhead_policy::ids::Revision;
use bulkhead_policy::ledger::Ledger;
use bulkhead_policy::limiter::Admission;
use bulkhead_policy::snapshot::{KeyContext, Refusal, SnapshotHandle, Tenant};
use pingora::http::RequestHeader;
use std::sync::Arc;

/// Headers that one dialect's SDKs send with every request.
const SPEAKING: [(&str, Dialect); 3] = [
    ("anthropic-version", Dialect::Anthropic),
    ("x-goog-api-key", Dialect::Gemini),
    ("x-goog-api-client", Dialect::Gemini),
];

/// A request that was admitted.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) key: Arc<KeyContext>,
    pub(crate) endpoint: Endpoint,
}

/// A request whose key was resolved by the one snapshot that judges it.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) key: Arc<KeyContext>,
    pub(crate) caller: Caller,
}

/// A request that ends before it is anybody's, or whose key does not count.
#[derive(Debug)]
pub(crate) struct Unresolved {
    pub(crate) rejection: Rejection,
    /// Whose key it is, where the key is known.
    pub(crate) known: Option<Caller>,
}

impl From<Rejection> for Box<Unresolved> {
    fn from(rejection: Rejection) -> Self {
        Self::new(Unresolved { rejection, known: None })
    }
}

/// What a request line stands for, and the dialect to answer in whatever it is.
pub(crate) fn classified(head: &RequestHeader) -> (Dialect, Result<Endpoint, Unknown>) {
    let spoken = SPEAKING.iter().find(|(name, _)| head.headers.contains_key(*name));
    let endpoint = classify(head.method.as_str(), head.uri.path(), spoken.map(|(_, dialect)| *dialect));
    let dialect = match &endpoint {
        Ok(endpoint) => endpoint.dialect,
        Err(unknown) => unknown.nearest,
    };
    (dialect, endpoint)
}

/// Steps 2 and 3: the key, by the snapshot of this moment. No I/O.
///
/// # Errors
/// 401, 400 for two keys, 503 without a snapshot; with the caller where the key is known but does not count.
pub(crate) fn resolve(
    head: &RequestHeader,
    dialect: Dialect,
    snapshots: &SnapshotHandle,
    arrival: &Arrival,
) -> Result<Resolved, Box<Unresolved>> {
    let key = api_key(&head.headers, head.uri.query().filter(|_| dialect == Dialect::Gemini))?;
    let Some(snapshot) = snapshots.load() else {
        return Err(Rejection::not_ready().into());
    };
    match snapshot.resolve(&key, arrival.at) {
        Ok(context) => {
            let (tenant, agent, key) = (context.tenant(), context.agent(), context.key_id());
            let caller = Caller { tenant, agent, key, revision: context.policy().revision() };
            Ok(Resolved { key: Arc::clone(context), caller })
        }
        Err(unresolved) => {
            let known = unresolved.known.map(|(tenant, agent, key)| {
                let revision = snapshot.tenant(tenant).map_or(Revision::new(0), Tenant::revision);
                Caller { tenant, agent, key, revision }
            });
            // A tenant none of whose policies ever compiled cannot be judged; that is not the key's fault.
            let no_policy = unresolved.refusal == Refusal::NoPolicy;
            let rejection = if no_policy { Rejection::not_ready() } else { Rejection::unauthorized() };
            Err(Box::new(Unresolved { rejection, known }))
        }
    }
}

/// Steps 4 and 5: whether what is known is new enough, the operation, the rate, the room, and whether any budget is left at all.
///
/// # Errors
/// The rejection of the first thing that stands in the way.
pub(crate) fn admit(
    resolved: &Resolved,
    endpoint: Result<Endpoint, Unknown>,
    snapshots: &SnapshotHandle,
    room: &Room,
    arrival: &Arrival,
    recorder: &mut Recorder,
) -> Result<(Exchange, Admission), Rejection> {
    let max_staleness = resolved.key.policy().max_staleness_seconds();
    if max_staleness.is_some_and(|seconds| snapshots.staleness(arrival.at).as_secs() > seconds) {
        return Err(Rejection::policy_stale());
    }
    let endpoint = endpoint.map_err(|unknown| match unknown.reason {
        UnknownReason::NoSuchPath => Rejection::unknown_path(),
        UnknownReason::MethodNotAllowed { allow } => Rejection::method_not_allowed(allow),
    })?;
    let key = &resolved.key;
    may_call(key, endpoint, None)?;
    let place = key
        .limits()
        .admit(room.tenant_places_max(), arrival.at)
        .map_err(|throttled| Rejection::throttled(&throttled))?;
    // Those of some models are asked when the model is known.
    has_budget(&key.ledgers_for(None), endpoint.dialect, recorder)?;
    Ok((Exchange { key: Arc::clone(key), endpoint }, place))
}

/// Whether anything is left of each budget, as far as is known here.
///
/// # Errors
/// The rejection that names the exhausted budget.
pub(crate) fn has_budget(
    ledgers: &[Arc<Ledger>],
    dialect: Dialect,
    recorder: &mut Recorder,
) -> Result<(), Rejection> {
    for ledger in ledgers {
        if let Err(exhausted) = ledger.check(recorder.record.at) {
            recorder.refused_by(ledgers);
            return Err(Rejection::budget_exhausted(dialect, exhausted.budget.as_str()));
        }
    }
    Ok(())
}

/// Whether key and policy allow the operation and, once it is known, the model.
///
/// # Errors
/// 400 with `operation_not_allowed` or `model_not_allowed`.
pub(crate) fn may_call(key: &KeyContext, endpoint: Endpoint, model: Option<&str>) -> Result<(), Rejection> {
    let operation = endpoint.operation.as_str();
    key.allows(operation, model).map_err(|not_allowed| match not_allowed {
        NotAllowed::Operation => Rejection::not_allowed(
            "operation_not_allowed",
            format!("the operation `{operation}` is not allowed for this key"),
        ),
        NotAllowed::Model => {
            Rejection::not_allowed("model_not_allowed", "the model is not allowed for this key")
        }
    })
}

//! Whose limits are which: the lowest that any layer states for a tenant, an agent and a key.

use super::{CompileError, Layer, Layers, refuse};
use crate::document::{DocumentError, LimitsDocument};
use crate::limiter::Limits;

/// The limits that one caller is held to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LimitsByScope {
    pub(super) tenant: Limits,
    pub(super) agent: Limits,
    pub(super) key: Limits,
}

pub(super) fn compile(layers: &Layers<'_>) -> Result<LimitsByScope, CompileError> {
    let mut limits = LimitsByScope::default();
    for (layer, document) in &layers.0 {
        let LimitsDocument { per_agent, per_key, .. } = document.limits;
        let together = document.limits.together();
        match (layer, per_agent) {
            (Layer::Platform | Layer::Tenant, per_agent) => {
                limits.tenant = limits.tenant.min(together);
                limits.agent = limits.agent.min(per_agent.unwrap_or_default().into());
            }
            (Layer::Agent, None) => limits.agent = limits.agent.min(together),
            (Layer::Agent, Some(_)) => {
                let message =
                    "an agent's policy is about this agent alone; write its limits without per_agent";
                return Err(refuse(Layer::Agent, DocumentError::new("limits.per_agent", message)));
            }
        }
        limits.key = limits.key.min(per_key.unwrap_or_default().into());
    }
    Ok(limits)
}

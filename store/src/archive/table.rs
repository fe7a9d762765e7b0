//! The tables of an archive: which they are, and which columns of each.
//!
//! Statements are written out, because they are checked when this crate is compiled. `tests/archive.rs` holds the names
//! against the catalog.

mod read;
mod write;

/// A table with rows of tenants. The order is that of an archive: what others refer to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Agents,
    ApiKeys,
    ApiKeyUsage,
    Credentials,
    Policies,
    ActivePolicies,
    BudgetUsage,
    BudgetAlerts,
    Traces,
    TraceBodies,
    TraceDetectors,
    Audit,
}

/// Tables with rows of tenants that are in no archive, each with the reason.
#[cfg(test)]
pub(crate) const LEFT_OUT: [(&str, &str); 5] = [
    ("budget_leases", "what the nodes of one installation hold; those of another are granted anew"),
    ("rate_shares", "what the nodes of one installation have of rates, for seconds"),
    ("policy_acks", "what the nodes of one installation say; those of another say it anew"),
    ("audit_heads", "follows from the entries: the last of each chain"),
    ("tenant_keys", "an archive outlives a tenant's erasure, and the keys must not"),
];

/// Columns of tables of an archive that are not in it: of sealed bodies, which open with a data key alone.
#[cfg(test)]
pub(crate) const LEFT_OUT_COLUMNS: [(&str, &str); 3] = [
    ("trace_bodies", "sealed_request"),
    ("trace_bodies", "sealed_response"),
    ("trace_bodies", "key_version"),
];

impl Table {
    pub(crate) const ALL: [Self; 12] = [
        Self::Agents,
        Self::ApiKeys,
        Self::ApiKeyUsage,
        Self::Credentials,
        Self::Policies,
        Self::ActivePolicies,
        Self::BudgetUsage,
        Self::BudgetAlerts,
        Self::Traces,
        Self::TraceBodies,
        Self::TraceDetectors,
        Self::Audit,
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::ApiKeys => "api_keys",
            Self::ApiKeyUsage => "api_key_usage",
            Self::Credentials => "credentials",
            Self::Policies => "policies",
            Self::ActivePolicies => "active_policies",
            Self::BudgetUsage => "budget_usage",
            Self::BudgetAlerts => "budget_alerts",
            Self::Traces => "traces",
            Self::TraceBodies => "trace_bodies",
            Self::TraceDetectors => "trace_detectors",
            Self::Audit => "audit",
        }
    }

    /// Whether its rows are of no use without the master key that they were sealed under.
    pub(super) const fn opens_under_master_key(self) -> bool {
        matches!(self, Self::Credentials)
    }

    /// Whether its rows are in the database that their tenant is placed in.
    pub(super) const fn is_placed(self) -> bool {
        matches!(self, Self::Traces | Self::TraceBodies | Self::TraceDetectors)
    }

    /// Every column that is stored. `policies.scope` follows from others.
    pub(crate) const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Agents => &["tenant_id", "id", "name", "disabled", "created_at"],
            Self::ApiKeys => {
                &["tenant_id", "id", "agent_id", "hash", "scopes", "created_at", "expires_at", "revoked_at"]
            }
            Self::ApiKeyUsage => &["tenant_id", "key_id", "last_used_at"],
            Self::Credentials => &["tenant_id", "id", "name", "version", "sealed", "changed_at"],
            Self::Policies => &["tenant_id", "version", "agent_id", "document", "author", "created_at"],
            Self::ActivePolicies => &["tenant_id", "scope", "version", "activated_at"],
            Self::BudgetUsage => {
                &["tenant_id", "budget", "subject", "unit", "window_start", "amount", "changed_at"]
            }
            Self::BudgetAlerts => &[
                "tenant_id",
                "budget",
                "subject",
                "unit",
                "window_start",
                "line",
                "budget_limit",
                "used",
                "trace_id",
                "at",
            ],
            Self::Traces => &[
                "tenant_id",
                "at",
                "id",
                "agent_id",
                "key_id",
                "policy_revision",
                "dialect",
                "operation",
                "model_asked",
                "model_served",
                "upstream",
                "status",
                "outcome",
                "reason",
                "streamed",
                "input_tokens",
                "cached_input_tokens",
                "output_tokens",
                "reasoning_tokens",
                "tokens_estimated",
                "cost_nano_usd",
                "overhead_micros",
                "first_byte_micros",
                "total_micros",
                "attempts",
                "request_bytes",
                "response_bytes",
                "findings",
                "findings_total",
                "uninspected",
                "budgets",
            ],
            Self::TraceBodies => &["tenant_id", "at", "id", "form", "request", "response", "truncated"],
            Self::TraceDetectors => {
                &["tenant_id", "detector", "at", "id", "agent_id", "outcome", "model_asked"]
            }
            Self::Audit => &["tenant_id", "seq", "id", "at", "actor", "action", "target", "detail", "hash"],
        }
    }
}

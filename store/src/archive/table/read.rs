//! A tenant's rows as lines of an archive.

use futures_util::stream::BoxStream;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Table;

impl Table {
    /// The tenant's rows, each as a line without its end, in an order that does not depend on when they came.
    ///
    /// Bytes are base64 in one line. JSON whose text matters, to whoever wrote it or to a hash, is text.
    #[expect(clippy::too_many_lines, reason = "a statement for each table")]
    pub(crate) fn read(
        self,
        connection: &mut PgConnection,
        tenant: Uuid,
    ) -> BoxStream<'_, Result<String, sqlx::Error>> {
        match self {
            Self::Agents => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'agents' as "table", tenant_id, id, name, disabled, created_at
                     from agents where tenant_id = $1 order by id) as line"#,
                tenant
            )
            .fetch(connection),
            Self::ApiKeys => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'api_keys' as "table", tenant_id, id, agent_id, translate(encode(hash, 'base64'), E'\n', '') as hash,
                       scopes::text as scopes, created_at, expires_at, revoked_at
                     from api_keys where tenant_id = $1 order by id) as line"#,
                tenant
            )
            .fetch(connection),
            Self::ApiKeyUsage => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'api_key_usage' as "table", tenant_id, key_id, last_used_at
                     from api_key_usage where tenant_id = $1 order by key_id) as line"#,
                tenant
            )
            .fetch(connection),
            Self::Credentials => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'credentials' as "table", tenant_id, id, name, version,
                       translate(encode(sealed, 'base64'), E'\n', '') as sealed, changed_at
                     from credentials where tenant_id = $1 order by id) as line"#,
                tenant
            )
            .fetch(connection),
            Self::Policies => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'policies' as "table", tenant_id, version, agent_id, document::text as document, author, created_at
                     from policies where tenant_id = $1 order by version) as line"#,
                tenant
            )
            .fetch(connection),
            Self::ActivePolicies => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'active_policies' as "table", tenant_id, scope, version, activated_at
                     from active_policies where tenant_id = $1 order by scope) as line"#,
                tenant
            )
            .fetch(connection),
            Self::BudgetUsage => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'budget_usage' as "table", tenant_id, budget, subject, unit, window_start, amount, changed_at
                     from budget_usage where tenant_id = $1 order by budget, subject, unit, window_start) as line"#,
                tenant
            )
            .fetch(connection),
            Self::BudgetAlerts => sqlx::query_scalar!(
                r#"select row_to_json(alert)::text as "line!" from (
                     select 'budget_alerts' as "table", tenant_id, budget, subject, unit, window_start, line, budget_limit, used,
                       trace_id, at
                     from budget_alerts where tenant_id = $1 order by budget, subject, unit, window_start, line) as alert"#,
                tenant
            )
            .fetch(connection),
            Self::Traces => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'traces' as "table", tenant_id, at, id, agent_id, key_id, policy_revision, dialect, operation,
                       model_asked, model_served, upstream, status, outcome, reason, streamed, input_tokens,
                       cached_input_tokens, output_tokens, reasoning_tokens, tokens_estimated, cost_nano_usd,
                       overhead_micros, first_byte_micros, total_micros, attempts, request_bytes, response_bytes, findings,
                       findings_total, uninspected, budgets
                     from traces where tenant_id = $1 order by at, id) as line"#,
                tenant
            )
            .fetch(connection),
            Self::TraceBodies => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'trace_bodies' as "table", tenant_id, at, id, form,
                       translate(encode(request, 'base64'), E'\n', '') as request,
                       translate(encode(response, 'base64'), E'\n', '') as response, truncated
                     from trace_bodies where tenant_id = $1 and form = 'masked' order by at, id) as line"#,
                tenant
            )
            .fetch(connection),
            Self::TraceDetectors => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'trace_detectors' as "table", tenant_id, detector, at, id, agent_id, outcome, model_asked
                     from trace_detectors where tenant_id = $1 order by detector, at, id) as line"#,
                tenant
            )
            .fetch(connection),
            Self::Audit => sqlx::query_scalar!(
                r#"select row_to_json(line)::text as "line!" from (
                     select 'audit' as "table", tenant_id, seq, id, at, actor, action, target, detail::text as detail,
                       translate(encode(hash, 'base64'), E'\n', '') as hash
                     from audit where tenant_id = $1 order by seq) as line"#,
                tenant
            )
            .fetch(connection),
        }
    }
}

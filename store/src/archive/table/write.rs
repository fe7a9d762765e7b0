//! Lines of an archive as a tenant's rows.

use sqlx::PgConnection;
use sqlx::postgres::PgQueryResult;

use super::Table;

impl Table {
    /// Inserts rows, given as a JSON array of lines.
    ///
    /// Where no foreign key held late arrivals back, rows may be there already although the tenant was deleted: what a node
    /// still had in its spool. A trace is then left as it is, and what was spent is added up.
    #[expect(clippy::too_many_lines, reason = "a statement for each table")]
    pub(crate) async fn write(
        self,
        connection: &mut PgConnection,
        rows: &str,
    ) -> Result<PgQueryResult, sqlx::Error> {
        match self {
            Self::Agents => {
                sqlx::query!(
                    "insert into agents (tenant_id, id, name, disabled, created_at)
                     select tenant_id, id, name, disabled, created_at
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, id uuid, name text, disabled boolean, created_at timestamptz)",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::ApiKeys => {
                sqlx::query!(
                    "insert into api_keys (tenant_id, id, agent_id, hash, scopes, created_at, expires_at, revoked_at)
                     select tenant_id, id, agent_id, decode(hash, 'base64'), scopes::json, created_at, expires_at, revoked_at
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, id text, agent_id uuid, hash text, scopes text, created_at timestamptz,
                         expires_at timestamptz, revoked_at timestamptz)",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::ApiKeyUsage => {
                sqlx::query!(
                    "insert into api_key_usage (tenant_id, key_id, last_used_at)
                     select tenant_id, key_id, last_used_at
                     from json_to_recordset($1::text::json) as row (tenant_id uuid, key_id text, last_used_at timestamptz)
                     on conflict (tenant_id, key_id) do update
                       set last_used_at = greatest(api_key_usage.last_used_at, excluded.last_used_at)",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::Credentials => {
                sqlx::query!(
                    "insert into credentials (tenant_id, id, name, version, sealed, changed_at)
                     select tenant_id, id, name, version, decode(sealed, 'base64'), changed_at
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, id uuid, name text, version integer, sealed text, changed_at timestamptz)",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::Policies => {
                sqlx::query!(
                    "insert into policies (tenant_id, version, agent_id, document, author, created_at)
                     select tenant_id, version, agent_id, document::json, author, created_at
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, version bigint, agent_id uuid, document text, author text,
                         created_at timestamptz)",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::ActivePolicies => {
                sqlx::query!(
                    "insert into active_policies (tenant_id, scope, version, activated_at)
                     select tenant_id, scope, version, activated_at
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, scope uuid, version bigint, activated_at timestamptz)",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::BudgetUsage => {
                sqlx::query!(
                    "insert into budget_usage (tenant_id, budget, subject, unit, window_start, amount, changed_at)
                     select tenant_id, budget, subject, unit, window_start, amount, changed_at
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, budget text, subject text, unit text, window_start timestamptz, amount bigint,
                         changed_at timestamptz)
                     on conflict (tenant_id, budget, subject, unit, window_start) do update
                       set amount = least(budget_usage.amount::numeric + excluded.amount, 9223372036854775807)::bigint",
                    rows
                )
                .execute(connection)
                .await
            }
            // What was told stays told: it is in the audit trail that comes with it.
            Self::BudgetAlerts => {
                sqlx::query!(
                    "insert into budget_alerts (tenant_id, budget, subject, unit, window_start, line, budget_limit, used,
                       trace_id, at)
                     select tenant_id, budget, subject, unit, window_start, line, budget_limit, used, trace_id, at
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, budget text, subject text, unit text, window_start timestamptz, line bigint,
                         budget_limit bigint, used bigint, trace_id uuid, at timestamptz)
                     on conflict do nothing",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::Traces => {
                sqlx::query!(
                    "insert into traces (tenant_id, at, id, agent_id, key_id, policy_revision, dialect, operation, model_asked,
                       model_served, upstream, status, outcome, reason, streamed, input_tokens, cached_input_tokens,
                       output_tokens, reasoning_tokens, tokens_estimated, cost_nano_usd, overhead_micros, first_byte_micros,
                       total_micros, attempts, request_bytes, response_bytes, findings, findings_total, uninspected, budgets)
                     select tenant_id, at, id, agent_id, key_id, policy_revision, dialect, operation, model_asked,
                       model_served, upstream, status, outcome, reason, streamed, input_tokens, cached_input_tokens,
                       output_tokens, reasoning_tokens, tokens_estimated, cost_nano_usd, overhead_micros, first_byte_micros,
                       total_micros, attempts, request_bytes, response_bytes, findings, findings_total, uninspected, budgets
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, at timestamptz, id uuid, agent_id uuid, key_id text, policy_revision bigint,
                         dialect text, operation text, model_asked text, model_served text, upstream text, status integer,
                         outcome text, reason text, streamed boolean, input_tokens bigint, cached_input_tokens bigint,
                         output_tokens bigint, reasoning_tokens bigint, tokens_estimated boolean, cost_nano_usd bigint,
                         overhead_micros bigint, first_byte_micros bigint, total_micros bigint, attempts integer,
                         request_bytes bigint, response_bytes bigint, findings jsonb, findings_total bigint,
                         uninspected boolean, budgets jsonb)
                     on conflict do nothing",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::TraceBodies => {
                sqlx::query!(
                    "insert into trace_bodies (tenant_id, at, id, form, request, response, truncated)
                     select tenant_id, at, id, form, decode(request, 'base64'), decode(response, 'base64'), truncated
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, at timestamptz, id uuid, form text, request text, response text,
                         truncated boolean)
                     on conflict do nothing",
                    rows
                )
                .execute(connection)
                .await
            }
            Self::TraceDetectors => {
                sqlx::query!(
                    "insert into trace_detectors (tenant_id, detector, at, id, agent_id, outcome, model_asked)
                     select tenant_id, detector, at, id, agent_id, outcome, model_asked
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, detector text, at timestamptz, id uuid, agent_id uuid, outcome text,
                         model_asked text)
                     on conflict do nothing",
                    rows
                )
                .execute(connection)
                .await
            }
            // In their order, because each is chained to the one before; the chain takes none that does not give its hash. None
            // comes without one: that would be a new entry.
            Self::Audit => {
                sqlx::query!(
                    "insert into audit (tenant_id, seq, id, at, actor, action, target, detail, hash)
                     select tenant_id, seq, id, at, actor, action, target, detail::jsonb, coalesce(decode(hash, 'base64'), '')
                     from json_to_recordset($1::text::json)
                       as row (tenant_id uuid, seq bigint, id uuid, at timestamptz, actor text, action text, target text,
                         detail text, hash text)
                     order by seq",
                    rows
                )
                .execute(connection)
                .await
            }
        }
    }
}

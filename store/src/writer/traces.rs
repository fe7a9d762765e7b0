//! Appends traces.

use bulkhead_policy::trace::TraceRecord;
use sqlx::PgConnection;

use super::columns::{Bodies, Columns, Detectors};
use crate::Store;
use crate::error::{Attempted, StoreError};
use crate::partitions::check_partitions_of;

/// Appends a batch of traces, of any tenants, with their bodies and detectors; those that are there already are left as they
/// are.
///
/// All or none are written: a row of one table never stands without those of the others. If [`StoreError::is_transient`]
/// says that the data is at fault, halve the batch to find the record that is.
///
/// # Errors
/// [`StoreError::OpenPartition`] if a partition that the batch may reach is not closed, [`StoreError::Database`] or
/// [`StoreError::Invalid`].
pub async fn insert_traces(store: &Store, traces: &[TraceRecord]) -> Result<(), StoreError> {
    if traces.is_empty() {
        return Ok(());
    }
    let tenants = traces.iter().map(|trace| trace.tenant.as_uuid()).collect();
    let mut tx = super::begin(store, tenants).await?;
    insert(&mut tx, traces).await?;
    tx.commit().await.attempted("commit traces")
}

/// Appends traces to the database that their tenants are placed in. When keys were used is noted in the shared one, by
/// [`super::ship`].
///
/// # Errors
/// As for [`insert_traces`]; if the database takes no traces of a tenant, because it is placed elsewhere by now, that is
/// transient.
pub async fn insert_placed(store: &Store, traces: &[TraceRecord]) -> Result<(), StoreError> {
    if traces.is_empty() {
        return Ok(());
    }
    let tenants = traces.iter().map(|trace| trace.tenant.as_uuid()).collect();
    let mut tx = super::begin(store, tenants).await?;
    append_all(&mut tx, &Columns::of(traces)?).await?;
    tx.commit().await.attempted("commit traces")
}

/// The same within a transaction.
pub(super) async fn insert(connection: &mut PgConnection, traces: &[TraceRecord]) -> Result<(), StoreError> {
    if traces.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(traces)?;
    append_all(connection, &columns).await?;
    note_used_keys(connection, &columns).await
}

/// Notes what the keys of traces say that are stored elsewhere.
pub(super) async fn note_placed(
    connection: &mut PgConnection,
    traces: &[TraceRecord],
) -> Result<(), StoreError> {
    if traces.is_empty() {
        return Ok(());
    }
    note_used_keys(connection, &Columns::of(traces)?).await
}

async fn append_all(connection: &mut PgConnection, columns: &Columns<'_>) -> Result<(), StoreError> {
    check_partitions_of(connection, &columns.at).await?;
    append(connection, columns).await?;
    append_bodies(connection, &columns.bodies).await?;
    append_detectors(connection, &columns.detectors).await
}

async fn append(connection: &mut PgConnection, columns: &Columns<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into traces (tenant_id, at, id, agent_id, key_id, policy_revision, dialect, operation, model_asked,
           model_served, upstream, status, outcome, reason, streamed, input_tokens, cached_input_tokens, output_tokens,
           reasoning_tokens, tokens_estimated, cost_nano_usd, overhead_micros, first_byte_micros, total_micros, attempts,
           request_bytes, response_bytes, findings, findings_total, uninspected, budgets)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::text[],
           $8::text[], $9::text[], $10::text[], $11::text[], $12::integer[], $13::text[], $14::text[], $15::boolean[],
           $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::boolean[], $21::bigint[], $22::bigint[],
           $23::bigint[], $24::bigint[], $25::integer[], $26::bigint[], $27::bigint[], $28::jsonb[], $29::bigint[],
           $30::boolean[], $31::jsonb[])
         on conflict do nothing",
        &columns.tenant_id,
        &columns.at,
        &columns.id,
        &columns.agent_id as _,
        &columns.key_id as _,
        &columns.policy_revision,
        &columns.dialect as _,
        &columns.operation as _,
        &columns.model_asked as _,
        &columns.model_served as _,
        &columns.upstream as _,
        &columns.status,
        &columns.outcome as _,
        &columns.reason as _,
        &columns.streamed,
        &columns.input_tokens,
        &columns.cached_input_tokens,
        &columns.output_tokens,
        &columns.reasoning_tokens,
        &columns.tokens_estimated,
        &columns.cost_nano_usd,
        &columns.overhead_micros,
        &columns.first_byte_micros as _,
        &columns.total_micros,
        &columns.attempts,
        &columns.request_bytes,
        &columns.response_bytes,
        &columns.findings as _,
        &columns.findings_total,
        &columns.uninspected,
        &columns.budgets as _,
    )
    .execute(connection)
    .await
    .attempted("append traces")?;
    Ok(())
}

async fn append_bodies(connection: &mut PgConnection, bodies: &Bodies<'_>) -> Result<(), StoreError> {
    if bodies.id.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into trace_bodies (tenant_id, at, id, form, request, response, sealed_request, sealed_response, key_version,
           truncated)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[],
           $8::bytea[], $9::integer[], $10::boolean[])
         on conflict do nothing",
        &bodies.tenant_id,
        &bodies.at,
        &bodies.id,
        &bodies.form as _,
        &bodies.request as _,
        &bodies.response as _,
        &bodies.sealed_request as _,
        &bodies.sealed_response as _,
        &bodies.key_version as _,
        &bodies.truncated,
    )
    .execute(connection)
    .await
    .attempted("append bodies")?;
    Ok(())
}

async fn append_detectors(
    connection: &mut PgConnection,
    detectors: &Detectors<'_>,
) -> Result<(), StoreError> {
    if detectors.id.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into trace_detectors (tenant_id, detector, at, id, agent_id, outcome, model_asked)
         select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::text[], $7::text[])
         on conflict do nothing",
        &detectors.tenant_id,
        &detectors.detector as _,
        &detectors.at,
        &detectors.id,
        &detectors.agent_id as _,
        &detectors.outcome as _,
        &detectors.model_asked as _,
    )
    .execute(connection)
    .await
    .attempted("append detectors")?;
    Ok(())
}

/// Notes when keys were last used: one row per key of the batch, and none for a key noted within the last minute.
async fn note_used_keys(connection: &mut PgConnection, columns: &Columns<'_>) -> Result<(), StoreError> {
    // Ordered, so that two nodes that note the same keys wait for each other instead of for ever.
    sqlx::query!(
        "insert into api_key_usage (tenant_id, key_id, last_used_at)
         select tenant_id, key_id, max(at) from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as used (tenant_id, key_id, at)
         where key_id is not null group by tenant_id, key_id order by tenant_id, key_id
         on conflict (tenant_id, key_id) do update set last_used_at = excluded.last_used_at
         where api_key_usage.last_used_at < excluded.last_used_at - interval '1 minute'",
        &columns.tenant_id,
        &columns.key_id as _,
        &columns.at,
    )
    .execute(connection)
    .await
    .attempted("note used keys")?;
    Ok(())
}

//! `bulkhead trace reveal`: the original bodies of one request, for somebody who says why.

use bulkhead_policy::data_key::{BodyPlace, DataKey, OpenedBody};
use bulkhead_policy::ids::TraceId;
use bulkhead_policy::trace::{Direction, SealedBody};
use bulkhead_store::reveal::{Reason, RecordedReveal, SealedTrace, record_reveal};
use bulkhead_store::{Role, StoreError};
use serde_json::{Value, json};

use super::printable_lines;
use crate::context::{MasterKeyArgs, Place, TenantArgs, TenantScope, actor, named};
use crate::failure::Failure;
use crate::output::{Format, print, print_json};

/// Writes the audit entry, and only then reads, opens and prints.
pub(super) async fn run(
    id: TraceId,
    reason: &str,
    tenant: &TenantArgs,
    master_key: &MasterKeyArgs,
    format: Format,
) -> Result<(), Failure> {
    let reason = Reason::new(reason).map_err(|error| Failure::Usage(format!("--reason: {error}")))?;
    let provider = master_key.read(&tenant.database)?.local_keys()?;
    let scope = tenant.connect_as(Role::Revealer).await?;
    // In the tenant's audit trail first, and then, if its traces are elsewhere, in that database's, which shows nothing without.
    let recorded = record_reveal(scope.store(), &actor(), scope.id(), id, &reason).await?;
    let found = find(&scope, &recorded, id, &reason).await?;
    let version = found.bodies.key_version;
    let Some(stored) = found.key else {
        return Err(Failure::failed(format!(
            "data key {version} was destroyed: its bodies open never again"
        )));
    };
    let key = DataKey::unwrap(&stored, scope.id(), &provider).map_err(|_| {
        Failure::failed(format!(
            "data key {version} cannot be unwrapped: it is wrapped with the master key {}, which was not given",
            stored.key_id
        ))
    })?;
    let open = |body: Option<SealedBody>, direction| {
        let place = BodyPlace { tenant: scope.id(), trace: id, direction };
        body.map(|body| key.open(place, &body.0)).transpose()
    };
    let request = open(found.bodies.request, Direction::Request)?;
    let response = open(found.bodies.response, Direction::Response)?;
    match format {
        Format::Machines => {
            print_json(&json!({ "id": id, "request": value(request), "response": value(response) }))
        }
        Format::People => {
            print(&describe("request as it came", request.as_ref()))?;
            print(&describe("answer as the provider sent it", response.as_ref()))
        }
    }
}

async fn find(
    scope: &TenantScope,
    recorded: &RecordedReveal,
    id: TraceId,
    reason: &Reason,
) -> Result<SealedTrace, Failure> {
    let mut absent = None;
    for place in scope.trace_places().await? {
        let read = match &place {
            Place::Shared => recorded.read(scope.store(), scope.store()).await,
            Place::Placed(store) => {
                let recorded = record_reveal(store, &actor(), scope.id(), id, reason).await?;
                recorded.read(store, scope.store()).await
            }
        };
        match read {
            Err(error @ StoreError::NotFound { .. }) => absent = Some(error),
            read => return read.map_err(Failure::from),
        }
    }
    let absent = absent.unwrap_or(StoreError::NotFound { what: "trace" });
    Err(named(absent, &id.to_string()))
}

fn value(body: Option<OpenedBody>) -> Option<Value> {
    body.map(|body| json!({ "text": String::from_utf8_lossy(&body.bytes), "truncated": body.truncated }))
}

fn describe(name: &str, body: Option<&OpenedBody>) -> String {
    match body {
        None => format!("{name}: none was kept\n"),
        Some(body) => {
            let cut = if body.truncated { ", only its beginning" } else { "" };
            format!("{name}{cut}:\n{}\n", printable_lines(&String::from_utf8_lossy(&body.bytes)))
        }
    }
}

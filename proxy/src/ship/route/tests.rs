use super::*;
use bulkhead_policy::compile::CompileOptions;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::Revision;
use bulkhead_policy::ledger::LedgerBook;
use bulkhead_policy::raw::{RawSnapshot, RawTenant};
use bulkhead_policy::snapshot::Builder;
use bulkhead_store::Role;

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(uuid::Uuid::from_u128(number))
}

/// A snapshot of tenants that are placed in these databases, in their order.
fn snapshot(placements: &[&str]) -> Arc<Snapshot> {
    let tenants = placements.iter().enumerate().map(|(number, placement)| RawTenant {
        id: tenant(number as u128),
        name: format!("tenant-{number}"),
        suspended: false,
        revision: Revision::new(1),
        changed_at: Utc::now(),
        placement: placement.parse().unwrap(),
        agents: vec![],
        keys: vec![],
        policy: None,
        agent_policies: vec![],
        credentials: vec![],
        data_keys: vec![],
    });
    let raw = RawSnapshot { platform: None, tenants: tenants.collect() };
    let master = MasterKey::parse(&"5a".repeat(32)).unwrap();
    let builder = Builder::new(&master, Arc::new(LedgerBook::default()), CompileOptions::default()).unwrap();
    Arc::new(builder.build(&raw, None, Utc::now()).snapshot)
}

fn placements(handle: &SnapshotHandle, known: &str) -> Placements {
    let store = || Store::lazy("postgres://nobody@nowhere/nothing", Role::Writer, 1).unwrap();
    Placements::new(handle.clone(), store(), [(known.parse().unwrap(), store())].into())
}

#[tokio::test]
async fn a_tenant_goes_where_it_is_placed_and_nowhere_else() {
    let handle = SnapshotHandle::default();
    let placements = placements(&handle, "known");
    let now = Utc::now();
    assert!(matches!(placements.route(tenant(0), now), Route::Unheard), "before there are policies");
    handle.publish(snapshot(&["shared", "known", "unknown"]));
    assert!(matches!(placements.route(tenant(0), now), Route::To(_)));
    assert!(matches!(placements.route(tenant(1), now), Route::To(_)));
    assert!(matches!(placements.route(tenant(2), now), Route::Unknown(name) if name.as_str() == "unknown"));
}

#[tokio::test]
async fn a_tenant_is_gone_when_the_database_has_said_so_for_a_while() {
    let handle = SnapshotHandle::default();
    let placements = placements(&handle, "known");
    handle.publish(snapshot(&[]));
    let (now, later) = (Utc::now(), Utc::now() + TimeDelta::hours(2));
    // From the file: older than this node.
    handle.confirm(now - TimeDelta::days(1));
    assert!(matches!(placements.route(tenant(0), later), Route::Unheard));
    handle.confirm(now + TimeDelta::seconds(1));
    assert!(matches!(placements.route(tenant(0), now + TimeDelta::minutes(1)), Route::Unheard));
    assert!(matches!(placements.route(tenant(0), later), Route::Gone));
}

//! The functions that belong to no tenant's transaction, called as each role: who may, and what the others are told.

use bulkhead_policy::audit::Chain;
use bulkhead_policy::ids::{DatabaseName, Revision, TenantId};
use chrono::Days;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{
    MARK, Victim, World, ask, charged, holder, holdings, part_ask, recorded, superuser, told, usage, verdict,
};
use crate::placement::{self, Custody, Mover};
use crate::reveal::{Reason, RecordedReveal, record_reveal};
use crate::system::{Resealed, Tenant};
use crate::tests::{actor, archive, minutes_ago, now};
use crate::writer::{self, Shipment, SpoolPlace};
use crate::{AuditFilter, Store, StoreError, system};

/// One function, called about a tenant.
pub(super) struct Call {
    pub(super) name: &'static str,
    run: for<'a> fn(&'a Store, &'a Subject<'a>) -> BoxFuture<'a, Result<String, String>>,
    /// The roles that it is for.
    works: &'static [&'static str],
    /// Those that may ask and are told that there is nothing. All others are refused.
    nothing: &'static [(&'static str, &'static str)],
}

/// The tenant that a call is about.
pub(super) struct Subject<'a> {
    tenant: TenantId,
    name: &'a str,
    victim: &'a Victim,
}

/// No right; for the auditor, no transaction that writes.
const REFUSED: [&str; 2] = ["42501", "25006"];

macro_rules! calls {
    ($store:ident, $it:ident: $($name:ident = $call:expr => $works:expr, $nothing:expr;)+) => {
        vec![$(Call {
            name: stringify!($name),
            run: |$store, $it| Box::pin(async move {
                let _ = $it;
                told($call.await)
            }),
            works: &$works,
            nothing: &$nothing,
        }),+]
    };
}

pub(super) fn calls() -> Vec<Call> {
    calls! { store, it:
        // Nodes serve all tenants.
        revisions = system::revisions(store) => ["sync", "migrator"], [];
        load_snapshot = system::load_snapshot(store) => ["sync", "migrator"], [];
        load_tenants = system::load_tenants(store, &[it.tenant]) => ["sync", "migrator"], [];
        sign_of_life = system::sign_of_life(store, "node") => ["sync"], [];
        record_verdicts = system::record_verdicts(store, "node", &[verdict(it.tenant)]) => ["sync"], [];
        // Whoever reaches the database hears its notifications: ids of tenants, and numbers.
        listen = async { system::listen(store).await.map(drop) } =>
            ["api", "sync", "writer", "retention", "revealer", "migrator", "auditor"], [];

        // Nodes append for all tenants.
        insert_traces = writer::insert_traces(store, &[recorded(it.tenant, it.victim.key, now())]) => ["writer"], [];
        ship = async { ship(store, it).await.map(|shipped| format!("{shipped:?}")) } => ["writer"], [];
        load_positions = writer::load_positions(store, Uuid::nil()) => ["writer"], [("migrator", "{}")];
        lease = writer::lease(store, holder(), &[ask(it.tenant)]) => ["writer"], [];
        share_rates = writer::share_rates(store, Uuid::nil(), 1, &[part_ask(it.tenant)]) => ["writer"], [];
        insert_placed = writer::insert_placed(store, &[recorded(it.tenant, it.victim.key, now())]) => ["writer"], [];
        add_budget_usage = writer::add_budget_usage(store, &usage(it.tenant)) => ["writer"], [];
        forget_old_usage = writer::forget_old_usage(store) => ["writer"], [("migrator", "()")];
        ensure_partitions = writer::ensure_partitions(store, now().date_naive()) => ["writer", "migrator"], [];
        check_partitions = system::check_partitions(store) =>
            ["api", "sync", "writer", "retention", "revealer", "migrator", "auditor"], [];

        // Retention.
        drop_partitions = system::drop_partitions(store, &actor(), now().date_naive() - Days::new(30)) => ["migrator"], [];
        drop_body_partitions =
            system::drop_body_partitions(store, &actor(), now().date_naive() - Days::new(30)) => ["migrator"], [];
        expire_days = system::expire_days(store, now().date_naive() - Days::new(30)) => ["retention", "migrator"], [];
        expire_body_days =
            system::expire_body_days(store, now().date_naive() - Days::new(30)) => ["retention", "migrator"], [];
        expire_traces = system::expire_traces(store, it.tenant, minutes_ago(2_000)) => ["retention", "migrator"], [];
        expire_bodies = system::expire_bodies(store, it.tenant, minutes_ago(2_000)) => ["retention", "migrator"], [];

        // Who runs the platform.
        create_tenant = system::create_tenant(store, &actor(), &format!("{}-2", it.name)) => ["migrator"], [];
        tenants = system::tenants(store) => ["sync", "migrator"], [("api", "[]"), ("revealer", "[]")];
        tenant_by_name = system::tenant_by_name(store, it.name) => ["sync", "migrator"], [("api", "no such tenant"), ("revealer", "no such tenant")];
        set_tenant_suspended = system::set_tenant_suspended(store, &actor(), it.tenant, true) => ["migrator"], [];
        delete_tenant = system::delete_tenant(store, &actor(), it.tenant) => ["migrator"], [];
        destroy_data_keys = system::destroy_data_keys(store, &actor(), it.tenant) => ["migrator"], [];
        remove_tenant = system::remove_tenant(store, &actor(), it.tenant) => ["migrator"], [];
        sealed_values = system::sealed_values(store, it.tenant) => ["sync", "migrator"], [];
        reseal_tenant = system::reseal_tenant(store, &actor(), it.tenant, "key", &Resealed::default()) =>
            ["migrator", "api"], [];
        record_rotation = system::record_rotation(store, &actor(), "key", 1) => ["migrator"], [];
        publish_platform_policy = system::publish_platform_policy(store, &actor(), "{}") => ["migrator"], [];
        platform_policy = system::platform_policy(store) => ["sync", "migrator"], [];
        remove_platform_policy = system::remove_platform_policy(store, &actor()) => ["migrator"], [];

        export_tenant = archive::exported(store, it.tenant) => ["migrator"], [];
        import_tenant = archive::imported(store, &format!("{}-2", it.name)) => ["migrator"], [];
        // Who reveals writes why, and reads what it said it would.
        record_reveal = record_reveal(store, &actor(), it.tenant, it.victim.trace, &reason()) =>
            ["revealer", "api", "migrator"], [];
        read = RecordedReveal::forged(it.tenant, it.victim.trace).read(store, store) =>
            [], [("revealer", "no such sealed body of trace"), ("migrator", "SealedTrace(..)")];

        // Who places tenants; whoever follows a placement asks for a name.
        check_database = placement::check_database(store, &DatabaseName::default()) =>
            ["api", "retention", "revealer", "migrator"], [];
        claim_database = placement::claim_database(store, &actor(), &DatabaseName::default()) => ["migrator"], [];
        admit_tenant = placement::admit_tenant(store, &actor(), &it.as_tenant(), &DatabaseName::default()) =>
            ["migrator"], [];
        dismiss_tenant = placement::dismiss_tenant(store, &actor(), &it.as_tenant()) => ["migrator"], [];
        place_tenant = placement::place_tenant(store, &actor(), it.tenant, &elsewhere()) => ["migrator"], [];
        finish_move = place_and_finish(store, it) => ["migrator"], [];
        // Who may remove rows may hold up those who add some.
        settle = placement::settle(store) => ["retention", "migrator"], [];
        claim = async { Custody::claim(store, it.tenant).await.map(drop) } =>
            ["api", "sync", "writer", "retention", "revealer", "migrator", "auditor"], [];
        begin = async { mover(store, it).await.map(drop) } =>
            ["api", "sync", "writer", "retention", "revealer", "migrator", "auditor"], [];
        step = async { mover(store, it).await?.step().await } => ["migrator"], [];

        // Auditors answer for the installation.
        audit_chains = system::audit_chains(store) => ["auditor", "migrator"], [];
        audit_chain = system::audit_chain(store, it.name) => ["auditor", "sync", "migrator"], [("api", "no such tenant"), ("revealer", "no such tenant")];
        audit_entries = system::audit_entries(store, Chain::Tenant(it.tenant), &newest()) =>
            ["auditor"], [("api", "[]"), ("migrator", "[]")];
        verify_audit_chain = system::verify_audit_chain(store, Chain::Tenant(it.tenant), None) =>
            ["auditor"], [("migrator", "Err(Fault { seq: 1, wrong: Missing })")];
    }
}

impl Subject<'_> {
    fn as_tenant(&self) -> Tenant {
        Tenant {
            id: self.tenant,
            name: self.name.to_owned(),
            suspended: false,
            revision: Revision::default(),
            created_at: now(),
            placement: DatabaseName::default(),
            leaving: None,
        }
    }
}

fn elsewhere() -> DatabaseName {
    "elsewhere".parse().unwrap()
}

async fn place_and_finish(store: &Store, it: &Subject<'_>) -> Result<(), StoreError> {
    placement::place_tenant(store, &actor(), it.tenant, &elsewhere()).await?;
    placement::finish_move(store, &actor(), it.tenant, 0).await
}

async fn mover(store: &Store, it: &Subject<'_>) -> Result<Mover, StoreError> {
    Mover::begin(store, it.tenant, store.clone(), store.clone()).await
}

fn reason() -> Reason {
    Reason::new("a complaint of the customer").unwrap()
}

fn newest() -> AuditFilter {
    AuditFilter { limit: 9, ..AuditFilter::default() }
}

async fn ship(store: &Store, it: &Subject<'_>) -> Result<writer::Shipped, StoreError> {
    let traces = [recorded(it.tenant, it.victim.key, now())];
    let place = SpoolPlace { spool: Uuid::now_v7(), segment: 1, from: 0, to: 9 };
    let charges = charged(it.tenant, traces[0].id);
    writer::ship(store, &Shipment { place, traces: &traces, placed: &[], charges: &charges }).await
}

#[tokio::test]
async fn each_call_is_for_its_roles_and_changes_no_tenant_that_it_does_not_name() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let mut connection = superuser(&world).await.acquire().await.unwrap();
    let mut before = holdings(&mut connection, victim.tenant).await;
    for call in calls() {
        for (role, store) in world.stores() {
            let name = call.name;
            let works = call.works.contains(&role);
            let named_apart = format!("{}-{role}", name.replace('_', "-"));
            // Those that it is for call it about somebody else; the others about the victim.
            let other = if works { Some(world.tenant(&named_apart).await) } else { None };
            let subject = match &other {
                Some(other) => Subject { tenant: other.id, name: &other.name, victim: &victim },
                None => Subject { tenant: victim.tenant, name: MARK, victim: &victim },
            };
            let told = (call.run)(store, &subject).await;
            let nothing = call.nothing.iter().find(|(asking, _)| *asking == role).map(|(_, told)| *told);
            match told {
                told if works => assert!(told.is_ok(), "{name} as {role}: {told:?}"),
                Err(code) if nothing.is_none() => {
                    assert!(REFUSED.contains(&&*code), "{name} as {role}: {code}")
                }
                Ok(told) | Err(told) => assert_eq!(Some(&*told), nothing, "{name} as {role}"),
            }
            let held = holdings(&mut connection, victim.tenant).await;
            if name.ends_with("_platform_policy") && works {
                // It is part of every tenant's policy, so all of them are revised.
                let (changed, same): (Vec<_>, Vec<_>) = held.iter().partition(|row| !before.contains(row));
                assert!(
                    changed.iter().all(|row| row.starts_with("tenants ")),
                    "{name} as {role}: {changed:?}"
                );
                assert!(same.len() + 1 >= before.len(), "{name} as {role}");
                before.clone_from(&held);
            }
            assert_eq!(held, before, "{name} as {role}");
        }
    }
}

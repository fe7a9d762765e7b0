//! What is exported, and that it comes back as it was.

use std::io::{self, Write};

use bulkhead_policy::ledger::LedgerUsage;

use super::*;

#[tokio::test]
async fn every_column_of_a_tenants_tables_is_in_an_archive_or_says_why_not() {
    let world = World::new().await;
    let mut connection = superuser(&world).await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select relname::text, attname::text from pg_class join pg_attribute on attrelid = pg_class.oid
         where relnamespace = 'bulkhead'::regnamespace and relkind in ('r', 'p') and not relispartition
           and attnum > 0 and not attisdropped and attgenerated = ''
           and exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id')
         order by 1, 2",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let is_left_out = |(table, column): &(String, String)| {
        LEFT_OUT.iter().any(|(left_out, _)| left_out == table)
            || LEFT_OUT_COLUMNS.contains(&(table.as_str(), column.as_str()))
    };
    let columns = columns.into_iter().filter(|column| !is_left_out(column));
    let listed = Table::ALL
        .into_iter()
        .flat_map(|table| table.columns().iter().map(move |column| (table.name(), *column)));
    let mut listed: Vec<_> = listed.map(|(table, column)| (table.to_owned(), column.to_owned())).collect();
    listed.sort_unstable();
    assert_eq!(
        columns.collect::<Vec<_>>(),
        listed,
        "put it into the archive, or into LEFT_OUT with the reason"
    );
}

#[tokio::test]
async fn a_tenant_comes_back_in_another_database_as_it_was() {
    let (from, to) = (World::new().await, World::new().await);
    let (tenant, newest) = full_tenant(&from, "acme", "canary").await;
    system::set_tenant_suspended(&from.migrator, &actor(), tenant, true).await.unwrap();
    let archive = export(&from, tenant).await;
    let length = trail_length(&from, tenant).await;
    let before = stored(&from, tenant, length).await;
    assert!(
        before.iter().all(|(_, rows)| !rows.is_empty()),
        "a table without a row proves nothing: {before:?}"
    );

    let imported = import(&to, &archive, &options()).await.unwrap();
    assert_eq!((imported.name.as_str(), &*imported.left_out), ("acme", &[] as &[_]));
    for (table, rows) in &before {
        assert_eq!(imported.contents.rows.of(table), rows.len() as u64, "{table}");
    }
    assert_eq!(stored(&to, tenant, length).await, before);
    assert_eq!(trail_length(&to, tenant).await, length + 1);
    let (was, is) = (
        &system::tenants(&from.migrator).await.unwrap()[0],
        &system::tenants(&to.migrator).await.unwrap()[0],
    );
    assert_eq!(
        (was.id, &was.name, was.suspended, was.created_at),
        (is.id, &is.name, is.suspended, is.created_at)
    );
    assert!(is.revision > was.revision);
    let mut tx = to.api.tenant(tenant).await.unwrap();
    assert_eq!(
        tx.trace(newest).await.unwrap(),
        from.api.tenant(tenant).await.unwrap().trace(newest).await.unwrap()
    );
    // And from there on, as anywhere.
    tx.create_agent(&actor(), "new").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(trail_length(&to, tenant).await, length + 2);
    let again = export(&to, tenant).await;
    assert!(import(&from, &again, &options()).await.is_err(), "it is there");
}

#[tokio::test]
async fn more_rows_than_a_batch_come_back() {
    let (from, to) = (World::new().await, World::new().await);
    let tenant = from.tenant("acme").await.id;
    let records: Vec<_> =
        (0..2_500).map(|second| trace(tenant, now() - chrono::TimeDelta::seconds(second))).collect();
    writer::insert_traces(&from.writer, &records).await.unwrap();
    let archive = export(&from, tenant).await;
    let imported = import(&to, &archive, &options()).await.unwrap();
    assert_eq!(imported.contents.rows.of("traces"), 2_500);
    assert_eq!(stored(&to, tenant, 2).await, stored(&from, tenant, 2).await);
}

#[tokio::test]
async fn an_archive_holds_no_byte_of_another_tenant() {
    let world = World::new().await;
    let (ours, _) = full_tenant(&world, "ours", "canary-of-ours").await;
    let (theirs, _) = full_tenant(&world, "theirs", "other-canary").await;
    let archive = String::from_utf8(export(&world, ours).await).unwrap();
    // Bodies and seals are base64, at any of its three offsets.
    let base64 = ["b3RoZXItY2FuYXJ5", "90aGVyLWNhbmFye", "vdGhlci1jYW5hcn"];
    for foreign in [&*theirs.to_string(), "theirs", "other-canary"].into_iter().chain(base64) {
        assert!(!archive.contains(foreign), "{foreign}");
    }
    assert!(archive.contains("canary-of-ours") && archive.contains("Y2FuYXJ5LW9mLW91cn"));
    // Nor does the trail of the other know of it.
    let length = trail_length(&world, theirs).await;
    export(&world, ours).await;
    assert_eq!(trail_length(&world, theirs).await, length);
}

/// Does something else when the first byte is written.
struct Interrupted<F: FnOnce()>(Vec<u8>, Option<F>);

impl<F: FnOnce()> Write for Interrupted<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(interrupt) = self.1.take() {
            interrupt();
        }
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_shows_one_moment() {
    let world = World::new().await;
    let (tenant, _) = full_tenant(&world, "acme", "canary").await;
    let runtime = tokio::runtime::Handle::current();
    let change = || {
        tokio::task::block_in_place(|| {
            runtime.block_on(async {
                writer::insert_traces(&world.writer, &[trace(tenant, now())]).await.unwrap();
                world.agent(tenant, "late", "CCCCCCCCCCCCCCCC").await;
            });
        });
    };
    let mut out = Interrupted(Vec::new(), Some(change));
    let contents =
        export_tenant(&world.migrator, None, &actor(), tenant, master_key("5a"), &mut out).await.unwrap();
    assert!(out.1.is_none());
    assert_eq!((contents.rows.of("agents"), contents.rows.of("traces")), (2, 2));
    let other = World::new().await;
    assert_eq!(import(&other, &out.0, &options()).await.unwrap().contents, contents);
}

#[tokio::test]
async fn what_came_late_of_a_deleted_tenant_is_kept() {
    let world = World::new().await;
    let (tenant, newest) = full_tenant(&world, "acme", "canary").await;
    let archive = export(&world, tenant).await;
    let kept = world.api.tenant(tenant).await.unwrap().trace(newest).await.unwrap();
    let usage = async || world.api.tenant(tenant).await.unwrap().budget_usage(minutes_ago(10)).await.unwrap();
    let spent = usage().await;
    system::delete_tenant(&world.migrator, &actor(), tenant).await.unwrap();
    writer::insert_traces(&world.writer, std::slice::from_ref(&kept)).await.unwrap();
    let LedgerUsage { key, window_start, unit, .. } = spent[0].usage.clone();
    let late = async |amount| {
        let (key, alerts) = (key.clone(), AlertLines::default());
        let late = LedgerDelta { key, window_start, unit, amount, alerts };
        let batch = UsageBatch { id: uuid::Uuid::now_v7(), deltas: vec![late], holder: None };
        writer::add_budget_usage(&world.writer, &batch).await.unwrap();
        import(&world, &archive, &options()).await.unwrap();
        usage().await[0].usage.amount
    };
    assert_eq!(late(7).await, spent[0].usage.amount + 7);
    assert_eq!(world.api.tenant(tenant).await.unwrap().trace(newest).await.unwrap(), kept);
    system::delete_tenant(&world.migrator, &actor(), tenant).await.unwrap();
    assert_eq!(late(u64::MAX).await, i64::MAX.unsigned_abs(), "as much as can be counted");
}

#[tokio::test]
async fn a_role_that_may_not_export_leaves_no_entry_of_it() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    assert!(exported(&world.api, tenant).await.is_err());
    assert_eq!(trail_length(&world, tenant).await, 1);
    let nobody = exported(&world.migrator, TenantId::fresh(now())).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");
}

#[tokio::test]
async fn rows_of_another_tenant_meet_the_wall_of_the_database_too() {
    let (from, to) = (World::new().await, World::new().await);
    let (theirs, _) = full_tenant(&from, "theirs", "canary").await;
    let ours = to.tenant("ours").await.id;
    let archive = lines(&export(&from, theirs).await);
    for table in Table::ALL {
        let line = archive.iter().find(|line| line.starts_with(&format!(r#"{{"table":"{}","#, table.name())));
        let mut tx = to.migrator.tenant(ours).await.unwrap();
        let refused = table.write(tx.connection(), &format!("[{}]", line.unwrap())).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().unwrap().code().as_deref(),
            Some("42501"),
            "{table:?}: {refused}"
        );
    }
}

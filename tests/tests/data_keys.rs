//! A tenant's data keys follow each other, and what each has sealed opens for as long as it exists.

use std::sync::atomic::{AtomicBool, Ordering};

use bulkhead_tests::originals::{REASON, SEALED, assert_original, exchange, sealing_tenant, start};
use bulkhead_tests::shapes::chat;
use bulkhead_tests::{eventually, run};
use serde_json::json;

#[test]
fn a_new_data_key_seals_what_comes_and_no_request_notices() {
    run(async {
        let fixture = start().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = sealing_tenant(&fixture, "turning").await;
        let first = exchange(&tenant).await;
        bulkhead.trace_of("turning", &first).await;

        let is_done = AtomicBool::new(false);
        let traffic = async {
            let mut last = exchange(&tenant).await;
            while !is_done.load(Ordering::Relaxed) {
                last = exchange(&tenant).await;
            }
            last
        };
        let rotation = async {
            let printed = bulkhead.cli(&["data-key", "rotate", "--tenant", "turning", "--json"]).await.json();
            assert_eq!(printed["version"], 2);
            eventually("the node seals with the new key", || async {
                let sealed = bulkhead.sql("select count(*) from trace_bodies where key_version = 2");
                (sealed.trim() != "0").then_some(())
            })
            .await;
            is_done.store(true, Ordering::Relaxed);
        };
        let (last, ()) = tokio::join!(traffic, rotation);
        bulkhead.trace_of("turning", &last).await;
        // Requests came one after the other: none was sealed with the old key after one with the new.
        let turns = bulkhead.sql(
            "select string_agg(key_version::text, '' order by id) ~ '^1+2+$' from trace_bodies where form = 'sealed'",
        );
        assert_eq!(turns.trim(), "t");
        for id in [&first, &last] {
            assert_original(&bulkhead.reveal("turning", id, REASON).await.json());
        }

        let list = bulkhead.cli(&["data-key", "list", "--tenant", "turning", "--json"]).await.json();
        let states = |at: usize| (&list[at]["version"], &list[at]["state"]);
        assert_eq!([states(0), states(1)], [(&json!(1), &json!("opens")), (&json!(2), &json!("seals"))]);
        let entries = bulkhead.audit_list(&["--tenant", "turning", "--action", "data_key.create"]).await;
        assert_eq!((&entries[0]["target"], &entries[1]["target"]), (&json!("2"), &json!("1")), "{entries}");
    });
}

#[test]
fn every_data_key_opens_what_it_has_sealed_until_all_are_destroyed() {
    run(async {
        let fixture = start().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = sealing_tenant(&fixture, "leaving").await;
        let rotate = ["data-key", "rotate", "--tenant", "leaving", "--json"];
        let mut sealed = Vec::new();
        for version in 1..=3 {
            if version > 1 {
                bulkhead.cli(&rotate).await.ok();
            }
            let id = eventually("the newest key seals", || async {
                let id = exchange(&tenant).await;
                bulkhead.trace_of("leaving", &id).await;
                let with = bulkhead.sql(&format!(
                    "select key_version from trace_bodies where id = '{id}' and form = 'sealed'"
                ));
                (with.trim() == version.to_string()).then_some(id)
            })
            .await;
            sealed.push(id);
        }

        for id in &sealed {
            assert_original(&bulkhead.reveal("leaving", id, REASON).await.json());
        }
        let file = bulkhead.folder().join("leaving.archive");
        let file = file.to_str().expect("UTF-8");
        bulkhead.cli(&["tenant", "export", "--tenant", "leaving", "--out", file]).await.ok();

        // Destroyed, but the rows could not be removed yet.
        let erase = ["tenant", "erase", "leaving", "--yes-erase", "leaving", "--json"];
        bulkhead.sql(
            "create trigger interrupted before delete on traces for each statement execute function refuse_change()",
        );
        assert_eq!(bulkhead.cli(&erase).await.code, Some(1));
        for id in &sealed {
            let refused = bulkhead.reveal("leaving", id, REASON).await;
            assert!(refused.code == Some(1) && refused.err.contains("was destroyed"), "{}", refused.err);
        }
        let refused = bulkhead.cli(&rotate).await;
        assert!(refused.code == Some(1) && refused.err.contains("no data key"), "{}", refused.err);
        bulkhead.sql("drop trigger interrupted on traces");
        bulkhead.cli(&erase).await.ok();

        // No version comes back with the archive, and what is sealed from then on needs none of before.
        bulkhead.cli(&["tenant", "import", file, "--keep-audit-trail"]).await.ok();
        let keys = ["data-key", "list", "--tenant", "leaving", "--json"];
        assert_eq!(bulkhead.cli(&keys).await.json(), json!([]));
        bulkhead.apply("leaving", &(fixture.upstreams() + SEALED)).await.ok();
        eventually("the tenant is served", || async {
            let reply = tenant.client.post("/v1/chat/completions", &chat("gpt-sealed", "hi")).await;
            (reply.status == 200).then_some(())
        })
        .await;
        let id = exchange(&tenant).await;
        bulkhead.trace_of("leaving", &id).await;
        assert_original(&bulkhead.reveal("leaving", &id, REASON).await.json());
    });
}

#[test]
fn a_tenant_that_seals_nothing_has_no_data_key_to_rotate() {
    run(async {
        let fixture = start().await;
        let bulkhead = &fixture.bulkhead;
        bulkhead.cli(&["tenant", "create", "open"]).await.ok();
        let refused = bulkhead.cli(&["data-key", "rotate", "--tenant", "open"]).await;
        assert!(refused.code == Some(1) && refused.err.contains("capture: sealed"), "{}", refused.err);
        assert_eq!(bulkhead.cli(&["data-key", "list", "--tenant", "open", "--json"]).await.json(), json!([]));
    });
}

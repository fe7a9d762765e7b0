//! `capture: sealed`: originals are encrypted wherever they lie, and shown to who says why.

use bulkhead_tests::commands::{Printed, Tenant};
use bulkhead_tests::originals::{REASON, SEALED, assert_original, exchange, sealing_tenant, start};
use bulkhead_tests::postgres::Frozen;
use bulkhead_tests::samples::{CARD, github_token};
use bulkhead_tests::shapes::{chat, chat_answer};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Answer, Bulkhead, FakeProvider, Fixture, Options, eventually, run};
use serde_json::Value;

/// Proves that nothing was revealed, and returns what was said instead.
#[track_caller]
fn refused(printed: Printed, code: i32) -> String {
    assert_eq!(printed.code, Some(code), "{}{}", printed.out, printed.err);
    assert_absent(CARD, "a refused reveal", &printed.out);
    printed.err
}

async fn reveals(bulkhead: &Bulkhead, tenant: &str) -> Vec<Value> {
    let list = bulkhead.audit_list(&["--tenant", tenant, "--action", "trace.reveal"]).await;
    list.as_array().expect("a list").clone()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_was_masked_is_revealed_to_who_says_why() {
    run(async {
        let fixture = start().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = sealing_tenant(&fixture, "sealing").await;
        let id = exchange(&tenant).await;
        let trace = bulkhead.trace_of("sealing", &id).await;
        assert_eq!((&trace["has_originals"], &trace["outcome"]), (&true.into(), &"masked".into()));
        assert!(trace["bodies"]["request"].as_str().expect("a body").contains("marker-in"), "{trace}");
        assert_absent(CARD, "the trace", &trace.to_string());
        let shown = bulkhead.cli(&["trace", "show", &id, "--tenant", "sealing"]).await.ok();
        assert!(shown.contains("originals are sealed"), "{shown}");

        refused(bulkhead.cli(&["trace", "reveal", &id, "--tenant", "sealing"]).await, 2);
        for reason in ["", "because"] {
            let said = refused(bulkhead.reveal("sealing", &id, reason).await, 2);
            assert!(said.contains("8 to 1000 characters"), "{said}");
        }
        assert!(reveals(bulkhead, "sealing").await.is_empty());
        assert_original(&bulkhead.reveal("sealing", &id, REASON).await.json());
        let entries = reveals(bulkhead, "sealing").await;
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(
            (&entries[0]["target"], &entries[0]["detail"]["reason"]),
            (&id.as_str().into(), &REASON.into())
        );

        // A login for this alone names the tenant by its id, because it may not look up names; it lists no traces.
        bulkhead.sql("create role revealing login; grant bulkhead_revealer to revealing");
        let (before, user) = bulkhead.ready.database_url.split_once("&user=").expect("a user");
        let (_, after) = user.split_once('&').expect("more");
        let url = format!("{before}&user=revealing&{after}");
        let alone = ["--reason", REASON, "--json", "--database-url", &url];
        let id_of_tenant = bulkhead.sql("select id from tenants where name = 'sealing'");
        let reveal = ["trace", "reveal", &id, "--tenant", id_of_tenant.trim()];
        let key = bulkhead.data_dir().join("master.key");
        let key = ["--master-key-file", key.to_str().expect("UTF-8")];
        assert_original(&bulkhead.cli(&[&reveal[..], &alone, &key].concat()).await.json());
        let by_name = ["trace", "reveal", &id, "--tenant", "sealing"];
        let said = refused(bulkhead.cli(&[&by_name[..], &alone, &key].concat()).await, 1);
        assert!(said.contains("bulkhead_migrator"), "{said}");
        let list = ["trace", "list", "--tenant", id_of_tenant.trim(), "--database-url", &url];
        refused(bulkhead.cli(&list).await, 1);

        // Of another tenant it is not there, and trying leaves an entry in that tenant's trail.
        sealing_tenant(&fixture, "curious").await;
        let said = refused(bulkhead.reveal("curious", &id, REASON).await, 1);
        assert!(said.contains("no such sealed body of trace"), "{said}");
        assert_eq!(reveals(bulkhead, "curious").await.len(), 1);

        // Where the entry cannot be written, nothing is revealed.
        bulkhead.sql(
            "revoke insert (tenant_id, id, actor, action, target, detail) on audit from bulkhead_revealer",
        );
        refused(bulkhead.reveal("sealing", &id, REASON).await, 1);
        let other_key = bulkhead.write("other.key", &"7b".repeat(32));
        bulkhead
            .sql("grant insert (tenant_id, id, actor, action, target, detail) on audit to bulkhead_revealer");
        let other_key = other_key.to_str().expect("UTF-8");
        let reveal = ["trace", "reveal", &id, "--tenant", "sealing", "--reason", REASON, "--json"];
        let said = refused(bulkhead.cli(&[&reveal[..], &["--master-key-file", other_key]].concat()).await, 1);
        assert!(said.contains("cannot be unwrapped"), "{said}");

        // Whoever takes the database, the spool's folder or the log has no original.
        let dump = bulkhead.dump();
        assert!(dump.contains(&hex("marker-in")), "the dump is looked through as it is written");
        for (place, text) in [("the database", &dump), ("the log", &bulkhead.logs())] {
            assert_absent(CARD, place, text);
            assert_absent(&hex(CARD), place, text);
        }
    });
}

#[test]
fn requests_and_answers_that_were_blocked_are_revealed_too() {
    run(async {
        let fixture = start().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = sealing_tenant(&fixture, "blocked").await;
        let token = github_token(47);
        fixture.provider.on("gpt-blocked", Answer::json(200, &chat_answer(&format!("take {token}"))));
        for (body, text) in [("request", token.as_str()), ("response", "hi")] {
            let request = chat("gpt-blocked", text);
            let reply = tenant.client.post("/v1/chat/completions", &request).await.expect(400);
            let trace = bulkhead.trace_of("blocked", &reply.trace_id()).await;
            assert_eq!(trace["outcome"], "blocked");
            let revealed = bulkhead.reveal("blocked", &reply.trace_id(), REASON).await.json();
            let original = revealed[body]["text"].as_str().unwrap_or_else(|| panic!("no {body}: {revealed}"));
            assert!(original.contains(&token), "{body}: {original}");
            assert_eq!(revealed["response"].is_null(), body == "request", "{revealed}");
        }
        let dump = bulkhead.dump();
        for text in [token.clone(), hex(&token)] {
            assert_absent(&text, "the database", &dump);
        }
    });
}

#[test]
fn a_long_original_is_cut_and_says_so_or_is_there_to_its_end() {
    run(async {
        for (limit, is_cut) in [("262144", true), ("4194304", false)] {
            let provider = FakeProvider::start().await;
            let environment = vec![("BULKHEAD_LIMITS_CAPTURED_BODY_BYTES".to_owned(), limit.to_owned())];
            let options = Options { upstream: Some(provider.url()), environment, ..Options::default() };
            let fixture = Fixture { bulkhead: Bulkhead::start(options).await, provider };
            let tenant = sealing_tenant(&fixture, "long").await;
            let text = "word ".repeat(300_000) + "the end";
            let reply =
                tenant.client.post("/v1/chat/completions", &chat("gpt-long", &text)).await.expect(200);
            fixture.bulkhead.trace_of("long", &reply.trace_id()).await;
            let revealed = fixture.bulkhead.reveal("long", &reply.trace_id(), REASON).await.json();
            assert_eq!(revealed["request"]["truncated"], is_cut, "{limit}");
            assert_eq!(revealed["response"]["truncated"], false, "each body for itself");
            let original = revealed["request"]["text"].as_str().expect("a request");
            assert_eq!(original.contains("the end"), !is_cut, "{limit}");
        }
    });
}

#[test]
fn a_node_that_does_not_know_the_new_key_goes_on_and_says_so() {
    run(async {
        let fixture = start().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = sealing_tenant(&fixture, "forgotten").await;
        let new = bulkhead.write("new.key", &"9c".repeat(32));
        let new = new.to_str().expect("UTF-8");
        bulkhead.cli(&["master-key", "rotate", "--new-key-file", new]).await.ok();
        eventually("the node refuses the new seals", || async {
            let status = bulkhead.policy_status("forgotten").await.to_string();
            status.contains("cannot be opened").then_some(())
        })
        .await;
        let id = exchange(&tenant).await;
        bulkhead.trace_of("forgotten", &id).await;
        let reveal = ["trace", "reveal", &id, "--tenant", "forgotten", "--reason", REASON, "--json"];
        let reveal = [&reveal[..], &["--sealing-key-file", new]].concat();
        assert_original(&bulkhead.cli(&reveal).await.json());
    });
}

#[test]
fn originals_are_sealed_in_the_spool_and_survive_kill_9() {
    run(async {
        let mut fixture = start().await;
        let tenant = sealing_tenant(&fixture, "spooled").await;
        let frozen = Frozen::of(&fixture.bulkhead);
        let id = exchange(&tenant).await;
        let spool = fixture.bulkhead.data_dir().join("spool");
        let files = std::fs::read_dir(&spool).expect("the spool's folder");
        let spooled: Vec<u8> =
            files.flatten().flat_map(|file| std::fs::read(file.path()).unwrap_or_default()).collect();
        let holds = |text: &[u8]| spooled.windows(text.len()).any(|part| part == text);
        let raw = id.replace('-', "");
        let raw: Vec<u8> = (0..16)
            .map(|at| u8::from_str_radix(&raw[2 * at..2 * at + 2], 16).expect("hexadecimal"))
            .collect();
        assert!(holds(&raw), "the record waits in the spool");
        assert!(!holds(CARD.as_bytes()) && !holds(b"marker-in"), "nothing of a body lies there in clear");

        fixture.bulkhead.kill_9();
        drop(frozen);
        fixture.bulkhead.restart().await;
        fixture.bulkhead.trace_of("spooled", &id).await;
        assert_original(&fixture.bulkhead.reveal("spooled", &id, REASON).await.json());
    });
}

#[test]
fn without_its_data_key_a_tenant_is_not_served_and_nothing_is_kept_in_clear() {
    run(async {
        let fixture = start().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = sealing_tenant(&fixture, "keyless").await;
        exchange(&tenant).await;
        bulkhead.sql(
            "update tenant_keys set wrapped = null, destroyed_at = now()
             where tenant_id = (select id from tenants where name = 'keyless')",
        );
        let status = eventually("the node refuses the policy", || async {
            let status = bulkhead.policy_status("keyless").await;
            status.to_string().contains("no data key").then_some(status)
        })
        .await;
        assert!(status.to_string().contains("capture: sealed"), "{status}");
        let request = chat("gpt-sealed", "hi");
        tenant.client.post("/v1/chat/completions", &request).await.expect(503);
        // A new document with `sealed` makes a new key; what the old one has sealed stays shut.
        let applied = bulkhead.apply("keyless", &(fixture.upstreams() + SEALED)).await;
        applied.ok();
        let id = exchange(&tenant).await;
        bulkhead.trace_of("keyless", &id).await;
        assert_original(&bulkhead.reveal("keyless", &id, REASON).await.json());
        let platform = bulkhead.write("platform", "capture: sealed");
        let refused =
            bulkhead.cli(&["policy", "apply", platform.to_str().expect("UTF-8"), "--platform"]).await;
        assert!(
            refused.code == Some(2) && refused.err.contains("state it in the tenant's"),
            "{}",
            refused.err
        );
    });
}

#[test]
fn an_erased_tenant_s_originals_open_nowhere_not_even_from_a_backup_of_the_bodies() {
    run(async {
        let fixture = start().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = sealing_tenant(&fixture, "erased").await;
        let id = exchange(&tenant).await;
        bulkhead.trace_of("erased", &id).await;
        assert_original(&bulkhead.reveal("erased", &id, REASON).await.json());
        bulkhead.sql(
            "create table public.backup as select * from trace_bodies;
             create table public.backup_of_tenants as select * from tenants where name = 'erased'",
        );
        for confirmed in [&["--yes-erase", "eraesd"][..], &[]] {
            let erase = [&["tenant", "erase", "erased"], confirmed].concat();
            assert_eq!(bulkhead.cli(&erase).await.code, Some(2));
        }
        exchange(&tenant).await;

        // Interrupted between the two steps: the keys are gone, the rows are not.
        let erase = ["tenant", "erase", "erased", "--yes-erase", "erased"];
        bulkhead.sql(
            "create trigger interrupted before delete on traces for each statement execute function refuse_change()",
        );
        let printed = bulkhead.cli(&erase).await;
        assert!(printed.code == Some(1) && printed.err.contains("run the command again"), "{}", printed.err);
        let said = refused(bulkhead.reveal("erased", &id, REASON).await, 1);
        assert!(said.contains("was destroyed"), "{said}");
        eventually("nodes refuse its key", || async {
            let reply = tenant.client.post("/v1/chat/completions", &chat("gpt-sealed", "hi")).await;
            (reply.status == 401).then_some(())
        })
        .await;
        bulkhead.sql("drop trigger interrupted on traces");
        bulkhead.cli(&erase).await.ok();

        let said = refused(bulkhead.reveal("erased", &id, REASON).await, 1);
        assert!(said.contains("no such tenant"), "{said}");
        let chain = bulkhead.sql("select tenant_id from audit where action = 'tenant.erase' limit 1");
        let left = format!("select count(*) from trace_bodies where tenant_id = '{}'", chain.trim());
        assert_eq!(bulkhead.sql(&left).trim(), "0");
        let trail = bulkhead.audit_list(&["--tenant", chain.trim()]).await;
        let actions: Vec<&str> =
            trail.as_array().expect("a list").iter().map(|e| e["action"].as_str().expect("text")).collect();
        assert_eq!(actions[..3], ["tenant.delete", "tenant.erase", "trace.reveal"], "{actions:?}");
        bulkhead.audit_verify(&["--tenant", chain.trim()]).await.ok();

        bulkhead.sql(
            "insert into tenants select * from public.backup_of_tenants;
             insert into trace_bodies select * from public.backup where tenant_id in (select id from public.backup_of_tenants)",
        );
        let said = refused(bulkhead.reveal("erased", &id, REASON).await, 1);
        assert!(said.contains("was destroyed"), "{said}");
    });
}

#[test]
fn keys_are_rotated_under_running_nodes_and_half_a_rotation_is_finished_by_the_next() {
    run(async {
        let mut fixture = start().await;
        let [first, second] = ["rotated-a", "rotated-b"];
        let tenant = sealing_tenant(&fixture, first).await;
        sealing_tenant(&fixture, second).await;
        let id = exchange(&tenant).await;
        fixture.bulkhead.trace_of(first, &id).await;
        let old = fixture.bulkhead.find("master.key").expect("a master key");
        let new = fixture.bulkhead.write("new.key", &"9c".repeat(32));
        let [old, new] = [old, new].map(|path| path.to_str().expect("UTF-8").to_owned());

        // Nodes learn the new key first.
        let sealing = ("BULKHEAD_MASTER_KEY_SEALING_FILE".to_owned(), new.clone());
        let previous = ("BULKHEAD_MASTER_KEY_PREVIOUS_SEALING_FILE".to_owned(), old);
        fixture.bulkhead.options_mut().environment = vec![sealing.clone(), previous];
        fixture.bulkhead.kill_9();
        fixture.bulkhead.restart().await;
        let tenant = Tenant { client: fixture.bulkhead.client().with_key(&tenant.key), ..tenant };
        exchange(&tenant).await;

        let bulkhead = &fixture.bulkhead;
        let rotate = ["master-key", "rotate", "--new-key-file", &new, "--json"];
        bulkhead.sql(&format!(
            "create function interrupt() returns trigger language plpgsql as $$ begin
               if new.tenant_id = (select id from tenants where name = '{second}') then raise exception 'interrupted'; end if;
               return new; end $$;
             create trigger interrupted before update on credentials for each row execute function interrupt()"
        ));
        assert_eq!(bulkhead.cli(&rotate).await.code, Some(1));
        exchange(&tenant).await;
        bulkhead.sql("drop trigger interrupted on credentials; drop function interrupt()");
        assert_eq!(bulkhead.cli(&rotate).await.json()["tenants_resealed"], 1);
        assert_eq!(bulkhead.cli(&rotate).await.json()["tenants_resealed"], 0);
        let trail = ["--tenant", first, "--action", "master_key"];
        assert_eq!(bulkhead.audit_list(&trail).await.as_array().map(Vec::len), Some(1));
        let platform = bulkhead.audit_list(&["--platform", "--action", "master_key.rotate"]).await;
        assert_eq!(platform.as_array().map(Vec::len), Some(1));

        let said = refused(bulkhead.reveal(first, &id, REASON).await, 1);
        assert!(said.contains("cannot be unwrapped"), "the old key alone: {said}");
        let reveal = ["trace", "reveal", &id, "--tenant", first, "--reason", REASON, "--json"];
        let reveal = [&reveal[..], &["--sealing-key-file", &new]].concat();
        assert_original(&bulkhead.cli(&reveal).await.json());

        // The old key seals and opens nothing any more; API keys, which follow from the first, still count.
        fixture.bulkhead.options_mut().environment = vec![sealing];
        fixture.bulkhead.kill_9();
        fixture.bulkhead.restart().await;
        let tenant = Tenant { client: fixture.bulkhead.client().with_key(&tenant.key), ..tenant };
        let id = exchange(&tenant).await;
        fixture.bulkhead.trace_of(first, &id).await;
        let reveal = ["trace", "reveal", &id, "--tenant", first, "--reason", REASON, "--json"];
        let reveal = [&reveal[..], &["--sealing-key-file", &new]].concat();
        assert_original(&fixture.bulkhead.cli(&reveal).await.json());
        let status = fixture.bulkhead.policy_status(second).await.to_string();
        assert!(!status.contains("cannot be"), "{status}");
    });
}

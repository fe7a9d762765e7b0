//! What operators do is in the audit trail, and who changes the trail behind their back is found out.

use bulkhead_tests::commands::Printed;
use bulkhead_tests::samples::CARD;
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Bulkhead, Shared, run};
use serde_json::Value;

static SHARED: Shared = Shared::new("{}");

/// Runs statements on a superuser's connection where no trigger fires.
fn tamper(bulkhead: &Bulkhead, statements: &str) {
    bulkhead.sql(&format!("set session_replication_role = replica; {statements}"));
}

/// Proves that the trail is not whole from `seq` on.
#[track_caller]
fn broken(printed: Printed, seq: i64, wrong: &str) {
    assert_eq!(printed.code, Some(1), "{}{}", printed.out, printed.err);
    let report: Value = serde_json::from_str(&printed.out).expect("JSON");
    assert_eq!(report[0]["whole"], false, "{report}");
    assert_eq!((&report[0]["fault"]["seq"], &report[0]["fault"]["wrong"]), (&seq.into(), &wrong.into()));
}

#[test]
fn what_an_operator_does_is_listed_and_its_change_is_found() {
    run(async {
        let fixture = SHARED.get().await;
        let (bulkhead, secret) = (&fixture.bulkhead, "sk-audited-secret");
        let detectors = format!("dlp: {{ detectors: [{{ id: MINE, terms: [\"{CARD}\"] }}] }}\n");
        let policy = fixture.upstreams() + &detectors;
        let tenant = bulkhead.tenant("audited", secret, &policy).await;
        bulkhead.revoke("audited", &tenant.key).await;

        let list = bulkhead.audit_list(&["--tenant", "audited"]).await;
        let entries = list.as_array().expect("a list");
        let actions: Vec<&str> = entries.iter().filter_map(|entry| entry["action"].as_str()).collect();
        let expected =
            ["key.revoke", "policy.publish", "key.create", "credential.put", "agent.create", "tenant.create"];
        assert_eq!(actions, expected);
        for secret in [tenant.key.as_str(), secret, CARD] {
            assert_absent(secret, "the audit trail", &list.to_string());
        }
        let page = ["--tenant", "audited", "--after", "3", "--limit", "1", "--since", "1h"];
        let page = bulkhead.audit_list(&page).await;
        assert_eq!((&page[0]["action"], &page[1]), (&"agent.create".into(), &Value::Null));
        let of_keys = bulkhead.audit_list(&["--tenant", "audited", "--action", "key"]).await;
        assert_eq!(of_keys.as_array().map(Vec::len), Some(2));

        let whole = bulkhead.audit_verify(&["--tenant", "audited"]).await.json();
        assert_eq!((&whole[0]["whole"], &whole[0]["entries"]), (&true.into(), &6.into()));
        let said = bulkhead.cli(&["audit", "verify", "--tenant", "audited"]).await.ok();
        assert!(said.contains("whole"), "{said}");

        let id = whole[0]["chain"].as_str().expect("an id").to_owned();
        tamper(bulkhead, &format!("update audit set actor = 'nobody' where tenant_id = '{id}' and seq = 4"));
        broken(bulkhead.audit_verify(&["--tenant", "audited"]).await, 4, "changed");
        let said = bulkhead.cli(&["audit", "verify", "--tenant", "audited"]).await;
        assert!(said.code == Some(1) && said.out.contains("entry 4: "), "{}", said.out);
        let file = bulkhead.folder().join("broken.head");
        let refused = bulkhead.audit_head("audited", file.to_str().expect("UTF-8")).await;
        assert!(refused.code == Some(1) && refused.err.contains("not whole"), "{}", refused.err);
        assert!(!file.exists());

        // Of all trails only this one.
        let all = bulkhead.audit_verify(&["--all"]).await;
        assert_eq!(all.code, Some(1));
        let all: Value = serde_json::from_str(&all.out).expect("JSON");
        let all = all.as_array().expect("a list");
        let bad: Vec<&Value> = all.iter().filter(|report| report["whole"] != true).collect();
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0]["tenant"], "audited");
        assert!(all.iter().any(|report| report["tenant"].is_null() && report["whole"] == true), "{all:?}");
    });
}

#[test]
fn a_signed_head_shows_what_was_cut_off() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        bulkhead.tenant("signed", "sk-x", &fixture.upstreams()).await;
        let file = bulkhead.folder().join("signed.head");
        let file = file.to_str().expect("UTF-8");
        bulkhead.audit_head("signed", file).await.ok();
        let again = bulkhead.audit_head("signed", file).await;
        assert!(again.code == Some(1) && again.err.contains("exists"), "{}", again.err);
        let key = &*bulkhead.audit_public_key().await;

        // A chain that has grown still holds it, with the master key and with the public one alone.
        bulkhead.cli(&["agent", "create", "later", "--tenant", "signed"]).await.ok();
        let held = ["--tenant", "signed", "--head", file];
        let with_key = ["--tenant", "signed", "--head", file, "--public-key", key];
        let whole = bulkhead.audit_verify(&held).await.json();
        assert_eq!(whole[0]["entries"], 6);
        bulkhead.audit_verify(&with_key).await.ok();

        // Not for another trail, another key, or with another text.
        let of_platform = bulkhead.audit_verify(&["--platform", "--head", file]).await;
        assert!(of_platform.code == Some(2) && of_platform.err.contains("it is of"), "{}", of_platform.err);
        let other = "5a".repeat(32);
        let with_other = ["--tenant", "signed", "--head", file, "--public-key", &other];
        assert_eq!(bulkhead.audit_verify(&with_other).await.code, Some(2));
        let text = std::fs::read_to_string(file).expect("the head");
        let forged = bulkhead.write("head", &text.replace("\"seq\":5", "\"seq\":3"));
        let forged = ["--tenant", "signed", "--head", forged.to_str().expect("UTF-8"), "--public-key", key];
        let forged = bulkhead.audit_verify(&forged).await;
        assert!(forged.code == Some(2) && forged.err.contains("signature"), "{}", forged.err);

        // Cut off together with the record of the newest entry: the rest is a whole chain.
        let id = whole[0]["chain"].as_str().expect("an id");
        tamper(
            bulkhead,
            &format!(
                "delete from audit where tenant_id = '{id}' and seq > 3;
                 update audit_heads set (seq, hash) = (select seq, hash from audit where tenant_id = '{id}' and seq = 3)
                 where tenant_id = '{id}'"
            ),
        );
        bulkhead.audit_verify(&["--tenant", "signed"]).await.ok();
        broken(bulkhead.audit_verify(&with_key).await, 4, "missing");
    });
}

#[test]
fn what_is_done_for_the_platform_has_a_trail_of_its_own() {
    run(async {
        let bulkhead = &SHARED.get().await.bulkhead;
        bulkhead.cli(&["trace", "prune", "--keep-days", "30"]).await.ok();
        let list = bulkhead.audit_list(&["--platform"]).await;
        for (place, action) in ["trace.prune", "schema.migrate", "audit.begin"].into_iter().enumerate() {
            assert_eq!(list[place]["action"], action, "{list}");
        }
        let whole = bulkhead.audit_verify(&["--platform"]).await.json();
        assert_eq!(whole[0]["chain"], "00000000-0000-0000-0000-000000000000");
        let nobody = bulkhead.audit_verify(&["--tenant", "nobody"]).await;
        assert!(nobody.code == Some(2) && nobody.err.contains("no such tenant: nobody"), "{}", nobody.err);
    });
}

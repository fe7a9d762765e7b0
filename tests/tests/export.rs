//! A tenant leaves as one file and comes back as it was, here and in another installation.

use std::os::unix::fs::PermissionsExt as _;

use bulkhead_tests::commands::{Printed, Tenant};
use bulkhead_tests::samples::CARD;
use bulkhead_tests::shapes::{chat, chat_answer};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Answer, Bulkhead, Client, Fixture, Shared, eventually, run};
use serde_json::Value;

static SHARED: Shared = Shared::new("{}");

const POLICY: &str = "dlp: { rules: [{ detect: [CREDIT_CARD], on: both, action: mask }] }\ncapture: masked\n";

/// Sends a request for `model` and returns its trace's id.
async fn ask(fixture: &Fixture, client: &Client, model: &str, text: &str) -> String {
    fixture.provider.on(model, Answer::json(200, &chat_answer("hello")));
    client.post("/v1/chat/completions", &chat(model, text)).await.expect(200).trace_id()
}

/// A tenant with requests behind it, the trace of one, and the file that it was exported into.
async fn exported(fixture: &Fixture, name: &str) -> (Tenant, Value, String) {
    let bulkhead = &fixture.bulkhead;
    let tenant = bulkhead.tenant(name, &format!("sk-{name}"), &(fixture.upstreams() + POLICY)).await;
    let trace =
        ask(fixture, &tenant.client, &format!("gpt-{name}"), &format!("from {name}, pay {CARD}")).await;
    let trace = bulkhead.trace_of(name, &trace).await;
    let file = bulkhead.folder().join(format!("{name}.archive"));
    let file = file.to_str().expect("UTF-8").to_owned();
    bulkhead.cli(&["tenant", "export", "--tenant", name, "--out", &file]).await.ok();
    (tenant, trace, file)
}

/// Waits until requests with the client's key end with `status`.
async fn answers(fixture: &Fixture, client: &Client, status: u16) {
    fixture.provider.on("gpt-probe", Answer::json(200, &chat_answer("hello")));
    eventually(&format!("status {status}"), || async {
        let reply = client.post("/v1/chat/completions", &chat("gpt-probe", "hi")).await;
        (reply.status == status).then_some(())
    })
    .await;
}

async fn import(bulkhead: &Bulkhead, arguments: &[&str]) -> Printed {
    bulkhead.cli(&[&["tenant", "import", "--json"], arguments].concat()).await
}

/// What the command said, after it has failed with `code`.
#[track_caller]
fn refused(printed: Printed, code: i32) -> String {
    assert_eq!(printed.code, Some(code), "{}{}", printed.out, printed.err);
    printed.err
}

#[test]
fn a_deleted_tenant_comes_back_as_it_was() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        let (tenant, trace, file) = exported(fixture, "returning").await;
        let id = bulkhead.sql("select id from tenants where name = 'returning'");
        let id = id.trim();
        let tables = ["traces", "trace_bodies", "trace_detectors", "budget_usage", "api_key_usage"];
        let rows = tables.map(|table| format!("delete from {table} where tenant_id = '{id}';")).concat();
        bulkhead.sql(&format!("delete from tenants where id = '{id}'; {rows}"));
        answers(fixture, &tenant.client, 401).await;

        let imported = import(bulkhead, &[&file]).await.json();
        assert_eq!(
            (&imported["tenant"], &imported["left_out"]),
            (&"returning".into(), &Value::Array(vec![]))
        );
        assert_eq!((&imported["rows"]["traces"], &imported["rows"]["credentials"]), (&1.into(), &1.into()));
        answers(fixture, &tenant.client, 200).await;
        // The same key, the same credential, the same policy.
        ask(fixture, &tenant.client, "gpt-again", &format!("pay {CARD}")).await;
        let seen = fixture.provider.only("gpt-again");
        assert_absent(CARD, "the request", &String::from_utf8_lossy(&seen.body));
        assert_eq!(seen.header("authorization"), Some("Bearer sk-returning"));
        assert_eq!(
            bulkhead.trace_show("returning", trace["id"].as_str().expect("an id")).await.json(),
            trace
        );
        let whole = bulkhead.audit_verify(&["--tenant", "returning"]).await.json();
        assert_eq!((&whole[0]["whole"], &whole[0]["entries"]), (&true.into(), &7.into()));
        let entries = bulkhead.audit_list(&["--tenant", "returning", "--action", "tenant"]).await;
        let actions = [0, 1, 2].map(|place| entries[place]["action"].as_str().unwrap_or_default());
        assert_eq!(actions, ["tenant.import", "tenant.export", "tenant.create"]);
        assert_eq!(entries[0]["detail"]["sha256"], imported["sha256"]);
    });
}

#[test]
fn another_installation_takes_a_tenant_without_what_it_cannot_open() {
    run(async {
        let fixture = SHARED.get().await;
        let (tenant, trace, file) = exported(fixture, "moving").await;
        let there = Fixture::start("{}").await;
        let bulkhead = &there.bulkhead;
        let said = refused(import(bulkhead, &[&file]).await, 1);
        assert!(said.contains("--other-master-key"), "{said}");
        let bad_name = import(bulkhead, &[&file, "--other-master-key", "--as", "No Name"]).await;
        assert!(refused(bad_name, 2).contains("--as No Name: expected a name"));
        let imported = import(bulkhead, &[&file, "--other-master-key", "--as", "moved"]).await.json();
        assert_eq!(imported["left_out"], serde_json::json!(["credentials"]));

        answers(&there, &bulkhead.client().with_key(&tenant.key), 401).await;
        bulkhead.cli_with_input(&["credential", "set", "provider", "--tenant", "moved"], "sk-new").await.ok();
        let policy = there.upstreams() + POLICY;
        bulkhead.apply("moved", &policy).await.ok();
        let key = bulkhead.new_key("moved", "worker", &[]).await;
        let client = bulkhead.client().with_key(&key);
        answers(&there, &client, 200).await;
        ask(&there, &client, "gpt-moved", "hi").await;
        assert_eq!(there.provider.only("gpt-moved").header("authorization"), Some("Bearer sk-new"));
        let shown = bulkhead.trace_show("moved", trace["id"].as_str().expect("an id")).await.json();
        assert_eq!(shown, trace);
        assert!(shown.to_string().contains("from moving"), "{shown}");
        // A head that was signed there fits the trail that is here.
        let head = fixture.bulkhead.folder().join("moving.head");
        let head = head.to_str().expect("UTF-8");
        fixture.bulkhead.audit_head("moving", head).await.ok();
        let public = fixture.bulkhead.audit_public_key().await;
        let signed = ["--tenant", "moved", "--head", head, "--public-key", &public];
        let whole = bulkhead.audit_verify(&signed).await.json();
        assert_eq!((&whole[0]["whole"], &whole[0]["head"]["seq"]), (&true.into(), &6.into()), "{whole}");
        bulkhead.audit_verify(&["--all"]).await.ok();
    });
}

#[test]
fn an_archive_is_one_tenants_and_is_taken_whole_or_not_at_all() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        let (_, _, other) = exported(fixture, "bystander").await;
        let (tenant, _, file) = exported(fixture, "leaving").await;
        let mode = std::fs::metadata(&file).expect("the archive").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = bulkhead.cli(&["tenant", "export", "--tenant", "leaving", "--out", &file]).await;
        assert!(refused(again, 1).contains("exists"));
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        for secret in [&*tenant.key, "sk-leaving", CARD, "bystander", "sk-bystander"] {
            assert_absent(secret, "the archive", &text);
        }
        assert!(std::fs::read_to_string(&other).expect("UTF-8").contains("bystander"));
        assert!(refused(import(bulkhead, &[&file]).await, 1).contains("--as NAME"));

        let there = Fixture::start("{}").await;
        let tenants = || there.bulkhead.sql("select count(*) from tenants");
        let before = tenants();
        let torn = there.bulkhead.write("torn", &text[..text.len() / 2]);
        let changed = there.bulkhead.write("changed", &text.replace("\"status\":200", "\"status\":201"));
        for (file, words) in [(torn, "cut off"), (changed, "was changed or damaged")] {
            let file = file.to_str().expect("UTF-8").to_owned();
            let said = refused(import(&there.bulkhead, &[&file, "--other-master-key"]).await, 1);
            assert!(said.contains(words) && said.contains(&file), "{said}");
            assert_eq!(tenants(), before);
        }
        assert!(refused(import(&there.bulkhead, &["/nowhere"]).await, 2).contains("/nowhere"));

        // From one command to the other, without a file.
        let piped = bulkhead.cli(&["tenant", "export", "--tenant", "leaving", "--out", "-"]).await;
        assert!(piped.err.contains("exported tenant leaving"), "{}", piped.err);
        let taken = ["tenant", "import", "-", "--other-master-key"];
        let said = there.bulkhead.cli_with_input(&taken, &piped.ok()).await.ok();
        assert!(said.contains("imported tenant leaving") && said.contains("left out: credentials"), "{said}");
    });
}

//! What operators do while nodes run: no command leaves a tenant with policies that its nodes refuse.

use std::process::Command;

use bulkhead_tests::commands::{Printed, Tenant};
use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::process::binary;
use bulkhead_tests::shapes::chat;
use bulkhead_tests::{Bulkhead, Fixture, Shared, run};
use serde_json::{Value, json};

static SHARED: Shared = Shared::new("{}");

const CHAT: &str = "/v1/chat/completions";
/// What an agent's policy may say whose models all go to one upstream.
const TO_ANTHROPIC: &str = "routes: [{ models: [\"*\"], to: [anthropic] }]";

async fn tenant(fixture: &Fixture, name: &str) -> Tenant {
    fixture.bulkhead.tenant(name, "sk-provider", &upstreams(&fixture.provider)).await
}

/// The tenant's policy with one upstream alone.
fn openai_alone(fixture: &Fixture) -> String {
    let url = fixture.provider.url();
    format!("upstreams: {{ openai: {{ base_url: \"{url}\", dialect: openai, credential: provider }} }}")
}

/// Applies a document with more options than a tenant's own needs.
async fn apply(bulkhead: &Bulkhead, tenant: &str, policy: &str, options: &[&str]) -> Printed {
    let file = bulkhead.write("layer", policy);
    let file = file.to_str().expect("UTF-8");
    bulkhead.cli(&[&["policy", "apply", file, "--tenant", tenant, "--json"], options].concat()).await
}

/// The version that a command has put in force.
fn version(printed: Printed) -> String {
    printed.json()["version"].to_string()
}

/// The newest actions in a tenant's audit trail, the last one first.
async fn newest_actions(bulkhead: &Bulkhead, tenant: &str, count: usize) -> Vec<String> {
    let entries = bulkhead.audit_list(&["--tenant", tenant]).await;
    let action = |entry: &Value| entry["action"].as_str().expect("an action").to_owned();
    entries.as_array().expect("a list").iter().take(count).map(action).collect()
}

#[track_caller]
fn refused(printed: &Printed, parts: &[&str]) {
    assert_eq!(printed.code, Some(2), "{}{}", printed.out, printed.err);
    for part in parts {
        assert!(printed.err.contains(part), "no {part:?} in {}", printed.err);
    }
}

#[test]
fn a_policy_that_an_agent_s_does_not_fit_is_refused_with_the_agent_s_name() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = tenant(fixture, "op-agents").await;
        let of_agent = ["--agent", "worker", "--wait"];
        let to_anthropic = version(apply(bulkhead, "op-agents", TO_ANTHROPIC, &of_agent).await);
        let narrow = openai_alone(fixture);
        let misfit = apply(bulkhead, "op-agents", &narrow, &[]).await;
        refused(&misfit, &["agent worker", "routes[0].to[0]", "policy apply FILE --agent worker"]);

        // Once the agent's policy fits both, the tenant's is taken, and every node enforces it.
        apply(bulkhead, "op-agents", "{}", &of_agent).await.ok();
        apply(bulkhead, "op-agents", &narrow, &["--wait"]).await.ok();
        tenant.client.post(CHAT, &chat("gpt-op-agents", "hi")).await.expect(200);

        // Going back is no way around it, in neither layer.
        let back = |options: &'static [&'static str]| async move {
            bulkhead.cli(&[&["policy", "rollback", "--tenant", "op-agents"], options].concat()).await
        };
        refused(&back(&["--agent", "worker"]).await, &["agent policy: routes[0].to[0]"]);
        back(&["--wait"]).await.ok();
        let to = ["policy", "rollback", "--tenant", "op-agents", "--to", &to_anthropic, "--wait"];
        bulkhead.cli(&to).await.ok();
        let history = bulkhead.cli(&["policy", "history", "--tenant", "op-agents", "--json"]).await.json();
        let newest = history.as_array().expect("a list").iter().find(|policy| policy["agent"].is_null());
        let newest = newest.expect("a policy of the tenant's")["version"].to_string();
        let forward = bulkhead.cli(&["policy", "rollback", "--tenant", "op-agents", "--to", &newest]).await;
        refused(&forward, &["agent worker", "routes[0].to[0]"]);
        let status = bulkhead.policy_status("op-agents").await;
        assert_eq!(status[0]["state"], "live", "{status}");
    });
}

#[test]
fn an_agent_s_routes_need_upstreams_of_a_tenant_without_a_policy_too() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        bulkhead.cli(&["tenant", "create", "op-bare"]).await.ok();
        bulkhead.cli(&["agent", "create", "worker", "--tenant", "op-bare"]).await.ok();
        let misfit = apply(bulkhead, "op-bare", TO_ANTHROPIC, &["--agent", "worker"]).await;
        refused(&misfit, &["agent policy: routes[0].to[0]"]);
    });
}

#[test]
fn a_platform_policy_that_a_tenant_s_does_not_fit_is_refused_with_the_tenant_s_name() {
    run(async {
        let fixture = Fixture::start("{}").await;
        let bulkhead = &fixture.bulkhead;
        tenant(&fixture, "op-floor").await;
        let names = "dlp: { detectors: [{ id: PLATFORM_NAMES, terms: [Falcon] }] }";
        apply(bulkhead, "op-floor", names, &["--platform", "--wait"]).await.ok();
        let own = upstreams(&fixture.provider)
            + "dlp: { rules: [{ detect: [PLATFORM_NAMES], on: both, action: mask }] }\n";
        bulkhead.apply("op-floor", &own).await.ok();
        let without = apply(bulkhead, "op-floor", "{}", &["--platform"]).await;
        refused(&without, &["tenant op-floor", "PLATFORM_NAMES", "of the tenant"]);

        let remove = ["policy", "remove", "--platform"];
        refused(&bulkhead.cli(&remove).await, &["tenant op-floor", "PLATFORM_NAMES", "of the tenant"]);

        // A tenant that nodes refuse anyway holds up nobody.
        bulkhead.sql("delete from credentials where name = 'provider'");
        apply(bulkhead, "op-floor", "{}", &["--platform"]).await.ok();
        bulkhead.cli(&remove).await.ok();
        let again = bulkhead.cli(&remove).await;
        assert!(again.code == Some(1) && again.err.contains("no such platform policy"), "{again:?}");
        let entries = bulkhead.audit_list(&["--platform", "--action", "platform_policy.remove"]).await;
        assert_eq!(entries.as_array().map(Vec::len), Some(1), "{entries}");
    });
}

#[test]
fn prices_are_those_of_the_platform_that_a_configuration_file_leads_to() {
    run(async {
        let fixture = Fixture::start("{}").await;
        let bulkhead = &fixture.bulkhead;
        let prices = "prices: { gpt-op: { input_usd_per_mtok: 3, output_usd_per_mtok: 4 } }";
        apply(bulkhead, "demo", prices, &["--platform"]).await.ok();
        let config = bulkhead.folder().join("operating.toml");
        let text = format!("[database]\nurl = {:?}\n", bulkhead.ready.database_url);
        std::fs::write(&config, text).expect("write the configuration");
        let mut show = Command::new(binary());
        // Not where a `bulkhead dev` may be, whose database would be found without a configuration.
        show.current_dir(bulkhead.folder())
            .args(["price", "show", "gpt-op", "--json", "--config"])
            .arg(&config);
        let shown = show.output().expect("run the command");
        let shown: Value = serde_json::from_slice(&shown.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&shown.stderr)));
        assert_eq!(shown["source"], json!("platform"), "{shown}");
        assert_eq!(shown["input_usd_per_mtok"], json!("3.00"), "{shown}");
    });
}

#[test]
fn who_waits_finds_keys_and_credentials_changed_on_every_node() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = tenant(fixture, "op-wait").await;
        let command = async |arguments: &[&str]| {
            bulkhead.cli(&[arguments, &["--tenant", "op-wait", "--wait"]].concat()).await
        };
        let status = async |key: &str, model: &str| {
            tenant.client.with_key(key).post(CHAT, &chat(model, "hi")).await.status
        };
        // Each is asked once and at once.
        let issued = command(&["key", "issue", "worker", "--json"]).await.json();
        let (id, key) = (issued["id"].as_str().expect("an id"), issued["api_key"].as_str().expect("a key"));
        assert_eq!(status(key, "gpt-op-issued").await, 200);
        let rotated = command(&["key", "rotate", id, "--overlap", "0s", "--json"]).await.json();
        let next = rotated["api_key"].as_str().expect("a key");
        assert_eq!((status(key, "gpt-op-old").await, status(next, "gpt-op-new").await), (401, 200));
        command(&["key", "revoke", rotated["id"].as_str().expect("an id")]).await.ok();
        assert_eq!(status(next, "gpt-op-revoked").await, 401);
        let set = ["credential", "set", "provider", "--tenant", "op-wait", "--wait"];
        bulkhead.cli_with_input(&set, "sk-another").await.ok();
        assert_eq!(status(&tenant.key, "gpt-op-set").await, 200);
        assert_eq!(fixture.provider.only("gpt-op-set").header("authorization"), Some("Bearer sk-another"));

        // A document that nodes refuse, as an older version might have stored it, keeps no key alive.
        let of_tenant = "(select id from tenants where name = 'op-wait')";
        bulkhead.sql(&format!(
            "insert into policies (tenant_id, version, document, author) values ({of_tenant}, 99, '{{\"no\": 1}}', 'test');
             update active_policies set version = 99 where tenant_id = {of_tenant}"
        ));
        let issued = command(&["key", "issue", "worker", "--json"]).await.json();
        let (id, key) = (issued["id"].as_str().expect("an id"), issued["api_key"].as_str().expect("a key"));
        assert_eq!(status(key, "gpt-op-refused").await, 200);
        command(&["key", "revoke", id]).await.ok();
        assert_eq!(status(key, "gpt-op-refused").await, 401);
        let set = bulkhead.cli_with_input(&set, "sk-third").await;
        assert_eq!(set.code, Some(1), "{}", set.err);
        assert!(set.err.contains("refused revision"), "{}", set.err);
    });
}

#[test]
fn tenants_and_agents_are_stopped_and_let_go_on() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = tenant(fixture, "op-state").await;
        let status = async || tenant.client.post(CHAT, &chat("gpt-op-state", "hi")).await.status;
        let state = async |nouns: &[&str], name: &str| {
            let list = bulkhead.cli(&[nouns, &["--json"]].concat()).await.json();
            list.as_array().expect("a list").iter().find(|one| one["name"] == name).cloned()
        };
        for (command, expected, is_suspended) in [("suspend", 401, true), ("resume", 200, false)] {
            bulkhead.cli(&["tenant", command, "op-state", "--wait"]).await.ok();
            assert_eq!(status().await, expected, "{command}");
            let listed = state(&["tenant", "list"], "op-state").await.expect("is listed");
            assert_eq!(listed["suspended"], is_suspended, "{listed}");
        }
        let agents = ["agent", "list", "--tenant", "op-state"];
        for (command, expected, is_disabled) in [("disable", 401, true), ("enable", 200, false)] {
            bulkhead.cli(&["agent", command, "worker", "--tenant", "op-state", "--wait"]).await.ok();
            assert_eq!(status().await, expected, "{command}");
            assert_eq!(state(&agents, "worker").await.expect("is listed")["disabled"], is_disabled);
        }
        let delete = ["agent", "delete", "worker", "--tenant", "op-state", "--wait", "--yes-delete"];
        refused(&bulkhead.cli(&[&delete[..], &["wroker"]].concat()).await, &["--yes-delete", "wroker"]);
        bulkhead.cli(&[&delete[..], &["worker"]].concat()).await.ok();
        assert_eq!(status().await, 401);
        assert_eq!(state(&agents, "worker").await, None);
        let again = bulkhead.cli(&[&delete[..], &["worker"]].concat()).await;
        assert!(again.code == Some(1) && again.err.contains("no such agent"), "{again:?}");
        assert_eq!(
            newest_actions(bulkhead, "op-state", 5).await,
            ["agent.delete", "agent.enable", "agent.disable", "tenant.resume", "tenant.suspend"]
        );
    });
}

#[test]
fn a_credential_is_deleted_once_no_policy_in_force_uses_it() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = tenant(fixture, "op-credential").await;
        let delete =
            ["credential", "delete", "provider", "--tenant", "op-credential", "--wait", "--yes-delete"];
        refused(&bulkhead.cli(&[&delete[..], &["prvider"]].concat()).await, &["--yes-delete"]);
        let in_use = bulkhead.cli(&[&delete[..], &["provider"]].concat()).await;
        assert!(in_use.code == Some(1) && in_use.err.contains("upstream anthropic"), "{in_use:?}");
        tenant.client.post(CHAT, &chat("gpt-op-credential", "hi")).await.expect(200);

        let without = openai_alone(fixture).replace(", credential: provider", "");
        bulkhead.apply("op-credential", &without).await.ok();
        bulkhead.cli(&[&delete[..], &["provider"]].concat()).await.ok();
        tenant.client.post(CHAT, &chat("gpt-op-no-credential", "hi")).await.expect(200);
        let list = bulkhead.cli(&["credential", "list", "--tenant", "op-credential", "--json"]).await.json();
        assert_eq!(list, json!([]));
        assert_eq!(newest_actions(bulkhead, "op-credential", 1).await, ["credential.delete"]);
    });
}

#[test]
fn policies_are_taken_off_and_put_in_force_again() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        let tenant = tenant(fixture, "op-remove").await;
        let policy = async |arguments: &[&str]| {
            bulkhead.cli(&[&["policy"], arguments, &["--tenant", "op-remove"]].concat()).await
        };
        let status = async || tenant.client.post(CHAT, &chat("gpt-op-remove", "hi")).await.status;
        apply(bulkhead, "op-remove", TO_ANTHROPIC, &["--agent", "worker", "--wait"]).await.ok();
        assert_ne!(status().await, 200);
        refused(&policy(&["remove"]).await, &["agent worker", "policy remove --agent worker"]);
        policy(&["remove", "--agent", "worker", "--wait"]).await.ok();
        assert_eq!(status().await, 200);
        let again = policy(&["remove", "--agent", "worker"]).await;
        assert!(again.code == Some(1) && again.err.contains("no such active policy"), "{again:?}");

        policy(&["remove", "--wait"]).await.ok();
        assert_ne!(status().await, 200);
        assert_eq!(policy(&["show"]).await.code, Some(1));
        let back = policy(&["rollback"]).await;
        assert!(back.code == Some(1) && back.err.contains("--to"), "{back:?}");
        policy(&["rollback", "--to", "1", "--wait"]).await.ok();
        assert_eq!(status().await, 200);
        assert_eq!(
            newest_actions(bulkhead, "op-remove", 3).await,
            ["policy.activate", "policy.deactivate", "policy.deactivate"]
        );
    });
}

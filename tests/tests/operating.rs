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

        // A tenant that nodes refuse anyway holds up nobody.
        bulkhead.sql("delete from credentials where name = 'provider'");
        apply(bulkhead, "op-floor", "{}", &["--platform"]).await.ok();
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
    });
}

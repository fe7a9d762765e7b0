//! The official SDKs of OpenAI and Anthropic, in Python and Node, and Google's in Python, understand what Bulkhead says.
//!
//! Needs `python3` with `venv`, and `node` with `npm`; the packages are pinned and kept in the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::packages::{self, cache, install_once, succeed};
use bulkhead_tests::provider::Piece;
use bulkhead_tests::samples::{CARD, github_token};
use bulkhead_tests::shapes::{
    CHANNELS, Channel, anthropic_stream, chat, gemini_stream, generate_answer, openai_stream,
    responses_stream, unnamed,
};
use bulkhead_tests::{Answer, Fixture, Shared, run};
use serde_json::json;

static SHARED: Shared = Shared::new(
    r#"
dlp:
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD], on: both, action: mask }
"#,
);

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk")
}

/// Scripts the provider for what both scripts ask.
fn script(fixture: &Fixture, secret: &str) {
    let provider = &fixture.provider;
    let pieces = ["pay ", &CARD[..7], &CARD[7..], " now"];
    let leak = ["it is ", &secret[..15], &secret[15..], " there"];
    let tool = |name: &str| {
        CHANNELS
            .iter()
            .find(|c| c.name == name)
            .map(|channel: &Channel| channel.events(&pieces))
            .expect("a channel")
    };
    let mut chat_tool = tool("chat tool arguments");
    // The first delta of a call carries its id and name.
    let named = String::from_utf8_lossy(&chat_tool[1]).replacen(
        r#""function":{"#,
        r#""id":"call_7","type":"function","function":{"name":"write_note","#,
        1,
    );
    chat_tool[1] = named.into_bytes();
    provider.on("gpt-sdk-stream", Answer::events(openai_stream(&pieces)));
    provider.on("gpt-sdk-tool", Answer::events(chat_tool));
    provider.on("gpt-sdk-responses", Answer::events(responses_stream(&pieces)));
    provider.on("claude-sdk-stream", Answer::events(anthropic_stream(&pieces)));
    provider.on("claude-sdk-tool", Answer::events(tool("messages tool input")));
    let mut call = generate_answer("");
    let arguments = json!({"functionCall": {"name": "write_note", "args": {"note": format!("pay {CARD}")}}});
    call["candidates"][0]["content"]["parts"] = json!([arguments]);
    provider.on("gemini-sdk-stream", Answer::events(gemini_stream(&pieces)));
    provider.on("gemini-sdk-tool", Answer::json(200, &call));
    provider.on("gemini-sdk-tool-stream", Answer::events([unnamed(&call)]));
    provider.on("gemini-sdk-leak", Answer::events(gemini_stream(&leak)));
    provider.on("gemini-sdk-broken", Answer::events(gemini_stream(&["one ", "two "])).cut(1, Piece::Hangup));
    let words = vec![" a"; 2_000];
    provider.on("gpt-sdk-cut", Answer::events(openai_stream(&words)));
    provider.on("gpt-sdk-cut-responses", Answer::events(responses_stream(&words)));
    provider.on("claude-sdk-cut", Answer::events(anthropic_stream(&words)));
    provider.on("gemini-sdk-cut", Answer::events(gemini_stream(&words)));
    provider.on("gpt-sdk-leak", Answer::events(openai_stream(&leak)));
    provider.on("gpt-sdk-leak-responses", Answer::events(responses_stream(&leak)));
    provider.on("claude-sdk-leak", Answer::events(anthropic_stream(&leak)));
    provider.on("gpt-sdk-broken", Answer::events(openai_stream(&["one ", "two "])).cut(2, Piece::Hangup));
    provider
        .on("claude-sdk-broken", Answer::events(anthropic_stream(&["one ", "two "])).cut(4, Piece::Hangup));
}

/// Starts everything a script needs and runs it.
async fn check(language: &str, mut command: Command) {
    let fixture = SHARED.get().await;
    let secret = github_token(90);
    script(fixture, &secret);
    let own = upstreams(&fixture.provider);
    let budget =
        "budgets:\n  - { id: one, scope: tenant, unit: requests, limit: 1, window: day, at_limit: refuse }\n";
    let broke =
        fixture.bulkhead.tenant(&format!("broke-{language}"), "sk-a", &format!("{own}{budget}")).await;
    broke.client.post("/v1/chat/completions", &chat("gpt-x", "hi")).await.expect(200);
    // Each dialect's stream draws on a wall of its own, because the first one uses it up.
    let walls = ["gpt-sdk-cut", "gpt-sdk-cut-responses", "claude-sdk-cut", "gemini-sdk-cut"].map(|model| {
        format!(
            "  - {{ id: {model}, scope: tenant, unit: tokens, limit: 300, window: day, at_limit: cut, models: [{model}] }}\n"
        )
    });
    let walls = format!("{own}budgets:\n{}", walls.concat());
    let cut = fixture.bulkhead.tenant(&format!("cut-{language}"), "sk-a", &walls).await;
    let limits = "limits: { requests_per_minute: 2 }\n";
    let slow = fixture.bulkhead.tenant(&format!("slow-{language}"), "sk-a", &format!("{own}{limits}")).await;
    command
        .env("BULKHEAD_URL", &fixture.bulkhead.ready.proxy_url)
        .env("BULKHEAD_KEY", &fixture.bulkhead.ready.api_key)
        .env("BULKHEAD_BUDGET_KEY", &broke.key)
        .env("BULKHEAD_CUT_KEY", &cut.key)
        .env("BULKHEAD_RATE_KEY", &slow.key)
        .env("BULKHEAD_SECRET", &secret)
        .env("BULKHEAD_CARD", CARD)
        // A proxy named by the environment would stand between the SDK and Bulkhead.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    let printed = tokio::task::spawn_blocking(move || succeed(&mut command)).await.expect("run the script");
    assert!(printed.trim_end().ends_with("all passed"), "{printed}");
}

#[test]
fn python() {
    let mut command =
        Command::new(packages::python("python", &sdk().join("requirements.txt")).join("python"));
    command.arg(sdk().join("conformance.py"));
    run(check("python", command));
}

#[test]
fn node() {
    let folder = cache("node");
    let pinned = ["package.json", "package-lock.json"];
    install_once(&folder, &pinned.map(|name| sdk().join(name)), || {
        for name in pinned {
            std::fs::copy(sdk().join(name), folder.join(name)).expect("copy the pinned versions");
        }
        succeed(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder));
    });
    // Node looks for packages beside the script, so the script goes where they are.
    let script = folder.join("conformance.mjs");
    std::fs::copy(sdk().join("conformance.mjs"), &script).expect("copy the script");
    let mut command = Command::new("node");
    command.arg(script);
    run(check("node", command));
}

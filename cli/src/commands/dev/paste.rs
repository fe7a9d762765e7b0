//! What `bulkhead dev` prints when it is ready: commands to paste.

use std::path::Path;

use crate::dev_state::{DATA_DIR_DEFAULT, DevState};

/// The text for people.
pub(super) fn text(state: &DevState, data_dir: &Path, has_demo_model: bool) -> String {
    let DevState { proxy_url, metrics_url, database_url, tenant, agent, api_key, .. } = state;
    let bulkhead = bulkhead();
    let place = if data_dir == Path::new(DATA_DIR_DEFAULT) {
        String::new()
    } else {
        format!(" --data-dir {}", quoted(&data_dir.display().to_string()))
    };
    // Put together here: written out, scanners of this repository would report it.
    let secret = format!("sk-proj-{}", "DemoDemo0123456789DemoDemo0123456789");
    let chat = |stream: &str, content: &str| {
        let quiet = if stream.is_empty() { "-s" } else { "-sN" };
        format!(
            "curl {quiet} $BULKHEAD/v1/chat/completions -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n    \
             -d '{{\"model\": \"gpt-4.1-mini\", {stream}\"messages\": [{{\"role\": \"user\", \"content\": \"{content}\"}}]}}'"
        )
    };
    let messages = format!(
        "curl -s $BULKHEAD/v1/messages -H \"x-api-key: $KEY\" -H 'anthropic-version: 2023-06-01' -H 'Content-Type: application/json' \\\n    \
         -d '{}'",
        r#"{"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}"#
    );
    let generate = format!(
        "curl -s $BULKHEAD/v1beta/models/gemini-2.5-flash:generateContent -H \"x-goog-api-key: $KEY\" -H 'Content-Type: application/json' \\\n    \
         -d '{}'",
        r#"{"contents": [{"parts": [{"text": "hello"}]}]}"#
    );
    let stream = "\"stream\": true, ";
    let masked = if has_demo_model {
        chat(stream, "give me a test card number")
    } else {
        chat("", "my card is 4111 1111 1111 1111, repeat it")
    };
    let plain = chat("", "hello");
    let streamed = chat(stream, "repeat: every ship has walls");
    let blocked = chat("", &format!("keep this: {secret}"));
    format!(
        "\nBulkhead is ready. Tenant {tenant}, agent {agent}. Ctrl-C stops it; everything is kept in {data_dir}.\n\n\
         In another terminal:\n\n\
         export BULKHEAD={proxy_url} KEY={api_key}\n\n\
         # an answer, OpenAI's way\n{plain}\n\n\
         # the same, Anthropic's way\n{messages}\n\n\
         # and Gemini's\n{generate}\n\n\
         # an answer as a stream\n{streamed}\n\n\
         # a secret does not leave\n{blocked}\n\n\
         # a card number is masked, in the middle of the stream\n{masked}\n\n\
         # what was recorded\n{bulkhead} trace list{place}\n\n\
         # the policy that did it; change it and apply it while everything runs\n\
         {bulkhead} policy show{place} > policy.json\n{bulkhead} policy apply policy.json --wait{place}\n\n\
         # metrics\ncurl -s {metrics_url}/metrics\n\n\
         SDKs: base URL {proxy_url}/v1 for OpenAI's, {proxy_url} for Anthropic's and Google's; the API key is $KEY.\n\
         Database: {database_url}\n\n",
        data_dir = data_dir.display(),
    )
}

/// How this binary was called, so that the commands work as they are.
fn bulkhead() -> String {
    let called = std::env::args_os().next().unwrap_or_else(|| "bulkhead".into());
    quoted(&called.to_string_lossy())
}

fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::{quoted, text};
    use crate::dev_state::DevState;
    use std::path::Path;

    fn state() -> DevState {
        DevState {
            proxy_url: "http://127.0.0.1:8080".to_owned(),
            metrics_url: "http://127.0.0.1:9090".to_owned(),
            database_url: "postgres:///bulkhead".to_owned(),
            tenant: "demo".to_owned(),
            agent: "demo-agent".to_owned(),
            api_key: "bh_dev_x".to_owned(),
            demo_model: None,
            upstream_url: None,
            policy_sha256: None,
        }
    }

    #[test]
    fn every_body_to_paste_is_json() {
        for has_demo_model in [true, false] {
            let text = text(&state(), Path::new("my dir"), has_demo_model);
            let bodies: Vec<&str> =
                text.split("-d '").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
            assert_eq!(bodies.len(), 6);
            for body in bodies {
                let value: serde_json::Value = serde_json::from_str(body).expect(body);
                assert!(value.get("messages").or(value.get("contents")).is_some());
            }
            assert!(text.contains("trace list --data-dir 'my dir'"));
        }
    }

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(quoted("./target/debug/bulkhead"), "./target/debug/bulkhead");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}

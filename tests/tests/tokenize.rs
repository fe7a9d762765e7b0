//! A tokenized value never reaches the provider and always comes back to the agent, wherever the model puts it.

use bulkhead_tests::client::Ended;
use bulkhead_tests::fixture::{Fixture, upstreams};
use bulkhead_tests::provider::Seen;
use bulkhead_tests::samples::{CARD, EMAIL, github_token};
use bulkhead_tests::shapes::{
    ANSWERS, CHANNELS, chat, chat_answer, model, openai_stream, plain_answer, streamed,
};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Answer, Shared, run};
use serde_json::{Value, json};

static SHARED: Shared = Shared::new(
    r#"
dlp:
  detectors:
    - { id: NICKNAME, regex: "Ada .Countess. Lovelace" }
  rules:
    - { detect: [EMAIL_ADDRESS, NICKNAME, "secret.*"], on: request, action: tokenize }
    - { detect: [CREDIT_CARD], on: both, action: mask, mask: { keep_last: 4 } }
    - { detect: ["pii.*", "network.*"], on: response, action: mask, min_confidence: 0.9 }
capture: masked
"#,
);

/// A value whose quotes must be escaped in the arguments of a tool call.
const NICKNAME: &str = "Ada \"Countess\" Lovelace";

/// The tokens in what the provider received, in order.
fn tokens(seen: &Seen) -> Vec<String> {
    let text = String::from_utf8_lossy(&seen.body).into_owned();
    let starts = text.match_indices('[').map(|(start, _)| &text[start..]);
    let closed = starts.filter_map(|rest| Some(&rest[..=rest.find(']')?]));
    let is_token = |token: &&str| token.starts_with("[EMAIL_ADDRESS_") || token.starts_with("[NICKNAME_");
    closed.filter(is_token).map(str::to_owned).collect()
}

fn characters(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

#[test]
fn values_come_back_on_every_channel_one_character_at_a_time() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, channel) in CHANNELS.iter().enumerate() {
            for (case, value, change) in [
                ("plain", EMAIL, str::to_owned as fn(&str) -> String),
                ("lower", EMAIL, |token| token.to_lowercase()),
                ("cut", EMAIL, |token| token[..token.len() - 3].to_owned()),
                ("quoted", NICKNAME, str::to_owned),
            ] {
                let model = model(channel.path, &format!("channel-{number}-{case}"));
                let channel = *channel;
                fixture.provider.on_call(&model, move |seen| {
                    let token = change(&tokens(seen)[0]);
                    let pieces = characters(&format!("so [write] to {token}, and to ann@norrbacken.se!"));
                    Answer::events(channel.events(&pieces.iter().map(String::as_str).collect::<Vec<_>>()))
                });
                let request = streamed((channel.request)(&model, &format!("write to {value}")));
                let reply = fixture.client().post(channel.path, &request).await.expect(200);
                let what = format!("{}, {case}", channel.name);
                assert_eq!(reply.ended, Ended::Complete, "{what}");
                let value_there =
                    if channel.before.is_empty() { value.to_owned() } else { value.replace('"', "\\\"") };
                let expected = format!("so [write] to {value_there}, and to [EMAIL_ADDRESS]!");
                assert_eq!(channel.text(&reply.events()), expected, "{what}");
                let seen = fixture.provider.only(&model);
                assert_absent(value, &what, &String::from_utf8_lossy(&seen.body));
                assert_absent("Countess", &what, &String::from_utf8_lossy(&seen.body));
                // Final events repeat the text whole; nothing of the token is left in them either.
                assert_absent("ADDRESS_", &what, &reply.text());
                assert_absent("NICKNAME_", &what, &reply.text());
            }
        }
    });
}

#[test]
fn values_come_back_in_whole_answers() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, shape) in ANSWERS.iter().enumerate() {
            let model = model(shape.path, &format!("whole-{number}"));
            let answer = shape.answer;
            fixture.provider.on_call(&model, move |seen| {
                let token = &tokens(seen)[0];
                Answer::json(200, &answer(&format!("to {token} and {}", token.to_lowercase())))
            });
            let request = (shape.request)(&model, &format!("{EMAIL} it is"));
            let reply = fixture.client().post(shape.path, &request).await.expect(200);
            let expected = format!("to {EMAIL} and {EMAIL}");
            assert_eq!(reply.json().pointer(shape.pointer), Some(&json!(expected)), "{}", shape.name);
            let trace = fixture.bulkhead.trace(&reply.trace_id()).await.to_string();
            assert_absent(EMAIL, shape.name, &trace);
        }
    });
}

#[test]
fn a_value_has_one_token_in_all_turns_of_a_conversation() {
    run(async {
        let fixture = SHARED.get().await;
        let model = "gpt-three-turns";
        fixture.provider.on_call(model, |seen| {
            let token = tokens(seen).last().expect("a token").clone();
            let pieces = characters(&format!("I wrote to {token}."));
            Answer::events(openai_stream(&pieces.iter().map(String::as_str).collect::<Vec<_>>()))
        });
        let mut request = streamed(chat(model, &format!("write to {EMAIL}")));
        for turn in 1..=3 {
            let reply = fixture.client().post("/v1/chat/completions", &request).await.expect(200);
            let said = CHANNELS[0].text(&reply.events());
            assert_eq!(said, format!("I wrote to {EMAIL}."), "turn {turn}");
            let messages = request["messages"].as_array_mut().expect("messages");
            // The agent keeps what it was told, as text and as the arguments of a call.
            messages.push(json!({"role": "assistant", "content": said, "tool_calls": [{"id": "call_7", "type": "function",
                "function": {"name": "send", "arguments": json!({"to": EMAIL}).to_string()}}]}));
            messages.push(json!({"role": "tool", "tool_call_id": "call_7", "content": "sent"}));
            messages.push(json!({"role": "user", "content": "and again"}));
        }
        let seen = fixture.provider.seen(model);
        let mut all: Vec<String> = seen.iter().flat_map(|seen| tokens(seen)).collect();
        assert_eq!(all.len(), 1 + 3 + 5);
        all.dedup();
        assert_eq!(all.len(), 1, "{all:?}");
        for seen in seen {
            assert_absent(EMAIL, "a request", &String::from_utf8_lossy(&seen.body));
        }
    });
}

#[test]
fn traces_show_tokens_and_fingerprints_of_this_tenant_alone() {
    run(async {
        let fixture = SHARED.get().await;
        let answer = |seen: &Seen| {
            let request: Value = seen.json();
            plain_answer("/v1/chat/completions", &request, &format!("{} it is", tokens(seen)[0]))
        };
        let mut fingerprints = Vec::new();
        for (number, stream) in [false, true].into_iter().enumerate() {
            let model = format!("gpt-traced-{number}");
            fixture.provider.on_call(&model, answer);
            let mut request = chat(&model, &format!("it is {EMAIL}"));
            request["stream"] = json!(stream);
            let reply = fixture.client().post("/v1/chat/completions", &request).await.expect(200);
            assert!(reply.text().contains(EMAIL), "{}", reply.text());
            let token = tokens(&fixture.provider.only(&model))[0].clone();
            let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
            assert_absent(EMAIL, "a trace", &trace.to_string());
            for body in ["request", "response"] {
                assert!(
                    trace["bodies"][body].as_str().is_some_and(|body| body.contains(&token)),
                    "{body}: {trace}"
                );
            }
            let finding = &trace["findings"][0];
            assert_eq!(
                (&finding["action"], &trace["outcome"]),
                (&json!("tokenize"), &json!("masked")),
                "{trace}"
            );
            fingerprints.push(finding["fingerprint"].as_str().expect("a fingerprint").to_owned());
            fingerprints.push(token);
        }
        assert_eq!(fingerprints[..2], fingerprints[2..]);

        let policy = "dlp:\n  rules: [{ detect: [EMAIL_ADDRESS], on: request, action: tokenize }]\n";
        let policy = format!("{}{policy}", upstreams(&fixture.provider));
        let tenant = fixture.bulkhead.tenant("tokenize-other", "sk-other", &policy).await;
        fixture.provider.on_call("gpt-traced-other", answer);
        let client = fixture.client().with_key(&tenant.key);
        let reply = client.post("/v1/chat/completions", &chat("gpt-traced-other", EMAIL)).await.expect(200);
        let trace = fixture.bulkhead.trace_of("tokenize-other", &reply.trace_id()).await;
        assert_ne!(trace["findings"][0]["fingerprint"], fingerprints[0].as_str());
        assert_ne!(tokens(&fixture.provider.only("gpt-traced-other"))[0], fingerprints[1]);
    });
}

#[test]
fn secrets_are_masked_and_never_come_back() {
    run(async {
        let fixture = SHARED.get().await;
        let secret = github_token(90);
        fixture.provider.on("gpt-secret", Answer::json(200, &chat_answer("use [GITHUB_TOKEN]")));
        let request = chat("gpt-secret", &format!("push with {secret}"));
        let reply = fixture.client().post("/v1/chat/completions", &request).await.expect(200);
        assert_eq!(reply.json()["choices"][0]["message"]["content"], "use [GITHUB_TOKEN]");
        let sent = fixture.provider.only("gpt-secret").json();
        assert_eq!(sent["messages"][0]["content"], "push with [GITHUB_TOKEN]");
    });
}

#[test]
fn a_mask_keeps_the_last_digits_and_confidence_chooses_detectors() {
    run(async {
        let fixture = SHARED.get().await;
        let text = format!("pay {CARD} from 10.20.30.40");
        let masked = format!("pay [CREDIT_CARD]{} from 10.20.30.40", &CARD[CARD.len() - 4..]);
        let pieces = characters(&text);
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        fixture.provider.on("gpt-keep", Answer::events(openai_stream(&pieces)));
        let request = streamed(chat("gpt-keep", &text));
        let reply = fixture.client().post("/v1/chat/completions", &request).await.expect(200);
        assert_eq!(CHANNELS[0].text(&reply.events()), masked);
        let sent = fixture.provider.only("gpt-keep").json();
        assert_eq!(sent["messages"][0]["content"], masked);
    });
}

#[test]
fn a_value_has_the_same_token_after_a_restart() {
    run(async {
        let policy = "dlp: { rules: [{ detect: [EMAIL_ADDRESS], on: request, action: tokenize }] }\n";
        let mut fixture = Fixture::start(policy).await;
        let model = "gpt-restarted";
        fixture.provider.on(model, Answer::json(200, &chat_answer("sent")));
        let request = chat(model, &format!("write to {EMAIL}"));
        fixture.client().post("/v1/chat/completions", &request).await.expect(200);
        fixture.bulkhead.kill_9();
        fixture.bulkhead.restart().await;
        fixture.client().post("/v1/chat/completions", &request).await.expect(200);
        let seen = fixture.provider.seen(model);
        let [before, after] = [0, 1].map(|call| tokens(&seen[call]));
        assert_eq!((before.len(), &before), (1, &after));
    });
}

#[test]
fn an_address_masked_from_its_at_sign_holds_no_word_back() {
    run(async {
        let policy =
            "dlp: { email: mask-domain, rules: [{ detect: [EMAIL_ADDRESS], on: response, action: mask }] }\n";
        let fixture = Fixture::start(policy).await;
        for (number, channel) in CHANNELS.iter().enumerate() {
            let model = model(channel.path, &format!("domain-{number}"));
            let pieces = characters("write to jane.doe@norrbacken.se, not to @jane");
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            fixture.provider.on(&model, Answer::events(channel.events(&pieces)));
            let request = streamed((channel.request)(&model, "hello"));
            let reply = fixture.client().post(channel.path, &request).await.expect(200);
            assert_eq!(reply.ended, Ended::Complete, "{}", channel.name);
            let text = channel.text(&reply.events());
            assert_eq!(text, "write to jane.doe[EMAIL_ADDRESS], not to @jane", "{}", channel.name);
        }
    });
}

//! A value in a streamed answer never arrives, wherever the provider cuts it and whichever channel it is in.

use bulkhead_tests::client::Ended;
use bulkhead_tests::samples::{CARD, EMAIL, OTHER_CARD, github_token};
use bulkhead_tests::shapes::{
    CHANNELS, Channel, SECOND_CHOICE, chat, chat_chunk, code_of, data, event_name, is_done, messages, model,
    openai_stream, responses, stream_error, streamed,
};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Answer, Gate, Reply, Shared, run};
use serde_json::json;

static SHARED: Shared = Shared::new(
    r#"
dlp:
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD], on: both, action: mask }
"#,
);

/// Lets the provider answer with these events and returns what arrives.
async fn delivered(channel: &Channel, name: &str, answer: Answer) -> Reply {
    let fixture = SHARED.get().await;
    let model = model(channel.path, name);
    fixture.provider.on(&model, answer);
    let reply = fixture.client().post(channel.path, &channel.request(&model)).await.expect(200);
    assert_eq!(reply.ended, Ended::Complete, "{}: the stream was cut", channel.name);
    reply
}

/// What a card becomes, learned from a stream where it is in one piece.
async fn mask() -> String {
    let channel = &CHANNELS[0];
    let reply = delivered(channel, "learn-the-mask", Answer::events(channel.events(&["<", CARD, ">"]))).await;
    let text = channel.text(&reply.events());
    let mask = text
        .strip_prefix('<')
        .and_then(|t| t.strip_suffix('>'))
        .expect("the text around the card")
        .to_owned();
    assert!(mask.starts_with('[') && mask.ends_with(']') && mask.contains("CARD"), "{mask}");
    mask
}

#[test]
fn a_card_is_masked_wherever_it_is_split_on_every_channel() {
    run(async {
        let mask = mask().await;
        for (number, channel) in CHANNELS.iter().enumerate() {
            for at in 0..=CARD.len() {
                let (head, tail) = CARD.split_at(at);
                let events = channel.events(&["the card is ", head, tail, " so", " be it"]);
                let reply = delivered(channel, &format!("split-{number}-{at}"), Answer::events(events)).await;
                let what = format!("{}, split at {at}", channel.name);
                assert_absent(CARD, &what, &reply.text());
                assert_eq!(channel.text(&reply.events()), format!("the card is {mask} so be it"), "{what}");
            }
        }
    });
}

#[test]
fn a_card_is_masked_when_every_character_is_an_event() {
    run(async {
        let mask = mask().await;
        for (number, channel) in CHANNELS.iter().enumerate() {
            let text = format!("a {CARD}, b {OTHER_CARD}!");
            let pieces: Vec<String> = text.chars().map(String::from).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let reply =
                delivered(channel, &format!("chars-{number}"), Answer::events(channel.events(&pieces))).await;
            assert_eq!(channel.text(&reply.events()), format!("a {mask}, b {mask}!"), "{}", channel.name);
        }
    });
}

static EVERY_KIND: Shared = Shared::new(
    r#"
dlp:
  detectors:
    - { id: PROJECTS, terms: ["blue falcon"], ignore_case: true }
  rules:
    - { detect: ["secret.*", CREDIT_CARD, EMAIL_ADDRESS, PROJECTS], on: both, action: mask }
"#,
);

#[test]
fn every_kind_of_value_is_masked_when_every_character_is_an_event() {
    run(async {
        let fixture = EVERY_KIND.get().await;
        let key = github_token(23);
        let dashes = "-----";
        let block = format!(
            "{dashes}BEGIN PRIVATE KEY{dashes}\n{}\n{dashes}END PRIVATE KEY{dashes}",
            "MIIEvQIBADANBgkq".repeat(4)
        );
        let values = [CARD, &key, EMAIL, "Blue Falcon", &block];
        let text = values.map(|value| format!("it is {value} ;\n")).concat();
        let pieces: Vec<String> = text.chars().map(String::from).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        for (number, channel) in CHANNELS.iter().enumerate() {
            let model = model(channel.path, &format!("kinds-{number}"));
            fixture.provider.on(&model, Answer::events(channel.events(&pieces)));
            let reply = fixture.client().post(channel.path, &channel.request(&model)).await.expect(200);
            let delivered = channel.text(&reply.events());
            let lines: Vec<&str> = delivered.split_inclusive(";\n").collect();
            assert_eq!(lines.len(), values.len(), "{}: {delivered}", channel.name);
            for line in lines {
                let placeholder = line.strip_prefix("it is [").and_then(|rest| rest.strip_suffix("] ;\n"));
                let is_label =
                    |label: &str| label.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                assert!(placeholder.is_some_and(is_label), "{}: {line}", channel.name);
            }
        }
    });
}

#[test]
fn the_wire_may_be_cut_at_any_byte() {
    run(async {
        let mask = mask().await;
        for (number, channel) in CHANNELS.iter().enumerate() {
            for size in [1, 2, 3, 7, 64, 1000, 100_000] {
                let answer =
                    Answer::events(channel.events(&["pay with ", &CARD[..6], &CARD[6..], ", über 😀"]))
                        .recut(size);
                let reply = delivered(channel, &format!("recut-{number}-{size}"), answer).await;
                let text = channel.text(&reply.events());
                assert_eq!(text, format!("pay with {mask}, über 😀"), "{}, pieces of {size}", channel.name);
            }
        }
    });
}

#[test]
fn a_card_at_the_very_end_is_masked() {
    run(async {
        let mask = mask().await;
        for (number, channel) in CHANNELS.iter().enumerate() {
            let events = channel.events(&["it is ", &CARD[..12], &CARD[12..]]);
            let reply = delivered(channel, &format!("end-{number}"), Answer::events(events)).await;
            assert_eq!(channel.text(&reply.events()), format!("it is {mask}"), "{}", channel.name);
        }
    });
}

#[test]
fn digits_of_two_choices_are_not_joined() {
    run(async {
        let fixture = SHARED.get().await;
        let (head, tail) = CARD.split_at(9);
        let mut events = vec![
            chat_chunk(0, &json!({"content": head}), None),
            chat_chunk(1, &json!({"content": tail}), None),
        ];
        events.extend([
            chat_chunk(0, &json!({}), Some("stop")),
            chat_chunk(1, &json!({}), Some("stop")),
            b"data: [DONE]\n\n".to_vec(),
        ]);
        fixture.provider.on("gpt-two-choices", Answer::events(events.clone()));
        let request = SECOND_CHOICE.request("gpt-two-choices");
        let reply = fixture.client().post("/v1/chat/completions", &request).await.expect(200);
        assert_eq!(reply.events(), events);
    });
}

#[test]
fn a_clean_stream_arrives_byte_for_byte() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, channel) in CHANNELS.iter().enumerate() {
            let mut events = channel.events(&["nothing ", "to \"see\" \\ ", "here: 12 34, naïve 😀", " bye"]);
            events.insert(1, b": a comment that keeps the connection alive\n\n".to_vec());
            let model = model(channel.path, &format!("clean-{number}"));
            fixture.provider.on(&model, Answer::events(events.clone()));
            let mut request = channel.request(&model);
            if channel.path == "/v1/chat/completions" {
                // Else the chunk with the usage, which the caller did not ask for, is taken out.
                request["stream_options"] = json!({"include_usage": true});
            }
            let reply = fixture.client().post(channel.path, &request).await.expect(200);
            let sent = String::from_utf8(events.concat()).expect("UTF-8");
            assert_eq!(reply.text(), sent, "{}", channel.name);
            assert_eq!(reply.header("content-type"), Some("text/event-stream"), "{}", channel.name);
        }
    });
}

#[test]
fn the_usage_chunk_comes_only_to_those_who_asked() {
    run(async {
        let fixture = SHARED.get().await;
        fixture.provider.on("gpt-usage", Answer::events(openai_stream(&["hello"])));
        let reply = fixture
            .client()
            .post("/v1/chat/completions", &streamed(chat("gpt-usage", "hi")))
            .await
            .expect(200);
        let events = reply.events();
        assert!(
            events
                .iter()
                .filter_map(|e| data(e))
                .all(|v| v["choices"].as_array().is_some_and(|c| !c.is_empty())),
            "{}",
            reply.text()
        );
        assert!(events.last().is_some_and(|event| is_done(event)));
        let asked = fixture.provider.only("gpt-usage").json();
        assert_eq!(
            asked["stream_options"]["include_usage"], true,
            "the provider must be asked for the usage"
        );
        let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
        assert_eq!(trace["tokens"]["input"], 11, "{trace}");
        assert_eq!(trace["tokens"]["estimated"], false, "{trace}");
    });
}

/// A stream that must end with the dialect's error, without the value and without a clean end.
async fn assert_stopped(channel: &Channel, name: &str, pieces: &[&str], token: &str) {
    let fixture = SHARED.get().await;
    let model = model(channel.path, name);
    fixture.provider.on(&model, Answer::events(channel.events(pieces)));
    let reply = fixture.client().post(channel.path, &channel.request(&model)).await.expect(200);
    let events = reply.events();
    let text = reply.text();
    for from in 0..token.len().saturating_sub(12) {
        assert_absent(&token[from..from + 12], channel.name, &text);
    }
    let error = stream_error(channel.path, &events);
    let code = match channel.path {
        "/v1/responses" => "invalid_prompt",
        _ => "dlp_blocked",
    };
    if channel.path == "/v1/messages" {
        assert!(error["message"].as_str().is_some_and(|m| m.contains("GITHUB_TOKEN")), "{error}");
    } else {
        assert_eq!(code_of(&error), code, "{}: {error}", channel.name);
    }
    assert!(
        !events.iter().any(|e| matches!(event_name(e), Some("message_stop" | "response.completed"))),
        "{}",
        channel.name
    );
    let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
    assert_eq!(trace["outcome"], "blocked", "{}: {trace}", channel.name);
    assert_eq!(trace["findings"][0]["direction"], "response", "{}: {trace}", channel.name);
    assert_absent(token, "the trace", &trace.to_string());
}

#[test]
fn a_secret_stops_the_stream_on_every_channel() {
    run(async {
        let token = github_token(20);
        for (number, channel) in CHANNELS.iter().enumerate() {
            let (head, tail) = token.split_at(17);
            let pieces = ["your token: ", head, tail, " keep it", " safe"];
            assert_stopped(channel, &format!("stopped-{number}"), &pieces, &token).await;
        }
    });
}

#[test]
fn a_secret_stops_the_stream_wherever_it_is_split() {
    run(async {
        let token = github_token(21);
        let channel = &CHANNELS[0];
        for at in 1..token.len() {
            let (head, tail) = token.split_at(at);
            assert_stopped(channel, &format!("stopped-at-{at}"), &["token ", head, tail, " end"], &token)
                .await;
        }
    });
}

#[test]
fn what_stood_before_the_secret_still_arrives() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(22);
        let channel = &CHANNELS[0];
        fixture
            .provider
            .on("gpt-before", Answer::events(channel.events(&["first. ", "second. ", &token, " third"])));
        let reply = fixture.client().post(channel.path, &channel.request("gpt-before")).await.expect(200);
        let text = channel.text(&reply.events());
        assert!(text.starts_with("first. second."), "{text}");
        assert_absent("third", "the stream", &reply.text());
    });
}

#[test]
fn a_stopped_stream_closes_the_call_to_the_provider() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(23);
        let channel = &CHANNELS[0];
        let gate = Gate::new();
        let answer = Answer::events(channel.events(&["see ", &token, " and", " on"])).gate(4, &gate);
        fixture.provider.on("gpt-closed", answer);
        let reply = fixture.client().post(channel.path, &channel.request("gpt-closed")).await.expect(200);
        stream_error(channel.path, &reply.events());
        assert_eq!(fixture.provider.only("gpt-closed").ended().await, bulkhead_tests::provider::End::Aborted);
    });
}

#[test]
fn an_event_that_cannot_be_part_of_a_match_leaves_at_once() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, channel) in CHANNELS.iter().enumerate() {
            if channel.name == SECOND_CHOICE.name {
                continue; // two events per piece; the others show the same
            }
            let pieces = ["well, ", "my friend, ", "that is ", "all, "];
            let events = channel.events(&pieces);
            let firsts = events
                .iter()
                .position(|e| String::from_utf8_lossy(e).contains("well, "))
                .expect("the first piece");
            let gates: Vec<Gate> = pieces.iter().map(|_| Gate::new()).collect();
            let mut answer = Answer::events(events.clone());
            for (index, gate) in gates.iter().enumerate().rev() {
                answer = answer.gate(firsts + index + 1, gate);
            }
            let model = model(channel.path, &format!("latency-{number}"));
            fixture.provider.on(&model, answer);
            let mut live = fixture.client().stream(channel.path, &channel.request(&model)).await;
            for event in &events[..firsts] {
                assert_eq!(live.next_event().await.as_ref(), Some(event), "{}", channel.name);
            }
            for (event, gate) in events[firsts..].iter().zip(&gates) {
                // The provider waits at the gate, so this event comes without its successor or never.
                assert_eq!(live.next_event().await.as_ref(), Some(event), "{}", channel.name);
                gate.open();
            }
            live.rest().await;
        }
    });
}

#[test]
fn text_that_may_become_a_match_waits_for_no_more_than_it_needs() {
    run(async {
        let fixture = SHARED.get().await;
        let channel = &CHANNELS[0];
        let (open, done) = (Gate::new(), Gate::new());
        // "4539 5787" could be the start of a card; the letters after it say that it is not.
        let events = channel.events(&["number ", "4539 5787", " apples, ", "many"]);
        let answer = Answer::events(events.clone()).gate(4, &done).gate(3, &open);
        fixture.provider.on("gpt-maybe", answer);
        let mut live = fixture.client().stream(channel.path, &channel.request("gpt-maybe")).await;
        assert_eq!(live.next_event().await.as_ref(), Some(&events[0]));
        assert_eq!(live.next_event().await.as_ref(), Some(&events[1]));
        open.reached().await;
        open.open();
        assert_eq!(live.next_event().await.as_ref(), Some(&events[2]));
        assert_eq!(live.next_event().await.as_ref(), Some(&events[3]));
        done.open();
        live.rest().await;
    });
}

#[test]
fn an_event_stream_is_inspected_even_where_the_content_type_hides_it() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, content_type) in [
            "text/event-stream; charset=utf-8",
            "Text/Event-Stream",
            "text/plain",
            "application/json",
            "application/x-ndjson",
            "text/event-stream,text/plain",
            "application/octet-stream",
        ]
        .into_iter()
        .enumerate()
        {
            let channel = &CHANNELS[0];
            let model = format!("gpt-type-{number}");
            fixture.provider.on(
                &model,
                Answer::events(channel.events(&["it is ", &CARD[..7], &CARD[7..], "."]))
                    .content_type(content_type),
            );
            let reply = fixture.client().post(channel.path, &channel.request(&model)).await;
            // Put together as a client does, whatever it thinks of the content type.
            let text = channel.text(&reply.events());
            assert_absent(CARD, content_type, &text);
            assert_absent(CARD, content_type, &reply.text());
        }
    });
}

#[test]
fn a_compressed_answer_is_not_passed_unseen() {
    run(async {
        use std::io::Write;
        let fixture = SHARED.get().await;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&openai_stream(&["it is ", CARD]).concat()).expect("compress");
        let packed = encoder.finish().expect("compress");
        let answer = Answer::events([packed.clone()]).header("content-encoding", "gzip");
        fixture.provider.on("gpt-gzip-answer", answer);
        let request = streamed(chat("gpt-gzip-answer", "hi"));
        let call = fixture
            .client()
            .call("POST", "/v1/chat/completions")
            .json(&request)
            .header("accept-encoding", "gzip, br");
        let reply = call.send().await;
        assert_ne!(reply.body, packed, "a compressed answer went through unseen");
        assert_absent(CARD, "the answer", &reply.text());
        let asked = fixture.provider.only("gpt-gzip-answer");
        assert!(matches!(asked.header("accept-encoding"), None | Some("identity")), "{:?}", asked.headers);
    });
}

#[test]
fn other_strings_of_an_event_are_inspected_too() {
    run(async {
        let fixture = SHARED.get().await;
        let extra = chat_chunk(
            0,
            &json!({"content": "x", "annotations_of_tomorrow": [{"note": format!("card {CARD}")}]}),
            None,
        );
        let events = vec![extra, chat_chunk(0, &json!({}), Some("stop")), b"data: [DONE]\n\n".to_vec()];
        fixture.provider.on("gpt-extra", Answer::events(events));
        let reply = fixture
            .client()
            .post("/v1/chat/completions", &streamed(chat("gpt-extra", "hi")))
            .await
            .expect(200);
        assert_absent(CARD, "an unknown field", &reply.text());
        assert_eq!(data(&reply.events()[0]).expect("JSON")["choices"][0]["delta"]["content"], "x");
    });
}

#[test]
fn requests_of_all_streaming_paths_ask_for_identity() {
    run(async {
        let fixture = SHARED.get().await;
        let cases = [
            ("/v1/chat/completions", streamed(chat("gpt-identity", "hi"))),
            ("/v1/responses", streamed(responses("gpt-identity-r", "hi"))),
            ("/v1/messages", streamed(messages("claude-identity", "hi"))),
        ];
        for (path, request) in cases {
            let call = fixture
                .client()
                .call("POST", path)
                .json(&request)
                .header("accept-encoding", "gzip, deflate, br, zstd");
            call.send().await.expect(200);
            let seen = fixture.provider.only(request["model"].as_str().expect("a model"));
            assert!(
                matches!(seen.header("accept-encoding"), None | Some("identity")),
                "{path}: {:?}",
                seen.headers
            );
        }
    });
}

//! Bodies of every size, framing and encoding arrive exactly as they should.

use std::io::Write;

use bulkhead_tests::samples::{CARD, github_token};
use bulkhead_tests::shapes::{chat, chat_answer, openai_stream, streamed};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Answer, Call, Shared, run, within};
use bytes::Bytes;
use serde_json::Value;

static SHARED: Shared = Shared::new(
    r#"
dlp:
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD], on: both, action: mask }
"#,
);

/// Text without any digit run, of about `bytes` bytes.
fn prose(bytes: usize) -> String {
    "The quick brown fox jumps over the lazy dog, and \"quotes\" it; then a line ends.\n"
        .repeat(bytes / 80 + 1)
}

async fn post(model: &str, change: impl FnOnce(Call) -> Call) -> bulkhead_tests::Reply {
    let fixture = SHARED.get().await;
    let call =
        fixture.client().call("POST", "/v1/chat/completions").header("content-type", "application/json");
    assert!(!model.is_empty());
    change(call).send().await
}

#[test]
fn every_size_around_the_buffers_arrives_whole() {
    run(async {
        let fixture = SHARED.get().await;
        for size in [100, 4096, 65_535, 65_536, 65_537, 131_072, 200_000, 1 << 20, 5 << 20] {
            for chunk in [None, Some(1000), Some(65_536)] {
                let model = format!("gpt-size-{size}-{chunk:?}");
                let mut body = chat(&model, "").to_string().into_bytes();
                let filler = prose(size).into_bytes();
                let filler: Vec<u8> = filler
                    .into_iter()
                    .filter(|b| !b"\"\n\\".contains(b))
                    .cycle()
                    .take(size.saturating_sub(body.len()))
                    .collect();
                let at = body.windows(12).position(|w| w == b"\"content\":\"\"").expect("the content") + 11;
                body.splice(at..at, filler);
                let sent = body.clone();
                let reply = post(&model, |call| {
                    let call = call.bytes(sent);
                    if let Some(chunk) = chunk { call.chunked(chunk) } else { call }
                });
                reply.await.expect(200);
                let seen = fixture.provider.only(&model);
                assert_eq!(seen.body.len(), body.len(), "{model}");
                assert!(seen.body == body, "{model}: the bytes differ");
            }
        }
    });
}

#[test]
fn a_value_is_masked_wherever_a_large_body_is_read_in_parts() {
    run(async {
        let fixture = SHARED.get().await;
        for before in [65_400, 65_500, 65_520, 131_050] {
            for chunk in [None, Some(4099)] {
                let model = format!("gpt-parts-{before}-{chunk:?}");
                let text = format!("{} pay {CARD} now {}", &prose(before)[..before], prose(70_000));
                let body = chat(&model, &text).to_string().into_bytes();
                let reply = post(&model, |call| {
                    let call = call.bytes(body);
                    if let Some(chunk) = chunk { call.chunked(chunk) } else { call }
                });
                reply.await.expect(200);
                let received = String::from_utf8(fixture.provider.only(&model).body.clone()).expect("UTF-8");
                assert_absent(CARD, &model, &received);
                let text: Value = serde_json::from_str(&received).expect("still JSON");
                assert!(
                    text["messages"][0]["content"]
                        .as_str()
                        .is_some_and(|t| t.contains(" pay [") && t.contains("] now "))
                );
            }
        }
    });
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("compress");
    encoder.finish().expect("compress")
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("compress");
    encoder.finish().expect("compress")
}

fn brotli(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 20);
    encoder.write_all(data).expect("compress");
    drop(encoder);
    out
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).expect("compress")
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODINGS: &[(&str, Encode)] =
    &[("gzip", gzip), ("zstd", zstd), ("br", brotli), ("deflate", deflate), ("identity", <[u8]>::to_vec)];

#[test]
fn compressed_bodies_are_unpacked_and_forwarded_plain() {
    run(async {
        let fixture = SHARED.get().await;
        for (encoding, encode) in ENCODINGS {
            let model = format!("gpt-packed-{encoding}");
            let body = chat(&model, &format!("pay {CARD} now {}", prose(100_000))).to_string();
            post(&model, |call| call.header("content-encoding", encoding).bytes(encode(body.as_bytes())))
                .await
                .expect(200);
            let seen = fixture.provider.only(&model);
            assert_eq!(seen.header("content-encoding"), None, "{encoding}");
            let text = String::from_utf8(seen.body.clone()).expect("UTF-8");
            assert_absent(CARD, encoding, &text);
            let (before, after) = body.split_once(CARD).expect("the card");
            assert!(text.starts_with(before) && text.ends_with(after), "{encoding}");
        }
    });
}

#[test]
fn a_secret_in_a_compressed_body_is_blocked() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(60);
        for (encoding, encode) in ENCODINGS {
            let model = format!("gpt-packed-secret-{encoding}");
            let body = encode(chat(&model, &token).to_string().as_bytes());
            post(&model, |call| call.header("content-encoding", encoding).bytes(body)).await.expect(400);
            assert!(fixture.provider.seen(&model).is_empty(), "{encoding}");
        }
    });
}

#[test]
fn expect_continue_is_answered() {
    run(async {
        let fixture = SHARED.get().await;
        for size in [100, 200_000] {
            let model = format!("gpt-expect-{size}");
            let request = chat(&model, &prose(size));
            let call = fixture
                .client()
                .call("POST", "/v1/chat/completions")
                .json(&request)
                .header("expect", "100-continue");
            let (head, body) = call.wire();
            let mut live = fixture.client().connect().await;
            live.write(&head).await;
            live.read_head("POST").await.expect("an interim answer");
            assert_eq!(live.status, 100);
            live.write(&body).await;
            live.read_head("POST").await.expect("an answer");
            assert_eq!(live.finish().await.status, 200);
            assert_eq!(fixture.provider.only(&model).header("expect"), None);
        }
    });
}

#[test]
fn a_large_answer_arrives_whole() {
    run(async {
        let fixture = SHARED.get().await;
        let body = chat_answer(&prose(5 << 20)).to_string().into_bytes();
        for (framing, answer) in [
            ("length", Answer::bytes(200, "application/json", body.clone())),
            ("chunked", Answer::bytes(200, "application/json", body.clone()).recut(10_007).chunked()),
        ] {
            let model = format!("gpt-large-answer-{framing}");
            fixture.provider.on(&model, answer);
            let reply = fixture.client().post("/v1/chat/completions", &chat(&model, "hi")).await.expect(200);
            assert!(reply.body == body, "{framing}: {} of {} bytes", reply.body.len(), body.len());
        }
    });
}

#[test]
fn a_long_stream_arrives_whole_to_a_slow_reader() {
    run(async {
        let fixture = SHARED.get().await;
        let text = prose(2000);
        let events = openai_stream(&vec![text.as_str(); 2000]);
        let events: Vec<Vec<u8>> =
            events.into_iter().filter(|event| !String::from_utf8_lossy(event).contains("usage")).collect();
        fixture.provider.on("gpt-long-stream", Answer::events(events.clone()));
        let live =
            fixture.client().stream("/v1/chat/completions", &streamed(chat("gpt-long-stream", "hi"))).await;
        // Nothing is read until the provider has sent, or can send no more.
        fixture.provider.arrived("gpt-long-stream", 1).await;
        let reply = live.rest().await;
        assert!(reply.body == events.concat(), "{} bytes", reply.body.len());
    });
}

/// A call over HTTP/2 with prior knowledge; returns status and body.
async fn over_http2(url: &str, key: &str, body: &[u8], length: bool) -> (u16, Vec<u8>) {
    let address = url.trim_start_matches("http://");
    let stream = tokio::net::TcpStream::connect(address).await.expect("connect");
    let (sender, connection) = h2::client::handshake(stream).await.expect("an HTTP/2 handshake");
    let driver = bulkhead_tests::runtime().spawn(connection);
    let mut request = http::Request::post(format!("{url}/v1/chat/completions"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json");
    if length {
        request = request.header("content-length", body.len());
    }
    let mut sender = sender.ready().await.expect("ready");
    let (response, mut stream) =
        sender.send_request(request.body(()).expect("a request"), false).expect("send");
    for chunk in body.chunks(16_000) {
        stream.send_data(Bytes::copy_from_slice(chunk), false).expect("send data");
    }
    stream.send_data(Bytes::new(), true).expect("end");
    let response = within("an answer over HTTP/2", response).await.expect("an answer");
    let status = response.status().as_u16();
    let mut answer = Vec::new();
    let mut body = response.into_body();
    while let Some(data) = within("data over HTTP/2", body.data()).await {
        let data = data.expect("data");
        let _ = body.flow_control().release_capacity(data.len());
        answer.extend_from_slice(&data);
    }
    driver.abort();
    (status, answer)
}

#[test]
fn http2_with_prior_knowledge_is_served_and_inspected() {
    run(async {
        let fixture = SHARED.get().await;
        let ready = &fixture.bulkhead.ready;
        for (size, length) in [(100, true), (100, false), (60_000, false), (200_000, true)] {
            let model = format!("gpt-h2-{size}-{length}");
            let body = chat(&model, &format!("pay {CARD} now {}", prose(size))).to_string();
            let (status, answer) =
                over_http2(&ready.proxy_url, &ready.api_key, body.as_bytes(), length).await;
            assert_eq!(status, 200, "{model}: {}", String::from_utf8_lossy(&answer));
            let seen = fixture.provider.only(&model);
            assert_absent(CARD, &model, &String::from_utf8_lossy(&seen.body));
        }
        let token = github_token(61);
        let body = chat("gpt-h2-secret", &token).to_string();
        let (status, answer) = over_http2(&ready.proxy_url, &ready.api_key, body.as_bytes(), true).await;
        assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer));
        let body = streamed(chat("gpt-h2-stream", "hi")).to_string();
        fixture.provider.on("gpt-h2-stream", Answer::events(openai_stream(&["it is ", CARD, "."])));
        let (status, answer) = over_http2(&ready.proxy_url, &ready.api_key, body.as_bytes(), true).await;
        assert_eq!(status, 200);
        let answer = String::from_utf8(answer).expect("UTF-8");
        assert_absent(CARD, "the stream", &answer);
        assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
    });
}

//! Values written so that a reader or a program understands them and a filter does not.

use bulkhead_tests::client::Ended;
use bulkhead_tests::samples::{CARD, EMAIL, escaped, github_token};
use bulkhead_tests::shapes::{chat, chat_answer, messages, openai_stream, responses, streamed};
use bulkhead_tests::{Answer, Reply, Shared, run};
use serde_json::{Value, json};

static SHARED: Shared = Shared::new(
    r#"
dlp:
  detectors:
    - { id: PROJECT_NAMES, terms: ["blue falcon"], ignore_case: true }
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD, IBAN_CODE, EMAIL_ADDRESS, PROJECT_NAMES], on: both, action: mask }
"#,
);

const PATH: &str = "/v1/chat/completions";

/// Writes every character of a text in some other way.
fn each(text: &str, write: impl Fn(char) -> String) -> String {
    text.chars().map(write).collect()
}

/// The digits of a text from a block of characters that begins with zero; the rest stays.
fn digits_from(text: &str, zero: u32) -> String {
    let write = |c: char| c.to_digit(10).and_then(|digit| char::from_u32(zero + digit)).unwrap_or(c);
    text.chars().map(write).collect()
}

fn hex(text: &str) -> String {
    each(text, |c| format!("{:02x}", c as u32))
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group.iter().chain(&[0, 0]).take(3).fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let digits: String = (0..4).map(|at| char::from(DIGITS[bits >> (18 - 6 * at) & 63])).collect();
        format!("{}{}", &digits[..=group.len()], "=".repeat(3 - group.len()))
    };
    text.as_bytes().chunks(3).map(group).collect()
}

/// What a reader takes for the same text: found in requests and in answers.
fn disguises() -> Vec<(&'static str, String, &'static str)> {
    let full_width = |text: &str| {
        each(text, |c| char::from_u32(c as u32 + 0xfee0).filter(|_| c.is_ascii_graphic()).unwrap_or(c).into())
    };
    vec![
        ("full width", full_width(CARD), "[CREDIT_CARD]"),
        ("full width address", full_width(EMAIL), "[EMAIL_ADDRESS]"),
        ("arabic digits", digits_from(CARD, 0x660), "[CREDIT_CARD]"),
        ("devanagari digits", digits_from(CARD, 0x966), "[CREDIT_CARD]"),
        ("mathematical digits", digits_from(CARD, 0x1d7ce), "[CREDIT_CARD]"),
        ("digits with commas", digits_from(CARD, 0x1f101), "[CREDIT_CARD]"),
        ("superscript digits", CARD.replace('4', "\u{2074}").replace('8', "\u{2078}"), "[CREDIT_CARD]"),
        (
            "keycaps",
            each(CARD, |c| if c == ' ' { c.into() } else { format!("{c}\u{fe0f}\u{20e3}") }),
            "[CREDIT_CARD]\u{fe0f}\u{20e3}",
        ),
        ("zero-width spaces", each(CARD, |c| format!("{c}\u{200b}")), "[CREDIT_CARD]\u{200b}"),
        ("soft hyphens", each(EMAIL, |c| format!("\u{ad}{c}")), "\u{ad}[EMAIL_ADDRESS]"),
        ("bidi controls", CARD.replace(' ', "\u{202e} \u{202c}"), "[CREDIT_CARD]"),
        ("tag characters", CARD.replace(' ', "\u{e0020}\u{e0041} "), "[CREDIT_CARD]"),
        ("variation selectors", each(EMAIL, |c| format!("{c}\u{fe00}")), "[EMAIL_ADDRESS]\u{fe00}"),
        ("byte order marks", CARD.replace(' ', "\u{feff}"), "[CREDIT_CARD]"),
        ("no-break spaces", CARD.replace(' ', "\u{a0}"), "[CREDIT_CARD]"),
        ("en dashes", CARD.replace(' ', "\u{2013}"), "[CREDIT_CARD]"),
        ("dots", CARD.replace(' ', "."), "[CREDIT_CARD]"),
        ("mixed separators", CARD.replacen(' ', "-", 1).replacen(' ', "  ", 1), "[CREDIT_CARD]"),
        ("a line break inside", CARD.replacen(' ', "\r\n", 1), "[CREDIT_CARD]"),
        ("a line break in an account", "DE89 3704 0044\n0532 0130 00".to_owned(), "[IBAN_CODE]"),
        ("other white space in a term", "blue \r\n\tfalcon".to_owned(), "[PROJECT_NAMES]"),
        ("cyrillic letters", "blu\u{435} f\u{430}lc\u{43e}n".to_owned(), "[PROJECT_NAMES]"),
        ("greek letters", "\u{392}LU\u{395} F\u{391}LC\u{39f}N".to_owned(), "[PROJECT_NAMES]"),
        ("mathematical letters", "\u{1d41b}lue \u{1d68f}alcon".to_owned(), "[PROJECT_NAMES]"),
        ("lisu and coptic letters", "\u{a4d0}LU\u{a4f0} F\u{2c80}LC\u{2c9e}N".to_owned(), "[PROJECT_NAMES]"),
        ("noncharacters", CARD.replace(' ', "\u{fdd0} \u{ffff}\u{fffc}"), "[CREDIT_CARD]"),
        ("control characters", CARD.replace(' ', "\u{83}\u{9f}"), "[CREDIT_CARD]"),
        ("braille blanks", CARD.replace(' ', "\u{2800}"), "[CREDIT_CARD]"),
        ("fillers", CARD.replace(' ', "\u{115f}\u{1160}\u{3164}\u{ffa0}"), "[CREDIT_CARD]"),
        ("struck through", each(CARD, |c| format!("{c}\u{336}")), "[CREDIT_CARD]\u{336}"),
        ("a domain in other letters", "jane@m\u{fc}ller-b\u{fc}cher.se".to_owned(), "[EMAIL_ADDRESS]"),
        ("ideographic full stop", EMAIL.replace(".se", "\u{3002}se"), "[EMAIL_ADDRESS]"),
    ]
}

/// Other encodings: found in requests.
fn encodings() -> Vec<(&'static str, String, &'static str)> {
    let letter = format!("please charge {CARD} today and tell us");
    vec![
        ("percent", each(CARD, |c| format!("%{:02x}", c as u32)), "[CREDIT_CARD]"),
        (
            "percent in a URL",
            format!("https://x.example/?to={}&n=1", EMAIL.replace('@', "%40")),
            "https://x.example/?to=[EMAIL_ADDRESS]&n=1",
        ),
        ("percent twice", EMAIL.replace('@', "%2540"), "[EMAIL_ADDRESS]"),
        ("decimal entities", each(CARD, |c| format!("&#{};", c as u32)), "[CREDIT_CARD]"),
        ("hexadecimal entities", each(CARD, |c| format!("&#x{:x};", c as u32)), "[CREDIT_CARD]"),
        ("named entities", EMAIL.replace('@', "&commat;").replace('.', "&period;"), "[EMAIL_ADDRESS]"),
        ("escapes in the text", escaped(CARD), "[CREDIT_CARD]"),
        ("escapes that were escaped", escaped(CARD).replace('\\', "\\\\"), "[CREDIT_CARD]"),
        ("hexadecimal escapes", each(CARD, |c| format!("\\x{:02x}", c as u32)), "[CREDIT_CARD]"),
        ("octal escapes", each(CARD, |c| format!("\\\\{:03o}", c as u32)), "[CREDIT_CARD]"),
        ("escaped punctuation", EMAIL.replace('@', "\\@").replace('.', "\\."), "[EMAIL_ADDRESS]"),
        ("quoted-printable", EMAIL.replace('@', "=40"), "[EMAIL_ADDRESS]"),
        ("base64", base64(&letter), "[CREDIT_CARD]"),
        ("base64 without padding", base64(&letter).trim_end_matches('=').replace('/', "_"), "[CREDIT_CARD]"),
        ("base64 twice", base64(&base64(&letter)), "[CREDIT_CARD]"),
        ("hex", hex(&letter), "[CREDIT_CARD]"),
        (
            "tags",
            each(CARD, |c| char::from_u32(0xe0000 + c as u32).map(String::from).unwrap_or_default()),
            "[CREDIT_CARD]",
        ),
        (
            "variation selectors",
            each(EMAIL, |c| char::from_u32(0xe0100 - 16 + c as u32).map(String::from).unwrap_or_default()),
            "[EMAIL_ADDRESS]",
        ),
    ]
}

/// What the provider receives for this text in a user's message.
async fn forwarded(model: &str, text: &str) -> String {
    let fixture = SHARED.get().await;
    fixture.client().post(PATH, &chat(model, text)).await.expect(200);
    let received = fixture.provider.only(model).json();
    received["messages"][0]["content"].as_str().expect("a text").to_owned()
}

/// The text of a streamed answer as it arrives.
fn streamed_text(reply: &Reply) -> String {
    let events = reply.events().into_iter().filter_map(|event| bulkhead_tests::shapes::data(&event));
    let text = |event: Value| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    events.filter_map(text).collect()
}

#[test]
fn requests_hide_nothing_behind_other_writing() {
    run(async {
        for (number, (name, text, expected)) in disguises().into_iter().chain(encodings()).enumerate() {
            let received = forwarded(&format!("gpt-evasion-{number}"), &format!("see {text} here")).await;
            assert_eq!(received, format!("see {expected} here"), "{name}");
        }
    });
}

#[test]
fn answers_hide_nothing_behind_other_letters() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, (name, text, expected)) in disguises().into_iter().enumerate() {
            let model = format!("gpt-evasion-answer-{number}");
            fixture.provider.on(&model, Answer::json(200, &chat_answer(&format!("see {text} here"))));
            let reply = fixture.client().post(PATH, &chat(&model, "hi")).await.expect(200).json();
            let content = reply["choices"][0]["message"]["content"].as_str().expect("a text");
            assert_eq!(content, format!("see {expected} here"), "{name}");
        }
    });
}

#[test]
fn streams_hide_nothing_behind_other_letters() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, (name, text, expected)) in disguises().into_iter().enumerate() {
            let model = format!("gpt-evasion-stream-{number}");
            let text = format!("see {text} here");
            let pieces: Vec<String> = text.chars().map(String::from).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            // Cut at every third byte of the wire, so that most characters arrive in parts.
            let answer = Answer::events(openai_stream(&pieces)).recut(3);
            fixture.provider.on(&model, answer);
            let reply = fixture.client().post(PATH, &streamed(chat(&model, "hi"))).await.expect(200);
            assert_eq!(reply.ended, Ended::Complete, "{name}");
            assert_eq!(streamed_text(&reply), format!("see {expected} here"), "{name}");
        }
    });
}

#[test]
fn values_over_parts_and_messages_are_masked_in_all() {
    run(async {
        let fixture = SHARED.get().await;
        let (head, tail) = CARD.split_at(9);
        let text = |text: &str| json!({"type": "text", "text": text});
        let user = |content: Value| json!({"role": "user", "content": content});
        let tiny: Vec<Value> = CARD.chars().map(|c| text(&c.to_string())).collect();
        let cases = [
            ("parts", PATH, "messages", json!([user(json!([text(head), text(tail)]))])),
            ("one character per part", PATH, "messages", json!([user(json!(tiny))])),
            ("messages", PATH, "messages", json!([user(json!(head)), user(json!(tail))])),
            ("blocks", "/v1/messages", "messages", json!([user(json!([text(head), text(tail)]))])),
            (
                "tool results",
                "/v1/messages",
                "messages",
                json!([user(
                    json!([{"type": "tool_result", "tool_use_id": "t", "content": [text(head)]}, text(tail)])
                )]),
            ),
            (
                "input items",
                "/v1/responses",
                "input",
                json!([user(json!([{"type": "input_text", "text": head}])), user(json!(tail))]),
            ),
        ];
        for (name, path, member, conversation) in cases {
            let model = bulkhead_tests::shapes::model(path, &format!("joined-{}", name.replace(' ', "-")));
            let mut request = match path {
                "/v1/messages" => messages(&model, ""),
                "/v1/responses" => responses(&model, ""),
                _ => chat(&model, ""),
            };
            request[member] = conversation;
            fixture.client().post(path, &request).await.expect(200);
            let received = fixture.provider.only(&model).json()[member].to_string();
            assert!(received.contains("[CREDIT_CARD]"), "{name}: {received}");
            assert!(!received.chars().any(|c| c.is_ascii_digit()), "{name}: {received}");
        }
    });
}

#[test]
fn a_secret_is_blocked_in_every_writing() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(70);
        let writings = [
            ("zero-width", each(&token, |c| format!("{c}\u{200b}"))),
            ("full width", each(&token, |c| char::from_u32(c as u32 + 0xfee0).unwrap_or(c).into())),
            ("base64", base64(&format!("the token is {token}"))),
            ("percent", each(&token, |c| format!("%{:02X}", c as u32))),
        ];
        for (name, text) in writings {
            let model = format!("gpt-evasion-blocked-{}", name.replace(' ', "-"));
            let reply = fixture.client().post(PATH, &chat(&model, &text)).await.expect(400);
            assert!(reply.text().contains("GITHUB_TOKEN"), "{name}: {}", reply.text());
            assert!(fixture.provider.seen(&model).is_empty(), "{name}");
        }
    });
}

#[test]
fn forms_and_other_characters_are_refused_in_the_dialect() {
    run(async {
        let fixture = SHARED.get().await;
        let form = format!("--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n{CARD}\r\n--x--\r\n");
        let json = chat("gpt-no-json", CARD).to_string();
        for (kind, body) in [
            ("multipart/form-data; boundary=x", form.clone()),
            ("application/json", form),
            ("multipart/form-data; boundary=x", json.clone()),
            ("application/json; charset=utf-7", json),
        ] {
            let call = fixture.client().call("POST", PATH).header("content-type", kind);
            let reply = call.bytes(body.into_bytes()).send().await.expect(400);
            assert_eq!(reply.json()["error"]["type"], "invalid_request_error", "{kind}: {}", reply.text());
        }
        let audio = fixture.client().call("POST", "/v1/audio/transcriptions");
        let audio = audio.header("content-type", "multipart/form-data; boundary=x").bytes(b"--x--".to_vec());
        let reply = audio.send().await;
        assert!(matches!(reply.status, 400 | 404) && reply.json()["error"].is_object(), "{}", reply.text());
        assert!(fixture.provider.seen("gpt-no-json").is_empty());
    });
}

/// Bodies that two readers could read differently are refused, or both readings are inspected.
#[test]
fn bodies_with_two_readings_hide_nothing() {
    run(async {
        let fixture = SHARED.get().await;
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let plain = |model: &str| chat(model, CARD).to_string();
        let content = format!("\"content\":\"{CARD}\"");
        let with = |model: &str, other: &str| plain(model).replace(&content, other).into_bytes();
        let cases: Vec<(&str, u16, Vec<u8>)> = vec![
            (
                "duplicate-key-first",
                400,
                with("gpt-two-duplicate-key-first", &format!("{content},\"content\":\"ok\"")),
            ),
            (
                "duplicate-key-last",
                400,
                with("gpt-two-duplicate-key-last", &format!("\"content\":\"ok\",{content}")),
            ),
            (
                "escaped-key",
                400,
                with("gpt-two-escaped-key", &format!("\"content\":\"ok\",\"cont\\u0065nt\":\"{CARD}\"")),
            ),
            ("value-as-key", 200, with("gpt-two-value-as-key", &format!("\"content\":\"ok\",\"{CARD}\":1"))),
            (
                "escaped-value",
                200,
                with("gpt-two-escaped-value", &format!("\"content\":\"{}\"", escaped(CARD))),
            ),
            (
                "lone-surrogate",
                200,
                with("gpt-two-lone-surrogate", &format!("\"content\":\"\\ud83d{CARD} \\ude00\"")),
            ),
            ("nul", 200, with("gpt-two-nul", &format!("\"content\":\"\\u0000 {CARD} \\u0000\""))),
            ("raw-nul", 400, with("gpt-two-raw-nul", &format!("\"content\":\"\0{CARD}\""))),
            (
                "byte-order-mark",
                400,
                [b"\xef\xbb\xbf".to_vec(), plain("gpt-two-byte-order-mark").into_bytes()].concat(),
            ),
            ("utf-16", 400, utf16(&plain("gpt-two-utf-16"))),
            ("invalid-utf-8", 400, {
                let body = plain("gpt-two-invalid-utf-8").into_bytes();
                let at = body.windows(4).position(|window| window == b"4539").expect("the card") + 4;
                [&body[..at], b"\xff", &body[at..]].concat()
            }),
        ];
        for (name, status, body) in cases {
            let model = format!("gpt-two-{name}");
            let call =
                fixture.client().call("POST", PATH).header("content-type", "application/json").bytes(body);
            call.send().await.expect(status);
            // By its bytes, because not every reader makes a model's name of them.
            let bodies = fixture
                .provider
                .all()
                .into_iter()
                .map(|seen| String::from_utf8_lossy(&seen.body).into_owned());
            let received: Vec<String> =
                bodies.filter(|body| body.contains(&format!("\"{model}\""))).collect();
            assert_eq!(received.len(), usize::from(status == 200), "{name}");
            for received in received {
                let digits = received.chars().filter(char::is_ascii_digit).count();
                assert!(received.contains("[CREDIT_CARD]") && digits < 16, "{name}: {received}");
            }
        }
    });
}

#[test]
fn unknown_and_stacked_content_encodings_are_refused() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, encoding) in
            ["compress", "gzip, br", "gzip,gzip", "aes128gcm", "utf-8"].iter().enumerate()
        {
            let model = format!("gpt-encoding-{number}");
            let body = chat(&model, CARD).to_string().into_bytes();
            let call = fixture.client().call("POST", PATH).header("content-type", "application/json");
            let reply = call.header("content-encoding", encoding).bytes(body).send().await;
            assert!(matches!(reply.status, 400 | 415), "{encoding}: {}", reply.status);
            assert!(fixture.provider.seen(&model).is_empty(), "{encoding}");
        }
    });
}

/// Ways to write an event stream that readers understand and simple parsers do not.
#[test]
fn odd_event_streams_hide_nothing() {
    run(async {
        let fixture = SHARED.get().await;
        let chunk = |text: &str| json!({"choices": [{"index": 0, "delta": {"content": text}}]}).to_string();
        let (head, tail) = CARD.split_at(7);
        let pair = [chunk(head), chunk(tail)];
        let line_in_two = |chunk: &str| chunk.replacen(',', ",\ndata: ", 1);
        let cases = [
            (
                "cr-only",
                pair.iter().map(|c| format!("data: {c}\r\r")).collect::<String>() + "data: [DONE]\r\r",
            ),
            (
                "no-space",
                pair.iter().map(|c| format!("data:{c}\n\n")).collect::<String>() + "data:[DONE]\n\n",
            ),
            (
                "comments",
                pair.iter().map(|c| format!(": ping\n\ndata: {c}\n\n: x\n")).collect::<String>()
                    + "data: [DONE]\n\n",
            ),
            (
                "ids",
                pair.iter().map(|c| format!("id: 7\nevent: message\ndata: {c}\n\n")).collect::<String>()
                    + "data: [DONE]\n\n",
            ),
            (
                "two-data-lines",
                pair.iter().map(|c| format!("data: {}\n\n", line_in_two(c))).collect::<String>()
                    + "data: [DONE]\n\n",
            ),
            ("no-end", pair.iter().map(|c| format!("data: {c}\n\n")).collect::<String>()),
        ];
        for (name, body) in cases {
            let model = format!("gpt-odd-{name}");
            fixture.provider.on(&model, Answer::bytes(200, "text/event-stream", body.into_bytes()).chunked());
            let reply = fixture.client().post(PATH, &streamed(chat(&model, "hi"))).await;
            let received = reply.text();
            let digits = received.chars().filter(char::is_ascii_digit).count();
            assert!(!received.contains(head) && !received.contains(tail), "{name}: {received}");
            assert!(digits < 16, "{name}: {received}");
        }
    });
}

//! A request that two readers could understand differently is refused, and nothing of it reaches the provider.

use bulkhead_tests::shapes::{chat, openai_stream, streamed};
use bulkhead_tests::{Answer, Client, Gate, Shared, run};

static SHARED: Shared = Shared::new("{}");

const MODEL: &str = "gpt-framing";

/// A request whose head is written by `head`, which gets the lines of a good one without framing headers.
struct Wire {
    lines: Vec<String>,
    body: String,
}

impl Wire {
    fn new(client_key: &str) -> Self {
        let lines =
            ["POST /v1/chat/completions HTTP/1.1", "Host: bulkhead.test", "Content-Type: application/json"];
        let mut lines: Vec<String> = lines.map(str::to_owned).into();
        lines.push(format!("Authorization: Bearer {client_key}"));
        Self { lines, body: chat(MODEL, "hi").to_string() }
    }

    fn line(mut self, line: &str) -> Self {
        self.lines.push(line.replace("LEN", &self.body.len().to_string()));
        self
    }

    fn first(mut self, line: &str) -> Self {
        self.lines[0] = line.to_owned();
        self
    }

    fn without(mut self, start: &str) -> Self {
        self.lines.retain(|line| !line.starts_with(start));
        self
    }

    fn head(&self) -> String {
        format!("{}\r\n\r\n", self.lines.join("\r\n"))
    }

    fn with_length(self) -> Self {
        self.line("Content-Length: LEN")
    }

    fn bytes(&self) -> Vec<u8> {
        format!("{}{}", self.head(), self.body).into_bytes()
    }

    fn chunked(&self, size: &str) -> Vec<u8> {
        format!("{}{size}\r\n{}\r\n0\r\n\r\n", self.head(), self.body).into_bytes()
    }
}

fn hex(wire: &Wire) -> String {
    format!("{:x}", wire.body.len())
}

/// Sends bytes that must be refused: with a 4xx or 5xx answer, or by closing the connection.
async fn check_refused(client: &Client, what: &str, bytes: &[u8]) {
    let fixture = SHARED.get().await;
    if let Some(reply) = client.raw(bytes).await {
        assert!((400..=505).contains(&reply.status), "{what}: status {}: {}", reply.status, reply.text());
    }
    assert!(fixture.provider.seen(MODEL).is_empty(), "{what}: reached the provider");
}

#[test]
fn a_good_request_written_by_hand_is_served() {
    run(async {
        let fixture = SHARED.get().await;
        let key = &fixture.bulkhead.ready.api_key;
        let mut wire = Wire::new(key);
        wire.body = chat("gpt-framing-good", "hi").to_string();
        let reply = fixture.client().raw(&wire.with_length().bytes()).await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let mut wire = Wire::new(key).line("Transfer-Encoding: chunked");
        wire.body = chat("gpt-framing-good", "hi").to_string();
        let reply = fixture.client().raw(&wire.chunked(&hex(&wire))).await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    });
}

#[test]
fn ambiguous_lengths_are_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let (client, key) = (fixture.client(), fixture.bulkhead.ready.api_key.clone());
        let wire = || Wire::new(&key);
        let length = wire().body.len();
        let cases = [
            ("two equal lengths", wire().with_length().with_length().bytes()),
            ("a list of lengths", wire().line("Content-Length: LEN, LEN").bytes()),
            ("two lengths", wire().with_length().line("Content-Length: 5").bytes()),
            ("a sign", wire().line("Content-Length: +LEN").bytes()),
            ("negative", wire().line("Content-Length: -LEN").bytes()),
            ("hexadecimal", wire().line(&format!("Content-Length: 0x{length:x}")).bytes()),
            ("an underscore", wire().line("Content-Length: 1_0").bytes()),
            ("overflow", wire().line("Content-Length: 18446744073709551617").bytes()),
            ("empty", wire().line("Content-Length:").bytes()),
            ("leading zero", wire().line("Content-Length: 0LEN").bytes()),
            ("an underscore in the name", wire().with_length().line("Content_Length: 5").bytes()),
        ];
        for (what, bytes) in cases {
            check_refused(&client, what, &bytes).await;
        }
    });
}

#[test]
fn ambiguous_transfer_encodings_are_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let (client, key) = (fixture.client(), fixture.bulkhead.ready.api_key.clone());
        let wire = || Wire::new(&key);
        let chunked = |wire: Wire| wire.chunked(&hex(&wire));
        let te = "Transfer-Encoding: chunked";
        let old = wire().first("POST /v1/chat/completions HTTP/1.0");
        let cases = [
            ("with a length", chunked(wire().with_length().line(te))),
            ("before a length", chunked(wire().line(te).with_length())),
            ("twice", chunked(wire().line(te).line(te))),
            ("a list of two", chunked(wire().line("Transfer-Encoding: chunked, chunked"))),
            ("gzip first", chunked(wire().line("Transfer-Encoding: gzip, chunked"))),
            ("identity first", chunked(wire().line("Transfer-Encoding: identity, chunked"))),
            ("identity only", wire().with_length().line("Transfer-Encoding: identity").bytes()),
            ("unknown", chunked(wire().line("Transfer-Encoding: xchunked"))),
            ("a space before the colon", chunked(wire().line("Transfer-Encoding : chunked"))),
            ("an underscore in the name", wire().with_length().line("Transfer_Encoding: chunked").bytes()),
            ("on HTTP/1.0", chunked(old.line(te))),
            ("empty", wire().with_length().line("Transfer-Encoding:").bytes()),
        ];
        for (what, bytes) in cases {
            check_refused(&client, what, &bytes).await;
        }
    });
}

#[test]
fn ambiguous_chunks_are_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let (client, key) = (fixture.client(), fixture.bulkhead.ready.api_key.clone());
        let wire = || Wire::new(&key).line("Transfer-Encoding: chunked");
        let size = hex(&wire());
        let cases = [
            ("0x size", format!("0x{size}")),
            ("a sign", format!("+{size}")),
            ("overflow", format!("fffffffffffffffff{size}")),
            ("not hexadecimal", "xyz".to_owned()),
            ("negative", format!("-{size}")),
        ];
        for (what, size) in cases {
            check_refused(&client, what, &wire().chunked(&size)).await;
        }
        let mut smuggled = Wire::new(&key).line("Transfer-Encoding: chunked");
        smuggled.body = "short".to_owned();
        let bytes = format!("{}3\r\n{}XX\r\n0\r\n\r\n", smuggled.head(), smuggled.body);
        check_refused(&client, "a chunk longer than its size", bytes.as_bytes()).await;
    });
}

#[test]
fn malformed_heads_are_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let (client, key) = (fixture.client(), fixture.bulkhead.ready.api_key.clone());
        let wire = || Wire::new(&key);
        let text = |wire: Wire| String::from_utf8(wire.bytes()).expect("UTF-8");
        let bare_lf = |wire: Wire| {
            let head = wire.head().replace("\r\n", "\n");
            format!("{head}{}", wire.body).into_bytes()
        };
        let cases = [
            ("bare LF", bare_lf(wire().with_length())),
            ("bare CR", text(wire().line("X-A: b\rX-B: c").with_length()).into_bytes()),
            ("NUL", text(wire().line("X-A: b\0c").with_length()).into_bytes()),
            ("folded header", text(wire().line("X-A: b\r\n c").with_length()).into_bytes()),
            ("space before the colon", wire().line("X-A : b").with_length().bytes()),
            ("space in the name", wire().line("X A: b").with_length().bytes()),
            ("no colon", wire().line("X-A").with_length().bytes()),
            ("no host", wire().without("Host").with_length().bytes()),
            ("two hosts", wire().line("Host: other.test").with_length().bytes()),
            (
                "absolute target",
                wire().first("POST http://other.test/v1/chat/completions HTTP/1.1").with_length().bytes(),
            ),
            (
                "space in the target",
                wire().first("POST /v1/chat/completions x HTTP/1.1").with_length().bytes(),
            ),
            ("unknown version", wire().first("POST /v1/chat/completions HTTP/3.1").with_length().bytes()),
            ("authorization nominated", wire().line("Connection: authorization").with_length().bytes()),
            ("length nominated", wire().line("Connection: close, Content-Length").with_length().bytes()),
            ("an underscore in a credential", wire().line("X_Api_Key: other").with_length().bytes()),
            ("other expectation", wire().line("Expect: 200-maybe").with_length().bytes()),
        ];
        for (what, bytes) in cases {
            check_refused(&client, what, &bytes).await;
        }
    });
}

#[test]
fn methods_that_no_api_has_are_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let (client, key) = (fixture.client(), fixture.bulkhead.ready.api_key.clone());
        for first in ["TRACE /v1/models HTTP/1.1", "CONNECT provider.test:443 HTTP/1.1"] {
            let bytes = Wire::new(&key).first(first).head().into_bytes();
            let reply = client.raw(&bytes).await;
            assert!(reply.is_none_or(|reply| matches!(reply.status, 400 | 405)), "{first}");
        }
    });
}

#[test]
fn a_head_over_the_limit_is_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let (client, key) = (fixture.client(), fixture.bulkhead.ready.api_key.clone());
        let long = format!("X-Padding: {}", "a".repeat(100 << 10));
        check_refused(&client, "one long header", &Wire::new(&key).line(&long).with_length().bytes()).await;
        let mut many = Wire::new(&key);
        for number in 0..2000 {
            many = many.line(&format!("X-Padding-{number}: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        }
        check_refused(&client, "many headers", &many.with_length().bytes()).await;
    });
}

#[test]
fn an_upgrade_is_not_passed_on() {
    run(async {
        let fixture = SHARED.get().await;
        let key = fixture.bulkhead.ready.api_key.clone();
        let mut wire = Wire::new(&key)
            .line("Connection: upgrade")
            .line("Upgrade: websocket")
            .line("Sec-WebSocket-Version: 13");
        wire.body = chat("gpt-upgrade", "hi").to_string();
        let reply = fixture.client().raw(&wire.with_length().bytes()).await;
        assert!(reply.is_none_or(|reply| reply.status != 101));
        for seen in fixture.provider.seen("gpt-upgrade") {
            assert_eq!(seen.header("upgrade"), None);
        }
    });
}

#[test]
fn trailers_are_dropped() {
    run(async {
        let fixture = SHARED.get().await;
        let key = fixture.bulkhead.ready.api_key.clone();
        let mut wire = Wire::new(&key).line("Transfer-Encoding: chunked").line("Trailer: Authorization");
        wire.body = chat("gpt-trailers", "hi").to_string();
        let bytes = format!(
            "{}{}\r\n{}\r\n0\r\nAuthorization: Bearer other\r\n\r\n",
            wire.head(),
            hex(&wire),
            wire.body
        );
        let _ = fixture.client().raw(bytes.as_bytes()).await;
        for seen in fixture.provider.seen("gpt-trailers") {
            assert!(seen.header("trailer").is_none());
            assert!(seen.header("transfer-encoding").is_none(), "the request goes on with its own length");
            assert!(!format!("{:?}", seen.headers).contains("other"));
        }
    });
}

#[test]
fn hop_by_hop_and_private_headers_stay_here() {
    run(async {
        let fixture = SHARED.get().await;
        let call = fixture.client().call("POST", "/v1/chat/completions").json(&chat("gpt-hop", "hi"));
        let call = call
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("proxy-authorization", "Basic eA==");
        let call = call
            .header("connection", "keep-alive, x-private")
            .header("x-private", "1")
            .header("cookie", "session=1");
        call.send().await.expect(200);
        let seen = fixture.provider.only("gpt-hop");
        for name in ["keep-alive", "te", "proxy-authorization", "x-private"] {
            assert_eq!(seen.header(name), None, "{name} was forwarded");
        }
        assert_eq!(seen.header("host").map(|host| format!("http://{host}")), Some(fixture.provider.url()));
    });
}

#[test]
fn two_requests_on_one_connection_are_both_served() {
    run(async {
        let fixture = SHARED.get().await;
        let mut live = fixture.client().connect().await;
        for round in 0..3 {
            let request = chat(&format!("gpt-keep-alive-{round}"), "hi");
            live.send(&fixture.client().call("POST", "/v1/chat/completions").json(&request)).await;
            assert_eq!(live.finish().await.status, 200);
        }
    });
}

#[test]
fn requests_that_are_sent_together_are_all_served() {
    run(async {
        let fixture = SHARED.get().await;
        let key = fixture.bulkhead.ready.api_key.clone();
        let post = |model: &str| {
            let mut wire = Wire::new(&key);
            wire.body = chat(model, "hi").to_string();
            wire.with_length().bytes()
        };
        let get =
            Wire::new(&key).first("GET /v1/models HTTP/1.1").without("Content-Type").head().into_bytes();
        let chunked = {
            let mut wire = Wire::new(&key).line("Transfer-Encoding: chunked");
            wire.body = chat("gpt-together-chunked", "hi").to_string();
            wire.chunked(&hex(&wire))
        };
        let mut live = fixture.client().connect().await;
        let requests = [post("gpt-together-1"), chunked, get.clone(), post("gpt-together-2"), get];
        live.write(&requests.concat()).await;
        for request in &requests {
            live.read_head("POST").await.expect("an answer");
            assert_eq!(live.finish().await.status, 200, "{}", String::from_utf8_lossy(request));
        }
        for model in ["gpt-together-1", "gpt-together-chunked", "gpt-together-2"] {
            assert_eq!(fixture.provider.seen(model).len(), 1, "{model}");
        }
    });
}

#[test]
fn a_request_sent_while_another_one_runs_is_served_next() {
    run(async {
        let fixture = SHARED.get().await;
        let key = fixture.bulkhead.ready.api_key.clone();
        let request = |model: &str| {
            let mut wire = Wire::new(&key);
            wire.body = streamed(chat(model, "hi")).to_string();
            wire.with_length().bytes()
        };
        let pieces = ["All ", "is ", "well. "];
        let gate = Gate::new();
        fixture.provider.on("gpt-while-1", Answer::events(openai_stream(&pieces)).gate(2, &gate));
        fixture.provider.on("gpt-while-2", Answer::events(openai_stream(&pieces)));
        let mut live = fixture.client().connect().await;
        live.write(&request("gpt-while-1")).await;
        live.read_head("POST").await.expect("an answer");
        live.next_event().await.expect("an event");
        live.write(&request("gpt-while-2")).await;
        gate.open();
        let first = live.finish().await;
        assert!(first.text().contains("[DONE]"), "{}", first.text());
        live.read_head("POST").await.expect("the next answer");
        assert!(live.finish().await.text().contains("[DONE]"));
    });
}

#[test]
fn what_stands_behind_a_refused_request_is_not_read() {
    run(async {
        let fixture = SHARED.get().await;
        let key = fixture.bulkhead.ready.api_key.clone();
        let refused = Wire::new(&key).with_length().line("Content-Length: 5").bytes();
        let mut wire = Wire::new(&key);
        wire.body = chat("gpt-behind-refused", "hi").to_string();
        let mut live = fixture.client().connect().await;
        live.write(&[refused, wire.with_length().bytes()].concat()).await;
        if live.read_head("POST").await.is_ok() {
            assert_eq!((live.header("connection"), live.status), (Some("close"), 400));
            live.finish().await;
            assert!(live.read_head("POST").await.is_err());
        }
        assert!(fixture.provider.seen("gpt-behind-refused").is_empty());
    });
}

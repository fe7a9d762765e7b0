use super::*;
use bulkhead_dialect::classify;
use bulkhead_policy::address::Reach;
use bulkhead_policy::compile::Credential;
use bulkhead_policy::document::UpstreamDialect;
use bulkhead_policy::ids::CredentialId;
use secrecy::SecretString;
use std::sync::Arc;

fn upstream(base_url: &str, dialect: UpstreamDialect) -> Upstream {
    let id: CredentialId = "018f3a53-8b4c-7000-8000-000000000001".parse().unwrap();
    let secret = Arc::new(SecretString::from("tenant-secret"));
    Upstream {
        name: "u".into(),
        base: BaseUrl::parse(base_url, &Reach::Anywhere).unwrap(),
        dialect,
        credential: Some(Credential { id, version: 1, secret }),
    }
}

fn caller(path: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
    let mut head = RequestHeader::build("POST", path.as_bytes(), None).unwrap();
    for (name, value) in headers {
        head.append_header(*name, *value).unwrap();
    }
    head
}

#[test]
fn the_tenants_credential_replaces_everything_the_caller_showed() {
    let caller = caller(
        "/anthropic/v1/messages?beta=true&key=bh_x&k%65y=bh_x&KEY=bh_x",
        &[
            ("host", "proxy"),
            ("authorization", "Bearer bh_agent"),
            ("x-api-key", "bh_agent"),
            ("api-key", "bh_agent"),
            ("x-goog-api-key", "bh_agent"),
            ("cookie", "session=1"),
            ("connection", "keep-alive, x-private"),
            ("x-private", "1"),
            ("x-bulkhead-tenant", "other"),
            ("x-forwarded-for", "10.0.0.1"),
            ("transfer-encoding", "chunked"),
            ("content-encoding", "gzip"),
            ("accept-encoding", "gzip, br"),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "a"),
        ],
    );
    let endpoint = classify("POST", "/v1/messages", None).unwrap();
    let upstream = upstream("https://api.anthropic.com", UpstreamDialect::Anthropic);
    let head = request_head(&caller, endpoint, &upstream, 42).unwrap();
    assert_eq!(head.uri, "/v1/messages?beta=true");
    let mut sent: Vec<_> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    sent.sort_unstable();
    assert_eq!(
        sent,
        [
            ("accept-encoding", "identity"),
            ("anthropic-beta", "a"),
            ("anthropic-version", "2023-06-01"),
            ("content-length", "42"),
            ("host", "api.anthropic.com"),
            ("x-api-key", "tenant-secret"),
        ]
    );
}

#[test]
fn gemini_gets_its_own_header_and_no_credential_of_the_caller() {
    let path = "/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent";
    let endpoint = classify("POST", path, None).unwrap();
    let caller = caller(
        &format!("{path}?alt=sse&key=bh_x&access_token=ya29&OAuth_token=ya29&$alt=json"),
        &[
            ("x-goog-api-key", "bh_agent"),
            ("x-goog-api-client", "google-genai-sdk/1"),
            ("x-http-method-override", "GET"),
        ],
    );
    let upstream = upstream("https://generativelanguage.googleapis.com", UpstreamDialect::Gemini);
    let head = request_head(&caller, endpoint, &upstream, 42).unwrap();
    assert_eq!(head.uri, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    assert_eq!(head.headers["x-goog-api-key"], "tenant-secret");
    assert!(head.headers["x-goog-api-key"].is_sensitive());
    assert_eq!(head.headers["x-goog-api-client"], "google-genai-sdk/1");
    assert!(!head.headers.contains_key("x-http-method-override"));
    let texts: Vec<u8> = forwarded_texts(&caller).flat_map(Cow::into_owned).collect();
    assert!(!String::from_utf8(texts).unwrap().contains("bh_"));
}

#[test]
fn a_base_url_may_have_a_port_and_a_path() {
    let endpoint = classify("POST", "/v1/chat/completions", None).unwrap();
    let upstream = upstream("http://127.0.0.1:8081/proxy", UpstreamDialect::OpenAi);
    let head = request_head(&caller("/v1/chat/completions", &[]), endpoint, &upstream, 1).unwrap();
    assert_eq!(head.uri, "/proxy/v1/chat/completions");
    assert_eq!(head.headers["host"], "127.0.0.1:8081");
    assert_eq!(head.headers["authorization"], "Bearer tenant-secret");
    assert!(head.headers["authorization"].is_sensitive());
}

#[test]
fn the_reply_keeps_the_providers_headers_and_gets_ours() {
    let mut upstream = ResponseHeader::build(429, None).unwrap();
    let headers = [
        ("content-type", "application/json"),
        ("retry-after", "3"),
        ("x-request-id", "req_provider"),
        ("set-cookie", "a=b"),
        ("x-note", "hide me"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("content-length", "7"),
        ("x-bulkhead-policy-revision", "999"),
    ];
    for (name, value) in headers {
        upstream.append_header(name, value).unwrap();
    }
    let head = response_head(
        &upstream,
        &[(HeaderName::from_static(X_REQUEST_ID), HeaderValue::from_static("ours"))],
        |value| value != "hide me",
    )
    .unwrap();
    assert_eq!(head.status, 429);
    let mut sent: Vec<_> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    sent.sort_unstable();
    assert_eq!(
        sent,
        [
            ("content-type", "application/json"),
            ("retry-after", "3"),
            ("x-request-id", "ours"),
            ("x-upstream-request-id", "req_provider"),
        ]
    );
}

#[test]
fn the_providers_limits_pass_unless_the_caller_has_some_of_its_own() {
    let mut upstream = ResponseHeader::build(200, None).unwrap();
    for name in ["x-ratelimit-limit-requests", "anthropic-ratelimit-input-tokens-limit", "ratelimit-policy"] {
        upstream.append_header(name, "9").unwrap();
    }
    let limits = |ours: &[(HeaderName, HeaderValue)]| {
        let head = response_head(&upstream, ours, |_| true).unwrap();
        head.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(limits(&[]).len(), 3);
    let own = (HeaderName::from_static("x-ratelimit-limit-tokens"), HeaderValue::from_static("5"));
    assert_eq!(limits(&[own]), ["x-ratelimit-limit-tokens: 5"]);
}

#[test]
fn an_answer_is_read_in_the_characters_in_which_it_was_inspected() {
    let sent = |types: &[&str]| {
        let mut upstream = ResponseHeader::build(200, None).unwrap();
        for content_type in types {
            upstream.append_header("content-type", *content_type).unwrap();
        }
        let head = response_head(&upstream, &[], |_| true).unwrap();
        let types =
            head.headers.get_all("content-type").iter().map(|value| value.to_str().unwrap().to_owned());
        types.collect::<Vec<_>>()
    };
    for (types, expected) in [
        (&["application/json"][..], "application/json"),
        (&["application/json; charset=UTF-8"], "application/json; charset=UTF-8"),
        (&["application/json; charset=utf-7"], "application/json; charset=utf-8"),
        (&["text/event-stream;x=1; Charset = \"UTF-16\""], "text/event-stream; charset=utf-8"),
        (&["application/json", "application/json; charset=utf-7"], "application/json"),
    ] {
        assert_eq!(sent(types), [expected], "{types:?}");
    }
}

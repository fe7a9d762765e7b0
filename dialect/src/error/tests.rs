use serde_json::{Value, json};

use super::*;
use crate::classify;
use crate::stream::StreamReader;

const ALL: [ErrorKind; 11] = [
    ErrorKind::Authentication,
    ErrorKind::InvalidRequest,
    ErrorKind::Permission,
    ErrorKind::NotFound,
    ErrorKind::TooLarge,
    ErrorKind::RateLimit,
    ErrorKind::Quota,
    ErrorKind::DlpBlocked,
    ErrorKind::Upstream,
    ErrorKind::UpstreamTimeout,
    ErrorKind::Unavailable,
];

fn info(kind: ErrorKind) -> ErrorInfo<'static> {
    ErrorInfo {
        kind,
        status: 400,
        code: "some_code",
        message: "say \"no\"\n\u{1}\u{2028}\u{e9}\\",
        param: Some("model\""),
        request_id: "018f-7\"",
        detectors: &[],
    }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn every_kind_has_its_type() {
    let types = ALL.map(|kind| {
        let openai = read(&body(Dialect::OpenAi, &info(kind)))["error"]["type"].clone();
        let anthropic = read(&body(Dialect::Anthropic, &info(kind)))["error"]["type"].clone();
        let gemini = read(&body(Dialect::Gemini, &info(kind)))["error"]["status"].clone();
        [openai, anthropic, gemini].map(|name| name.as_str().unwrap().to_owned())
    });
    let expected = [
        ["invalid_request_error", "authentication_error", "UNAUTHENTICATED"],
        ["invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"],
        ["permission_error", "permission_error", "PERMISSION_DENIED"],
        ["invalid_request_error", "not_found_error", "NOT_FOUND"],
        ["invalid_request_error", "request_too_large", "INVALID_ARGUMENT"],
        ["rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"],
        ["insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED"],
        ["invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"],
        ["server_error", "api_error", "UNAVAILABLE"],
        ["server_error", "timeout_error", "DEADLINE_EXCEEDED"],
        ["server_error", "overloaded_error", "UNAVAILABLE"],
    ];
    assert_eq!(types, expected.map(|names| names.map(str::to_owned)));
}

#[test]
fn everything_is_escaped() {
    let info = ErrorInfo { detectors: &["A\"", "B"], ..info(ErrorKind::DlpBlocked) };
    let message = format!("{} (A\", B)", info.message);
    assert_eq!(
        read(&body(Dialect::OpenAi, &info)),
        json!({"error": {"message": message, "type": "invalid_request_error",
            "param": "model\"", "code": "some_code", "detectors": ["A\"", "B"]}}),
    );
    assert_eq!(
        read(&body(Dialect::Anthropic, &info)),
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": message,
            "code": "some_code", "detectors": ["A\"", "B"]}, "request_id": "018f-7\""}),
    );
    let metadata = json!({"request_id": "018f-7\"", "param": "model\"", "detectors": "A\",B"});
    let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SOME_CODE",
        "domain": "bulkhead", "metadata": metadata}]);
    assert_eq!(
        read(&body(Dialect::Gemini, &info)),
        json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details}}),
    );
}

/// The event's name and data, after the framing was checked.
fn event(path: &str, kind: ErrorKind) -> (String, Value) {
    let endpoint = classify("POST", path, None).unwrap();
    let bytes = StreamReader::new(endpoint).error_event(&info(kind));
    let text = String::from_utf8(bytes).unwrap();
    let (name, data) = text.strip_suffix("\n\n").unwrap().split_once("data: ").unwrap();
    assert!(!data.contains('\n'));
    (name.to_owned(), read(data.as_bytes()))
}

#[test]
fn stream_events_are_what_the_sdks_raise_on() {
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let (name, data) = event(path, ErrorKind::DlpBlocked);
        assert_eq!((name.as_str(), &data["error"]["code"]), ("", &json!("some_code")));
    }
    // Google's own SDK looks for the error at the very start of the data.
    let (name, data) = event("/v1beta/models/a:streamGenerateContent", ErrorKind::Quota);
    assert_eq!((name.as_str(), &data["error"]["status"]), ("", &json!("RESOURCE_EXHAUSTED")));
    let (name, data) = event("/v1/messages", ErrorKind::Quota);
    assert_eq!(name, "event: error\n");
    assert_eq!((&data["type"], &data["error"]["type"]), (&json!("error"), &json!("billing_error")));
}

#[test]
fn a_failed_response_is_a_whole_response() {
    for (kind, code) in [
        (ErrorKind::DlpBlocked, "invalid_prompt"),
        (ErrorKind::Quota, "insufficient_quota"),
        (ErrorKind::Upstream, "server_error"),
        (ErrorKind::RateLimit, "server_error"),
    ] {
        let (name, data) = event("/v1/responses", kind);
        assert_eq!(name, "event: response.failed\n");
        assert_eq!(data["type"], "response.failed");
        assert_eq!(data["sequence_number"], 0);
        let response = &data["response"];
        assert_eq!((&response["status"], &response["error"]["code"]), (&json!("failed"), &json!(code)));
        assert_eq!(response["error"]["message"], info(kind).message);
        // What SDKs raise is the same as in Chat Completions.
        assert_eq!(data["error"], event("/v1/chat/completions", kind).1["error"]);
        assert_eq!(response["id"], "resp_018f7\"");
        for list in ["output", "tools"] {
            assert_eq!(response[list], json!([]));
        }
    }
}

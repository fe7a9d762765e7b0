use super::*;

const OPENAI: Dialect = Dialect::OpenAi;
const ANTHROPIC: Dialect = Dialect::Anthropic;

#[test]
fn served_paths() {
    let cases = [
        ("POST", "/v1/chat/completions", false, OPENAI, Operation::Chat),
        ("POST", "/v1/completions", false, OPENAI, Operation::Completions),
        ("POST", "/v1/responses", false, OPENAI, Operation::Responses),
        ("POST", "/v1/embeddings", false, OPENAI, Operation::Embeddings),
        ("GET", "/v1/models", false, OPENAI, Operation::Models),
        ("GET", "/v1/models", true, ANTHROPIC, Operation::Models),
        ("GET", "/v1/models/gpt-5", false, OPENAI, Operation::Models),
        ("GET", "/v1/models/ft:gpt-5:acme::x%3A1", false, OPENAI, Operation::Models),
        ("GET", "/v1/models/claude-5", true, ANTHROPIC, Operation::Models),
        ("GET", "/anthropic/v1/models", false, ANTHROPIC, Operation::Models),
        ("GET", "/openai/v1/models", true, OPENAI, Operation::Models),
        ("POST", "/v1/messages", false, ANTHROPIC, Operation::Messages),
        ("POST", "/anthropic/v1/messages", false, ANTHROPIC, Operation::Messages),
        ("POST", "/v1/messages/count_tokens", true, ANTHROPIC, Operation::CountTokens),
        ("POST", "/openai/v1/chat/completions", false, OPENAI, Operation::Chat),
        // The path decides, not the header.
        ("POST", "/v1/chat/completions", true, OPENAI, Operation::Chat),
    ];
    for (method, path, headers, dialect, operation) in cases {
        let expected = Ok(Endpoint { dialect, operation });
        assert_eq!(classify(method, path, headers), expected, "{method} {path}");
    }
}

#[test]
fn unknown_paths_name_the_nearest_dialect() {
    let cases = [
        ("", false, OPENAI),
        ("/", false, OPENAI),
        ("/", true, ANTHROPIC),
        ("*", false, OPENAI),
        ("/v1", false, OPENAI),
        ("/v1/audio/speech", false, OPENAI),
        ("/v1/responses/resp_1", false, OPENAI),
        ("/v1/responses/input_tokens", false, OPENAI),
        ("/v1/messages/batches", false, ANTHROPIC),
        ("/anthropic/v1/complete", false, ANTHROPIC),
        ("/openai/v1/files", true, OPENAI),
        // A mount serves its own dialect only.
        ("/openai/v1/messages", false, OPENAI),
        ("/anthropic/v1/chat/completions", false, ANTHROPIC),
        ("/openai/openai/v1/models", false, OPENAI),
        ("/openai", false, OPENAI),
        // Another spelling of a served path.
        ("//v1/messages", false, OPENAI),
        ("/v1//messages", false, OPENAI),
        ("/v1/messages/", false, ANTHROPIC),
        ("/v1/chat/../messages", false, OPENAI),
        ("/v1/./messages", false, OPENAI),
        ("/v1%2fmessages", false, OPENAI),
        ("/V1/messages", false, OPENAI),
        ("/v1/models/", false, OPENAI),
        ("/v1/models/.", false, OPENAI),
        ("/v1/models/..", false, OPENAI),
        ("/v1/models/a/b", false, OPENAI),
        ("/v1/models/a%2Fb", false, OPENAI),
        ("/v1/models/a%5cb", false, OPENAI),
        ("/v1/models/%2e%2e", false, OPENAI),
        ("/v1/models/a%252fb", false, OPENAI),
        ("/v1/models/a%00", false, OPENAI),
        ("/v1/models/a%zz", false, OPENAI),
        ("/v1/models/a%", false, OPENAI),
        ("/v1/models/a\\b", false, OPENAI),
        ("/v1/models/a b", false, OPENAI),
        ("/v1/models/a?b", false, OPENAI),
        ("/v1/models/\u{e9}", false, OPENAI),
    ];
    for (path, headers, nearest) in cases {
        let expected = Err(Unknown { nearest, reason: UnknownReason::NoSuchPath });
        assert_eq!(classify("POST", path, headers), expected, "{path}");
        assert_eq!(classify("GET", path, headers), expected, "{path}");
    }
}

#[test]
fn wrong_methods_say_what_is_allowed() {
    let cases = [
        ("GET", "/v1/chat/completions", OPENAI, "POST"),
        ("post", "/v1/messages", ANTHROPIC, "POST"),
        ("DELETE", "/v1/responses", OPENAI, "POST"),
        ("POST", "/v1/models", OPENAI, "GET"),
        ("DELETE", "/v1/models/ft:mine", OPENAI, "GET"),
        ("HEAD", "/v1/models", OPENAI, "GET"),
        ("OPTIONS", "/anthropic/v1/models", ANTHROPIC, "GET"),
    ];
    for (method, path, nearest, allow) in cases {
        let reason = UnknownReason::MethodNotAllowed { allow };
        assert_eq!(classify(method, path, false), Err(Unknown { nearest, reason }), "{path}");
    }
}

#[test]
fn names_read_back() {
    for operation in Operation::ALL {
        assert_eq!(operation.to_string().parse(), Ok(operation));
    }
    for dialect in [OPENAI, ANTHROPIC] {
        assert_eq!(dialect.to_string().parse(), Ok(dialect));
    }
    assert!("Chat".parse::<Operation>().is_err());
    assert!("gemini".parse::<Dialect>().is_err());
}

use super::*;

const OPENAI: Dialect = Dialect::OpenAi;
const ANTHROPIC: Dialect = Dialect::Anthropic;
const GEMINI: Dialect = Dialect::Gemini;

#[test]
fn served_paths() {
    let cases = [
        ("POST", "/v1/chat/completions", None, OPENAI, Operation::Chat),
        ("POST", "/v1/completions", None, OPENAI, Operation::Completions),
        ("POST", "/v1/responses", None, OPENAI, Operation::Responses),
        ("POST", "/v1/embeddings", None, OPENAI, Operation::Embeddings),
        ("POST", "/v1/moderations", None, OPENAI, Operation::Moderations),
        ("GET", "/v1/models", None, OPENAI, Operation::Models),
        ("GET", "/v1/models", Some(ANTHROPIC), ANTHROPIC, Operation::Models),
        ("GET", "/v1/models/gpt-5", None, OPENAI, Operation::Models),
        ("GET", "/v1/models/ft:gpt-5:acme::x%3A1", None, OPENAI, Operation::Models),
        ("GET", "/v1/models/claude-5", Some(ANTHROPIC), ANTHROPIC, Operation::Models),
        ("GET", "/anthropic/v1/models", None, ANTHROPIC, Operation::Models),
        ("GET", "/openai/v1/models", Some(ANTHROPIC), OPENAI, Operation::Models),
        ("POST", "/v1/messages", None, ANTHROPIC, Operation::Messages),
        ("POST", "/anthropic/v1/messages", None, ANTHROPIC, Operation::Messages),
        ("POST", "/v1/messages/count_tokens", Some(ANTHROPIC), ANTHROPIC, Operation::CountTokens),
        ("POST", "/openai/v1/chat/completions", None, OPENAI, Operation::Chat),
        ("POST", "/v1beta/models/gemini-2.5-flash:generateContent", None, GEMINI, Operation::GenerateContent),
        ("POST", "/v1/models/gemini-2.5-flash:generateContent", None, GEMINI, Operation::GenerateContent),
        ("POST", "/v1beta/tunedModels/a:streamGenerateContent", None, GEMINI, Operation::GenerateContent),
        ("POST", "/gemini/v1beta/models/a:countTokens", None, GEMINI, Operation::CountTokens),
        ("POST", "/v1beta/models/a:embedContent", None, GEMINI, Operation::Embeddings),
        ("POST", "/v1beta/models/a:batchEmbedContents", None, GEMINI, Operation::Embeddings),
        ("GET", "/v1beta/models", None, GEMINI, Operation::Models),
        ("GET", "/v1beta/models/gemini-2.5-flash", None, GEMINI, Operation::Models),
        ("GET", "/v1/models", Some(GEMINI), GEMINI, Operation::Models),
        ("GET", "/gemini/v1/models/a", None, GEMINI, Operation::Models),
        ("GET", "/v1/models/ft:gpt-5:countTokens", None, OPENAI, Operation::Models),
        // The path decides, not the header.
        ("POST", "/v1beta/models/a:generateContent", Some(ANTHROPIC), GEMINI, Operation::GenerateContent),
        ("POST", "/v1/chat/completions", Some(GEMINI), OPENAI, Operation::Chat),
        ("POST", "/v1/chat/completions", Some(ANTHROPIC), OPENAI, Operation::Chat),
    ];
    for (method, path, headers, dialect, operation) in cases {
        let expected = Ok(Endpoint { dialect, operation });
        assert_eq!(classify(method, path, headers), expected, "{method} {path}");
    }
}

#[test]
fn unknown_paths_name_the_nearest_dialect() {
    let cases = [
        ("", None, OPENAI),
        ("/", None, OPENAI),
        ("/", Some(ANTHROPIC), ANTHROPIC),
        ("*", None, OPENAI),
        ("/v1", None, OPENAI),
        ("/v1/audio/speech", None, OPENAI),
        ("/v1/responses/resp_1", None, OPENAI),
        ("/v1/responses/input_tokens", None, OPENAI),
        ("/v1/messages/batches", None, ANTHROPIC),
        ("/anthropic/v1/complete", None, ANTHROPIC),
        ("/openai/v1/files", Some(ANTHROPIC), OPENAI),
        ("/v1beta", None, OPENAI),
        ("/v1beta/models/a:predict", None, GEMINI),
        ("/v1beta/models/a:b", None, GEMINI),
        ("/v1beta/models/a:generateContent/", None, GEMINI),
        ("/v1beta/models/a:b:generateContent", None, GEMINI),
        ("/v1beta/cachedContents", None, GEMINI),
        ("/v1beta/interactions", Some(ANTHROPIC), GEMINI),
        ("/v1beta/openai/chat/completions", None, GEMINI),
        ("/gemini/v1/chat/completions", None, GEMINI),
        ("/openai/v1beta/models", None, OPENAI),
        // A mount serves its own dialect only.
        ("/openai/v1/messages", None, OPENAI),
        ("/anthropic/v1/chat/completions", None, ANTHROPIC),
        ("/openai/openai/v1/models", None, OPENAI),
        ("/openai", None, OPENAI),
        // Another spelling of a served path.
        ("//v1/messages", None, OPENAI),
        ("/v1//messages", None, OPENAI),
        ("/v1/messages/", None, ANTHROPIC),
        ("/v1/chat/../messages", None, OPENAI),
        ("/v1/./messages", None, OPENAI),
        ("/v1%2fmessages", None, OPENAI),
        ("/V1/messages", None, OPENAI),
        ("/v1/models/", None, OPENAI),
        ("/v1/models/.", None, OPENAI),
        ("/v1/models/..", None, OPENAI),
        ("/v1/models/a/b", None, OPENAI),
        ("/v1/models/a%2Fb", None, OPENAI),
        ("/v1/models/a%5cb", None, OPENAI),
        ("/v1/models/%2e%2e", None, OPENAI),
        ("/v1/models/a%252fb", None, OPENAI),
        ("/v1/models/a%00", None, OPENAI),
        ("/v1/models/a%zz", None, OPENAI),
        ("/v1/models/a%", None, OPENAI),
        ("/v1/models/a\\b", None, OPENAI),
        ("/v1/models/a b", None, OPENAI),
        ("/v1/models/a?b", None, OPENAI),
        ("/v1/models/\u{e9}", None, OPENAI),
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
        ("GET", "/v1beta/models/a:generateContent", GEMINI, "POST"),
        ("DELETE", "/v1/models/a:countTokens", GEMINI, "POST"),
        ("POST", "/v1beta/models", GEMINI, "GET"),
    ];
    for (method, path, nearest, allow) in cases {
        let reason = UnknownReason::MethodNotAllowed { allow };
        assert_eq!(classify(method, path, None), Err(Unknown { nearest, reason }), "{path}");
    }
}

#[test]
fn names_read_back() {
    for operation in Operation::ALL {
        assert_eq!(operation.to_string().parse(), Ok(operation));
    }
    for dialect in Dialect::ALL {
        assert_eq!(dialect.to_string().parse(), Ok(dialect));
    }
    assert!("Chat".parse::<Operation>().is_err());
    assert!("Gemini".parse::<Dialect>().is_err());
}

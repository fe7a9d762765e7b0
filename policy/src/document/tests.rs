use super::*;
use crate::money::NanoUsd;

const DEV: CheckOptions = CheckOptions { upstreams: Reach::Anywhere };

const FULL: &str = r#"
upstreams:
  openai:    { base_url: "https://api.openai.com", dialect: openai, credential: openai-prod }
  anthropic: { base_url: "https://api.anthropic.com", dialect: anthropic, credential: anthropic-prod }
routes:                                   # first match wins
  - { models: ["claude-*"], to: [anthropic] }
  - { models: ["*"], to: [openai] }
allow: { operations: [chat, responses, messages, embeddings], models: ["gpt-*", "claude-*"] }
dlp:
  detectors:
    - { id: PROJECT_NAMES, terms: ["blue falcon", "red heron"], ignore_case: true }
    - { id: EMPLOYEE_ID, regex: "EMP-[0-9]{6}" }
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [EMAIL_ADDRESS], on: request, action: tokenize }
    - { detect: [CREDIT_CARD], on: both, action: mask, mask: { keep_last: 4 } }
    - { detect: ["pii.*"], on: both, action: mask, min_confidence: 0.95 }
    - { detect: [PROJECT_NAMES, EMPLOYEE_ID], on: response, action: alert }
  allow_values: ["support@acme.example"]
  uninspectable: block
  email: mask-domain
budgets:
  - { id: month, scope: tenant, unit: usd, limit: "500.00", window: month, time_zone: Europe/Berlin, at_limit: cut, alert_at: [0.8] }
  - { id: agent-day, scope: agent, unit: tokens, limit: 2000000, window: day, at_limit: refuse }
limits:
  requests_per_minute: 600
  tokens_per_minute: 400000
  concurrent_requests: 64
  body_bytes: 33554432
  per_agent: { requests_per_minute: 300, tokens_per_minute: 200000 }
  per_key: { concurrent_requests: 8 }
capture: masked
traces: { durability: synced, when_full: refuse, keep_days: 90, keep_body_days: 7 }
prices:
  my-model: { input_usd_per_mtok: 0.15, output_usd_per_mtok: "0.60", cached_input_usd_per_mtok: 0 }
unknown_price: { assume: { input_usd_per_mtok: 10, output_usd_per_mtok: 50 } }
"#;

fn parse(text: &str) -> Result<PolicyDocument, DocumentError> {
    PolicyDocument::parse(text, &CheckOptions::default())
}

#[test]
fn every_section_is_read_and_stored_without_loss() {
    let document = parse(FULL).unwrap();
    assert_eq!(document.upstreams.len(), 2);
    assert_eq!(document.budgets[0].limit, Limit::Dollars("500".parse().unwrap()));
    assert_eq!(document.budgets[1].limit, Limit::Whole(2_000_000));
    assert_eq!(document.dlp.rules[0].on, RuleDirection::Both);
    let price = &document.prices["my-model"];
    assert_eq!(price.input_usd_per_mtok.0, NanoUsd::new(150_000_000));
    assert_eq!(price.output_usd_per_mtok.0, NanoUsd::new(600_000_000));
    let stored = document.to_json();
    let read = parse(&stored).unwrap();
    assert_eq!(read, document);
    assert_eq!(read.to_json(), stored, "the stored form is canonical");
}

#[test]
fn nothing_at_all_is_a_policy() {
    for text in ["", "  \n", "{}", "# only a comment\n", "null", "upstreams: {}"] {
        assert_eq!(parse(text), Ok(PolicyDocument::default()), "{text:?}");
    }
    assert_eq!(PolicyDocument::default().to_json(), "{}");
}

#[test]
fn many_comments_are_no_obstacle() {
    let text = format!("{}capture: masked\n{}", "# comment\n".repeat(500), "# comment\n".repeat(500));
    assert_eq!(parse(&text).unwrap().capture, Some(Capture::Masked));
}

/// A document that is wrong in one place: text, path, and words that the message must hold.
const WRONG: &[(&str, &str, &[&str])] = &[
    ("upstream: {}", "upstream", &["unknown field upstream", "upstreams"]),
    ("capture: all", "capture", &["none, masked or sealed"]),
    ("traces: { durability: maybe }", "traces.durability", &["written", "synced"]),
    ("traces: { keep_days: 0 }", "traces.keep_days", &["nonzero"]),
    ("traces: { keep_body_days: 70000 }", "traces.keep_body_days", &["70000", "from 1 to 36500"]),
    ("traces: { when_full: wait }", "traces.when_full", &["drop", "refuse"]),
    (
        "dlp: { rules: [{ detect: [X], on: both, action: tokenize }] }",
        "dlp.rules[0].on",
        &["tokenize protects requests", "use mask for answers"],
    ),
    (
        "dlp: { rules: [{ detect: [X], on: both, action: hide }] }",
        "dlp.rules[0].action",
        &["block, mask, tokenize or alert"],
    ),
    (
        "dlp: { rules: [{ detect: [X], on: both, action: alert, mask: { keep_last: 2 } }] }",
        "dlp.rules[0].mask",
        &["action: mask"],
    ),
    (
        "dlp: { rules: [{ detect: [X], on: both, action: mask, mask: { keep_last: 9 } }] }",
        "dlp.rules[0].mask.keep_last",
        &["found 9", "at most 8"],
    ),
    (
        "dlp: { rules: [{ detect: [X], on: both, action: mask, min_confidence: 1.5 }] }",
        "dlp.rules[0].min_confidence",
        &["found 1.5", "0 to 1"],
    ),
    ("dlp: { email: mask-all }", "dlp.email", &["hold-word", "mask-domain"]),
    ("dlp: { rules: [{ detect: [X], on: up, action: mask }] }", "dlp.rules[0].on", &["request"]),
    ("dlp: { rules: [{ detect: [], on: both, action: mask }] }", "dlp.rules[0].detect", &["at least one"]),
    (
        "dlp: { rules: [{ detect: [X], on: both, action: mask, x: 1 }] }",
        "dlp.rules[0].x",
        &["unknown field x"],
    ),
    ("dlp: { uninspectable: pass }", "dlp.uninspectable", &["block", "allow"]),
    ("dlp: { allow_values: [''] }", "dlp.allow_values[0]", &["1 to 1024"]),
    ("dlp: { detectors: [{ id: A }] }", "dlp.detectors[0]", &["neither terms nor regex"]),
    ("dlp: { detectors: [{ id: A, terms: [x], regex: y }] }", "dlp.detectors[0]", &["both terms and regex"]),
    (
        "dlp: { detectors: [{ id: A, regex: y, ignore_case: true }] }",
        "dlp.detectors[0].ignore_case",
        &["(?i)"],
    ),
    (
        "dlp: { detectors: [{ id: A, terms: [x] }, { id: a, terms: [y] }] }",
        "dlp.detectors[1].id",
        &["no other detector"],
    ),
    ("dlp: { detectors: [{ id: credit_card, terms: [x] }] }", "dlp.detectors[0].id", &["built-in"]),
    ("upstreams: { a b: { base_url: 'https://a.example', dialect: openai } }", "upstreams.a b", &["A-Z"]),
    (
        "upstreams: { a: { base_url: 'http://a.example', dialect: openai } }",
        "upstreams.a.base_url",
        &["https"],
    ),
    (
        "upstreams: { a: { base_url: 'https://u:hunter2@a.example', dialect: openai } }",
        "upstreams.a.base_url",
        &["without user or password"],
    ),
    (
        "upstreams: { a: { base_url: 'https://169.254.169.254', dialect: openai } }",
        "upstreams.a.base_url",
        &["public host"],
    ),
    (
        "upstreams: { a: { base_url: 'https://a.example', dialect: cohere } }",
        "upstreams.a.dialect",
        &["openai", "anthropic"],
    ),
    ("upstreams: { a: { dialect: openai } }", "upstreams.a", &["base_url"]),
    ("routes: [{ models: ['*'], to: [] }]", "routes[0].to", &["at least one"]),
    ("routes: [{ models: ['gpt-?'], to: [a] }]", "routes[0].models[0]", &["only * is special"]),
    ("allow: { operations: [chat, fly] }", "allow.operations[1]", &["found fly", "count_tokens"]),
    ("allow: { models: [''] }", "allow.models[0]", &["model name"]),
    ("limits: { requests_per_minute: 0 }", "limits.requests_per_minute", &["0", "from 1 to 1000000000"]),
    ("limits: { tokens_per_minute: -1 }", "limits.tokens_per_minute", &["-1"]),
    ("limits: { tokens_per_minute: 4000000000 }", "limits.tokens_per_minute", &["from 1 to 1000000000"]),
    ("limits: { tokens_per_minute: 90000000000 }", "limits.tokens_per_minute", &["90000000000"]),
    (
        "limits: { per_agent: { requests_per_minute: 0 } }",
        "limits.per_agent.requests_per_minute",
        &["0", "from 1 to 1000000000"],
    ),
    (
        "limits: { per_key: { concurrent_requests: 2000000000 } }",
        "limits.per_key.concurrent_requests",
        &["2000000000", "for no limit leave it out"],
    ),
    ("limits: { per_key: { body_bytes: 5 } }", "limits.per_key.body_bytes", &["unknown field"]),
    ("limits: { per_agent: 5 }", "limits.per_agent", &[]),
    ("max_staleness_seconds: 14", "max_staleness_seconds", &["14", "at least 15"]),
    ("limits: { body_bytes: -5 }", "limits.body_bytes", &[]),
    ("limits: { concurrent_requests: many }", "limits.concurrent_requests", &["many", "from 1 to"]),
    (
        "prices: { m: { input_usd_per_mtok: -1, output_usd_per_mtok: 1 } }",
        "prices.m.input_usd_per_mtok",
        &["-1"],
    ),
    (
        "prices: { m: { input_usd_per_mtok: 1, output_usd_per_mtok: 9999999 } }",
        "prices.m.output_usd_per_mtok",
        &["at most 600000"],
    ),
    ("prices: { m: { input_usd_per_mtok: 1 } }", "prices.m", &["output_usd_per_mtok"]),
    ("unknown_price: guess", "unknown_price", &["refuse", "assume"]),
    (
        "unknown_price: { assume: { input_usd_per_mtok: 1e9, output_usd_per_mtok: 1 } }",
        "unknown_price.assume.input_usd_per_mtok",
        &["at most"],
    ),
    (
        "unknown_price: { assume: { input_usd_per_mtok: 1, output_usd_per_mtok: 0 } }",
        "unknown_price.assume.output_usd_per_mtok",
        &["found 0", "more than 0"],
    ),
    (
        "unknown_price: { assume: { input_usd_per_mtok: \"0.00\", output_usd_per_mtok: 1 } }",
        "unknown_price.assume.input_usd_per_mtok",
        &["more than 0"],
    ),
    (
        "prices: { m: { input_usd_per_mtok: .inf, output_usd_per_mtok: 1 } }",
        "prices.m.input_usd_per_mtok",
        &[],
    ),
    (
        "prices: { m: { input_usd_per_mtok: 1, output_usd_per_mtok: 1, audio_output_usd_per_mtok: 1e6 } }",
        "prices.m.audio_output_usd_per_mtok",
        &["at most 600000"],
    ),
    (
        "prices: { m: { input_usd_per_mtok: 1, output_usd_per_mtok: 1, max_output_tokens: 100000001 } }",
        "prices.m.max_output_tokens",
        &["at most 100000000"],
    ),
    (
        "prices: { m: { input_usd_per_mtok: 1, output_usd_per_mtok: 1, max_output_tokens: 0 } }",
        "prices.m.max_output_tokens",
        &["nonzero"],
    ),
    (
        "prices: { 'gpt-*': { input_usd_per_mtok: 1, output_usd_per_mtok: 1 } }",
        "prices.gpt-*",
        &["name of one model"],
    ),
    ("prices: { 'a b': { input_usd_per_mtok: 1, output_usd_per_mtok: 1 } }", "prices.a b", &["visible"]),
    ("prices: {}\nprices: {}", ".", &["duplicate"]),
    ("[]", ".", &[]),
    ("}", ".", &[]),
];

#[test]
fn mistakes_are_named_with_their_place_and_what_was_expected() {
    for (text, path, words) in WRONG {
        let error = PolicyDocument::parse(text, &CheckOptions::default()).expect_err(text);
        assert_eq!(error.path, *path, "{text}: {error}");
        for word in *words {
            assert!(error.message.replace('`', "").contains(word), "{text}: {error}");
        }
        assert!(!error.message.contains("hunter2"), "{error}");
    }
}

#[test]
fn budgets_are_checked_field_by_field() {
    let good = [
        ("id", "b"),
        ("scope", "tenant"),
        ("unit", "tokens"),
        ("limit", "10"),
        ("window", "day"),
        ("at_limit", "cut"),
        ("time_zone", "UTC"),
        ("alert_at", "[0.5, 1]"),
        ("models", "['gpt-4*', o3]"),
    ];
    let with = |changes: &[(&str, &str)]| {
        let value = |name: &str, old: &str| {
            changes
                .iter()
                .find(|(changed, _)| *changed == name)
                .map_or(old.to_owned(), |(_, new)| (*new).to_owned())
        };
        let fields: Vec<String> =
            good.iter().map(|(name, old)| format!("{name}: {}", value(name, old))).collect();
        parse(&format!("budgets: [{{ {} }}]", fields.join(", ")))
    };
    assert!(with(&[]).is_ok());
    for (unit, limit) in [
        ("usd", "500"),
        ("usd", "500.5"),
        ("usd", "\"500.00\""),
        ("usd", "\"0.000000001\""),
        ("requests", "1"),
    ] {
        assert!(with(&[("unit", unit), ("limit", limit)]).is_ok(), "{unit} {limit}");
    }
    for (field, value, word) in [
        ("id", "'a b'", "A-Z"),
        ("id", "'platform:x'", "A-Z"),
        ("scope", "team", "agent"),
        ("unit", "eur", "usd"),
        ("limit", "0", "more than 0"),
        ("limit", "-1", "whole number"),
        ("limit", "1.5", "whole number of tokens"),
        ("limit", "\"10\"", "whole number of tokens"),
        ("limit", "lots", "whole number"),
        ("limit", "[]", "whole number"),
        ("window", "year", "total"),
        ("at_limit", "warn", "refuse"),
        ("time_zone", "Mars/Olympus", "Europe/Berlin"),
    ] {
        let error = with(&[(field, value)]).expect_err(value);
        assert_eq!(error.path, format!("budgets[0].{field}"), "{error}");
        assert!(error.message.replace('`', "").contains(word), "{error}");
    }
    for value in ["[0]", "[-0.1]", "[1.01]", "[.nan]"] {
        let error = with(&[("alert_at", value)]).expect_err(value);
        assert_eq!(error.path, "budgets[0].alert_at[0]", "{error}");
    }
    for (models, path) in [("[]", "models"), ("['']", "models[0]"), ("[a, 'b?']", "models[1]")] {
        let error = with(&[("models", models)]).expect_err(models);
        assert_eq!(error.path, format!("budgets[0].{path}"), "{error}");
    }
    for limit in ["0.0", "\"0\"", "18446744074", "\"-1\"", "0.0000000001"] {
        assert!(with(&[("unit", "usd"), ("limit", limit)]).is_err(), "{limit}");
    }
    let one = "{ id: b, scope: key, unit: requests, limit: 1, window: total, at_limit: refuse }";
    assert_eq!(parse(&format!("budgets: [{one}, {one}]")).unwrap_err().path, "budgets[1].id");
}

#[test]
fn json_is_as_strict_as_yaml() {
    for text in [
        r#"{"capture":"none","capture":"masked"}"#,
        r#"{"upstreams":{"a":{"base_url":"https://a.example","dialect":"openai"},"a":{"base_url":"https://b.example","dialect":"openai"}}}"#,
        r#"{"capture":"none"} {}"#,
        r#"{"limits":{"body_bytes":"5"}}"#,
        r#"{"x":1}"#,
        "{",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn yaml_traps_do_not_bite() {
    // on is a field and no a model here, not booleans; a date-like text stays a text.
    let document = parse("dlp: { rules: [{ detect: [EMAIL_ADDRESS], on: both, action: mask }] }\nallow: { models: [no, on, 2024-05-13] }").unwrap();
    assert_eq!(document.allow.models.unwrap(), ["no", "on", "2024-05-13"]);
    let bomb = format!("a: &a [x,x,x,x,x,x,x,x,x]\n{}", ('b'..='k').map(|c| {
        let before = char::from(u8::try_from(c).unwrap() - 1);
        format!("{c}: &{c} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n")
    }).collect::<String>());
    assert!(parse(&bomb).is_err());
}

#[test]
fn pasted_secrets_are_masked_in_errors() {
    let secret = "sk-proj-abcdefghijklmnopqrstuvwxyzT3BlbkFJabcdefghijklmnopqrstuvwxyz";
    for text in [
        format!("limits: {{ requests_per_minute: {secret} }}"),
        format!("allow: {{ operations: ['{secret}'] }}"),
        format!(
            "upstreams: {{ a: {{ base_url: 'https://a.example', dialect: openai, credential: '{secret} ' }} }}"
        ),
        format!(r#"{{"capture":"{secret}"}}"#),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(!error.contains("abcdefghijklmnop"), "{error}");
    }
}

#[test]
fn errors_and_documents_are_bounded() {
    let long = "x".repeat(100_000);
    let error = parse(&format!("allow: {{ operations: ['{long}'] }}")).unwrap_err();
    assert!(error.to_string().len() < 1_000);
    let error = parse(&format!("'{long}': 1")).unwrap_err();
    assert!(error.to_string().len() < 1_500);
    assert_eq!(parse(&" ".repeat(DOCUMENT_BYTES_MAX + 1)).unwrap_err().path, ".");
    let models: Vec<String> = (0..257).map(|number| format!("m{number}")).collect();
    let error = parse(&format!("allow: {{ models: [{}] }}", models.join(", "))).unwrap_err();
    assert!(error.message.contains("257 entries, expected at most 256"), "{error}");
}

#[test]
fn development_may_reach_inside() {
    let text = "upstreams: { a: { base_url: 'http://127.0.0.1:9000', dialect: openai } }";
    assert!(parse(text).is_err());
    assert!(PolicyDocument::parse(text, &DEV).is_ok());
}

#[test]
fn any_text_is_read_or_refused_without_a_panic() {
    proptest::proptest!(|(text in "[\\PC\n]{0,80}")| {
        let _ = parse(&text);
        let _ = parse(&format!("{{{text}"));
    });
}

use std::num::NonZeroU32;

use secrecy::ExposeSecret;

use super::*;
use crate::document::{CheckOptions, Durability, WhenFull};
use crate::ledger::BudgetScope;

mod rules;

const TWO_UPSTREAMS: &str = "
upstreams:
  anthropic: { base_url: 'https://api.anthropic.com', dialect: anthropic }
  openai: { base_url: 'https://api.openai.com', dialect: openai, credential: prod }
";

fn credentials() -> HashMap<String, Credential> {
    let id = CredentialId::from_uuid(uuid::Uuid::from_u128(7));
    let secret = Arc::new(SecretString::from("sk-secret"));
    HashMap::from([("prod".to_owned(), Credential { id, version: 3, secret })])
}

fn compile_layers(layers: &[(Layer, &str)]) -> Result<TenantPolicy, CompileError> {
    let documents: Vec<(Layer, PolicyDocument)> = layers
        .iter()
        .map(|(layer, text)| (*layer, PolicyDocument::parse(text, &CheckOptions::default()).expect(text)))
        .collect();
    let layers: Vec<(Layer, &PolicyDocument)> =
        documents.iter().map(|(layer, document)| (*layer, document)).collect();
    compile(&CompileInput {
        revision: Revision::new(5),
        layers: &layers,
        credentials: &credentials(),
        options: &CompileOptions::default(),
        detectors: &DetectorCache::default(),
        value_key: None,
        data_key: None,
    })
}

fn tenant(text: &str) -> TenantPolicy {
    compile_layers(&[(Layer::Tenant, text)]).expect(text)
}

/// Returns the error of the last layer's document.
fn error(layers: &[(Layer, &str)]) -> (Layer, String) {
    let error = compile_layers(layers).expect_err("must not compile");
    (error.layer, error.error.to_string())
}

fn names(policy: &TenantPolicy, model: &str) -> Vec<String> {
    let route = policy.route(model).unwrap_or_default();
    route.iter().map(|index| policy.upstream(*index).unwrap().name.to_string()).collect()
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, yes, no) in [
        ("gpt-4o", vec!["gpt-4o"], vec!["gpt-4o-mini", "xgpt-4o", "", "GPT-4o"]),
        ("*", vec!["", "a", "anything/at-all"], vec![]),
        ("gpt-*", vec!["gpt-", "gpt-5"], vec!["gpt", "xgpt-5"]),
        ("*-mini", vec!["-mini", "gpt-mini"], vec!["gpt-mini-2"]),
        ("a*b*c", vec!["abc", "aXbYc", "abbcc"], vec!["ab", "ac", "abcd", "acb"]),
        ("ab*ba", vec!["abba", "abXba"], vec!["aba", "ab"]),
        ("*a*", vec!["a", "xax"], vec!["x", ""]),
        ("a**b", vec!["ab", "axb"], vec!["a"]),
    ] {
        let compiled = ModelPattern::new(pattern).unwrap();
        assert!(yes.iter().all(|model| compiled.matches(model)), "{pattern}");
        assert!(!no.iter().any(|model| compiled.matches(model)), "{pattern}");
    }
    for bad in ["", "a b", "a?", "[a]", "{a}", "ä", "*********", &"a".repeat(129)] {
        assert_eq!(ModelPattern::new(bad), Err(InvalidPattern), "{bad}");
    }
}

#[test]
fn patterns_agree_with_the_plain_definition() {
    fn plain(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| plain(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && plain(rest, &text[1..]),
        }
    }
    proptest::proptest!(|(pattern in "[ab*]{1,8}", text in "[ab]{0,10}")| {
        let compiled = ModelPattern::new(&pattern).unwrap();
        proptest::prop_assert_eq!(compiled.matches(&text), plain(pattern.as_bytes(), text.as_bytes()), "{} {}", pattern, text);
    });
}

#[test]
fn the_first_route_that_matches_wins() {
    let policy = tenant(&format!(
        "{TWO_UPSTREAMS}routes: [{{ models: ['claude-*'], to: [anthropic, openai] }}, {{ models: ['*-5'], to: [openai] }}]"
    ));
    assert_eq!(names(&policy, "claude-5"), ["anthropic", "openai"]);
    assert_eq!(names(&policy, "gpt-5"), ["openai"]);
    assert_eq!(policy.route("o3"), None);
    let spoken: Vec<_> =
        policy.upstreams_for("claude-5", UpstreamDialect::OpenAi).map(|upstream| &*upstream.name).collect();
    assert_eq!(spoken, ["openai"]);
    let upstream = &policy.upstreams()[1];
    let credential = upstream.credential.as_ref().unwrap();
    assert_eq!((credential.version, credential.secret.expose_secret()), (3, "sk-secret"));
    assert!(!format!("{policy:?}").contains("sk-secret"));
}

#[test]
fn without_routes_every_model_goes_to_every_upstream() {
    assert_eq!(names(&tenant(TWO_UPSTREAMS), "anything"), ["anthropic", "openai"]);
    assert_eq!(tenant("{}").route("anything"), None, "but without upstreams nowhere");
}

#[test]
fn an_empty_policy_allows_and_limits_nothing() {
    let policy = tenant("{}");
    assert_eq!(policy.allows("chat", Some("x")), Ok(()));
    assert!(
        policy.request_rules().is_empty()
            && policy.response_rules().is_empty()
            && policy.budgets().is_empty()
    );
    assert_eq!((policy.limits(), policy.body_bytes_max()), (Limits::default(), BODY_BYTES_DEFAULT));
    assert_eq!((policy.capture(), policy.uninspectable()), (Capture::None, Uninspectable::Block));
    assert_eq!(policy.revision(), Revision::new(5));
    assert!(policy.price("gpt-5").is_some());
    assert_eq!(policy.price("no-such-model"), None);
}

#[test]
fn agents_narrow_routes_to_the_tenants_upstreams() {
    let own = "routes: [{ models: ['*'], to: [anthropic] }]";
    let policy = compile_layers(&[(Layer::Tenant, TWO_UPSTREAMS), (Layer::Agent, own)]).unwrap();
    assert_eq!(names(&policy, "gpt-5"), ["anthropic"]);
    let foreign = "routes: [{ models: ['*'], to: [elsewhere] }]";
    let (layer, text) = error(&[(Layer::Tenant, TWO_UPSTREAMS), (Layer::Agent, foreign)]);
    assert_eq!(layer, Layer::Agent);
    assert!(text.starts_with("routes[0].to[0]: found \"elsewhere\""), "{text}");
}

#[test]
fn sections_stand_only_where_they_mean_something() {
    for (layer, text, path) in [
        (Layer::Platform, TWO_UPSTREAMS, "upstreams:"),
        (Layer::Platform, "routes: [{ models: ['*'], to: [x] }]", "routes:"),
        (Layer::Agent, TWO_UPSTREAMS, "upstreams:"),
        (Layer::Agent, "prices: { m: { input_usd_per_mtok: 1, output_usd_per_mtok: 1 } }", "prices:"),
        (
            Layer::Agent,
            "budgets: [{ id: b, scope: tenant, unit: usd, limit: 1, window: day, at_limit: cut }]",
            "budgets[0].scope:",
        ),
        (Layer::Agent, "traces: { keep_days: 3 }", "traces.keep_days:"),
        (Layer::Agent, "traces: { keep_body_days: 3 }", "traces.keep_body_days:"),
        (Layer::Tenant, "routes: [{ models: ['*'], to: [x] }]", "routes[0].to[0]:"),
        (
            Layer::Tenant,
            "upstreams: { a: { base_url: 'https://a.example', dialect: openai, credential: none-such } }",
            "upstreams.a.credential:",
        ),
        (
            Layer::Tenant,
            "dlp: { rules: [{ detect: [EMAIL_ADDRESS, NO_SUCH], on: both, action: mask }] }",
            "dlp.rules[0].detect[1]:",
        ),
        (Layer::Tenant, "dlp: { detectors: [{ id: PLATFORM_X, terms: [x] }] }", "dlp.detectors[0].id:"),
        (Layer::Platform, "dlp: { detectors: [{ id: X, terms: [x] }] }", "dlp.detectors[0].id:"),
        (Layer::Tenant, "dlp: { detectors: [{ id: X, regex: 'a+' }] }", "dlp.detectors[0]:"),
        (Layer::Tenant, "dlp: { detectors: [{ id: X, regex: '(((' }] }", "dlp.detectors[0]:"),
    ] {
        let (found, message) = error(&[(layer, text)]);
        assert_eq!(found, layer, "{text}");
        assert!(message.starts_with(path), "{text}: {message}");
    }
}

#[test]
fn allow_lists_of_all_layers_must_agree() {
    let policy = compile_layers(&[
        (Layer::Platform, "allow: { operations: [chat, messages] }"),
        (Layer::Tenant, "allow: { operations: [chat, embeddings], models: ['gpt-*', 'o3'] }"),
        (Layer::Agent, "allow: { models: ['gpt-4*', 'claude-*'] }"),
    ])
    .unwrap();
    for (operation, model, expected) in [
        ("chat", "gpt-4o", Ok(())),
        ("messages", "gpt-4o", Err(NotAllowed::Operation)),
        ("embeddings", "gpt-4o", Err(NotAllowed::Operation)),
        ("chat", "gpt-5", Err(NotAllowed::Model)),
        ("chat", "o3", Err(NotAllowed::Model)),
        ("chat", "claude-x", Err(NotAllowed::Model)),
    ] {
        assert_eq!(policy.allows(operation, Some(model)), expected, "{operation} {model}");
    }
    assert_eq!(policy.allows("chat", None), Ok(()));
}

fn rule(detect: &str, on: &str, action: &str) -> String {
    format!("{{ detect: ['{detect}'], on: {on}, action: {action} }}")
}

fn action_of(rules: &RuleSet, detector: &str) -> Option<String> {
    rules.rules().find(|rule| rule.detector.id().as_str() == detector).map(|rule| rule.action.to_string())
}

#[test]
fn the_stricter_action_wins_whatever_the_layer() {
    for (platform, own, agent, expected) in [
        ("mask", "block", "alert", "block"),
        ("block", "alert", "mask", "block"),
        ("alert", "alert", "mask", "mask"),
        ("tokenize", "mask", "alert", "mask"),
        ("alert", "tokenize", "alert", "tokenize"),
        ("alert", "alert", "alert", "alert"),
    ] {
        let dlp = |action| format!("dlp: {{ rules: [{}] }}", rule("EMAIL_ADDRESS", "request", action));
        let policy = compile_layers(&[
            (Layer::Platform, &dlp(platform)),
            (Layer::Tenant, &dlp(own)),
            (Layer::Agent, &dlp(agent)),
        ])
        .unwrap();
        assert_eq!(action_of(policy.request_rules(), "EMAIL_ADDRESS").as_deref(), Some(expected));
        assert!(policy.response_rules().is_empty());
    }
}

#[test]
fn selectors_reach_own_detectors_of_outer_layers() {
    let own = "dlp: { detectors: [{ id: PROJECT, terms: [falcon] }] }";
    for selector in ["PROJECT", "custom", "custom.*", "*"] {
        let agent = format!("dlp: {{ rules: [{}] }}", rule(selector, "both", "mask"));
        let policy = compile_layers(&[(Layer::Tenant, own), (Layer::Agent, &agent)]).unwrap();
        assert_eq!(action_of(policy.response_rules(), "PROJECT").as_deref(), Some("mask"), "{selector}");
        assert_eq!(policy.request_rules().scan(b"the falcon").matches.len(), 1);
    }
    let clash = "dlp: { detectors: [{ id: project, terms: [x] }] }";
    assert!(error(&[(Layer::Tenant, own), (Layer::Agent, clash)]).1.starts_with("dlp.detectors[0].id:"));
}

#[test]
fn tenants_cannot_allow_values_past_the_platforms_rules() {
    let scan = |layers: &[(Layer, &str)], text: &str| {
        compile_layers(layers).unwrap().request_rules().scan(text.as_bytes()).clean()
    };
    let rules = |action| format!("dlp: {{ rules: [{}] }}", rule("EMAIL_ADDRESS", "request", action));
    let own = "dlp: { rules: [{ detect: [EMAIL_ADDRESS], on: request, action: mask }], allow_values: ['a@acme.example'] }";
    let text = "write to a@acme.example now";
    assert!(scan(&[(Layer::Tenant, own)], text), "the tenant's own rule");
    assert!(!scan(&[(Layer::Platform, &rules("block")), (Layer::Tenant, own)], text), "the platform's rule");
    let unrelated = "dlp: { rules: [{ detect: [CREDIT_CARD], on: request, action: block }] }";
    assert!(scan(&[(Layer::Platform, unrelated), (Layer::Tenant, own)], text), "a rule about something else");
    let both = format!(
        "dlp: {{ rules: [{}], allow_values: ['a@acme.example'] }}",
        rule("EMAIL_ADDRESS", "request", "block")
    );
    assert!(scan(&[(Layer::Platform, &both), (Layer::Tenant, own)], text), "the platform allows it too");
    assert!(
        !scan(&[(Layer::Tenant, own), (Layer::Agent, "dlp: { allow_values: [] }")], text),
        "an agent narrows"
    );
    let widened = "dlp: { allow_values: ['a@acme.example', 'b@acme.example'] }";
    assert!(
        !scan(&[(Layer::Tenant, own), (Layer::Agent, widened)], "b@acme.example"),
        "an agent does not widen"
    );
}

#[test]
fn examples_pass_only_where_no_layer_refuses() {
    let passes = |layers: &[(Layer, &str)]| {
        let rules = "dlp: { rules: [{ detect: [CREDIT_CARD], on: both, action: mask }] }";
        let layers = [&[(Layer::Platform, rules)], layers].concat();
        compile_layers(&layers).expect("compiles").request_rules().scan(b"4111 1111 1111 1111").clean()
    };
    let (yes, no) = ("dlp: { ignore_examples: true }", "dlp: { ignore_examples: false }");
    assert!(!passes(&[(Layer::Tenant, "{}")]));
    assert!(passes(&[(Layer::Tenant, yes)]));
    assert!(passes(&[(Layer::Agent, yes)]));
    assert!(!passes(&[(Layer::Tenant, no), (Layer::Agent, yes)]));
    assert!(!passes(&[(Layer::Tenant, yes), (Layer::Agent, no)]));
    let platform =
        "dlp: { ignore_examples: false, rules: [{ detect: [CREDIT_CARD], on: both, action: mask }] }";
    let policy = compile_layers(&[(Layer::Platform, platform), (Layer::Tenant, yes)]).expect("compiles");
    assert!(!policy.request_rules().scan(b"4111 1111 1111 1111").clean());
}

#[test]
fn one_block_of_the_uninspectable_is_enough() {
    let state =
        |what: Option<&str>| what.map_or("{}".to_owned(), |what| format!("dlp: {{ uninspectable: {what} }}"));
    for (platform, own, expected) in [
        (None, None, Uninspectable::Block),
        (None, Some("allow"), Uninspectable::Allow),
        (Some("block"), Some("allow"), Uninspectable::Block),
        (Some("allow"), Some("block"), Uninspectable::Block),
        (Some("allow"), None, Uninspectable::Allow),
    ] {
        let policy =
            compile_layers(&[(Layer::Platform, &state(platform)), (Layer::Tenant, &state(own))]).unwrap();
        assert_eq!(policy.uninspectable(), expected, "{platform:?} {own:?}");
    }
}

#[test]
fn traces_are_kept_as_surely_as_the_strictest_layer_says() {
    let settings =
        |durability, when_full| TraceSettings { durability, when_full, ..TraceSettings::default() };
    for (platform, tenant, expected) in [
        ("{}", "{}", settings(Durability::Written, WhenFull::Drop)),
        ("{}", "traces: { when_full: refuse }", settings(Durability::Written, WhenFull::Refuse)),
        (
            "traces: { durability: synced, when_full: refuse }",
            "traces: { durability: written, when_full: drop }",
            settings(Durability::Synced, WhenFull::Refuse),
        ),
    ] {
        let policy = compile_layers(&[(Layer::Platform, platform), (Layer::Tenant, tenant)]).unwrap();
        assert_eq!(policy.traces(), expected, "{platform} {tenant}");
    }
}

#[test]
fn traces_are_kept_for_the_shortest_time_that_a_layer_says() {
    for (platform, tenant, expected) in [
        ("{}", "{}", (None, None)),
        ("traces: { keep_days: 30 }", "{}", (Some(30), None)),
        ("traces: { keep_days: 30 }", "traces: { keep_days: 90, keep_body_days: 7 }", (Some(30), Some(7))),
        ("traces: { keep_body_days: 3 }", "traces: { keep_days: 1, keep_body_days: 7 }", (Some(1), Some(3))),
    ] {
        let policy = compile_layers(&[(Layer::Platform, platform), (Layer::Tenant, tenant)]).unwrap();
        let traces = policy.traces();
        let days = |days: Option<NonZeroU32>| days.map(NonZeroU32::get);
        assert_eq!((days(traces.keep_days), days(traces.keep_body_days)), expected, "{platform} {tenant}");
    }
}

#[test]
fn limits_take_the_lowest_and_agents_have_their_own() {
    let policy = compile_layers(&[
        (
            Layer::Platform,
            "{ limits: { requests_per_minute: 100, body_bytes: 1000 }, capture: masked, max_staleness_seconds: 60 }",
        ),
        (Layer::Tenant, "{ limits: { requests_per_minute: 600, concurrent_requests: 64 }, max_staleness_seconds: 600 }"),
        (Layer::Agent, "{ limits: { requests_per_minute: 5, body_bytes: 500 }, capture: none }"),
    ])
    .unwrap();
    let limits = |rate, concurrent| Limits {
        requests_per_minute: NonZeroU32::new(rate),
        tokens_per_minute: None,
        concurrent_requests: NonZeroU32::new(concurrent),
    };
    assert_eq!(policy.limits(), limits(100, 64));
    assert_eq!(policy.agent_limits(), limits(5, 0));
    assert_eq!(policy.body_bytes_max(), 500);
    assert_eq!(policy.capture(), Capture::None);
    assert_eq!(
        policy.max_staleness_seconds(),
        Some(60),
        "the tenant cannot ask for more than the platform allows"
    );
}

#[test]
fn limits_of_each_agent_and_key_come_from_all_layers() {
    let tenant = "{ limits: { tokens_per_minute: 900, per_agent: { requests_per_minute: 60, tokens_per_minute: 100 } } }";
    let layers = [
        (
            Layer::Platform,
            "{ limits: { per_agent: { requests_per_minute: 90 }, per_key: { concurrent_requests: 4 } } }",
        ),
        (Layer::Tenant, tenant),
        (
            Layer::Agent,
            "{ limits: { tokens_per_minute: 500, requests_per_minute: 5, per_key: { concurrent_requests: 9 } } }",
        ),
    ];
    let limits = |requests, tokens, concurrent| Limits {
        requests_per_minute: NonZeroU32::new(requests),
        tokens_per_minute: NonZeroU32::new(tokens),
        concurrent_requests: NonZeroU32::new(concurrent),
    };
    let of = |policy: TenantPolicy| (policy.limits(), policy.agent_limits(), policy.key_limits());
    let without = compile_layers(layers.split_last().unwrap().1).unwrap();
    assert_eq!(of(without), (limits(0, 900, 0), limits(60, 100, 0), limits(0, 0, 4)));
    let with = compile_layers(&layers).unwrap();
    assert_eq!(of(with), (limits(0, 900, 0), limits(5, 100, 0), limits(0, 0, 4)));
    let (layer, message) = error(&[(Layer::Agent, "{ limits: { per_agent: { requests_per_minute: 5 } } }")]);
    assert_eq!(layer, Layer::Agent);
    assert!(message.starts_with("limits.per_agent: "), "{message}");
}

#[test]
fn the_least_capture_counts_and_originals_are_the_tenants_decision() {
    let (platform, tenant, agent) = (Layer::Platform, Layer::Tenant, Layer::Agent);
    for (layers, expected) in [
        (vec![(tenant, "{ capture: sealed }")], Capture::Sealed),
        (vec![(tenant, "{ capture: sealed }"), (agent, "{ capture: masked }")], Capture::Masked),
        (vec![(tenant, "{ capture: masked }"), (agent, "{ capture: sealed }")], Capture::Masked),
        (vec![(tenant, "{}"), (agent, "{ capture: sealed }")], Capture::Sealed),
        (vec![(platform, "{ capture: masked }"), (tenant, "{ capture: sealed }")], Capture::Masked),
        (vec![(platform, "{ capture: none }"), (tenant, "{ capture: sealed }")], Capture::None),
    ] {
        assert_eq!(compile_layers(&layers).unwrap().capture(), expected, "{layers:?}");
    }
    let (layer, error) = error(&[(platform, "{ capture: sealed }"), (tenant, "{}")]);
    assert!(layer == platform && error.contains("state it in the tenant's"), "{error}");
}

#[test]
fn budgets_of_all_layers_apply_under_their_own_names() {
    let budget = |scope: &str, limit: &str| {
        format!(
            "budgets: [{{ id: month, scope: {scope}, unit: usd, limit: {limit}, window: month, time_zone: Europe/Berlin, at_limit: cut, alert_at: [1, 0.333333, 0.5] }}]"
        )
    };
    let policy = compile_layers(&[
        (Layer::Agent, &budget("key", "1.5")),
        (Layer::Platform, &budget("tenant", "1000")),
        (Layer::Tenant, &budget("tenant", "'500.00'")),
    ])
    .unwrap();
    let found: Vec<_> =
        policy.budgets().iter().map(|spec| (spec.id.as_str(), spec.limit, spec.scope)).collect();
    let dollar = 1_000_000_000;
    assert_eq!(
        found,
        [
            ("platform:month", 1_000 * dollar, BudgetScope::Tenant),
            ("month", 500 * dollar, BudgetScope::Tenant),
            ("agent:month", 3 * dollar / 2, BudgetScope::Key),
        ]
    );
    assert_eq!(policy.budgets()[2].alert_at, [499_999_500, 750_000_000, 1_500_000_000]);
    assert_eq!(policy.budgets()[0].time_zone, chrono_tz::Europe::Berlin);
}

#[test]
fn prices_are_the_platforms_then_the_tenants_then_ours() {
    let price = |usd: &str| format!("input_usd_per_mtok: {usd}, output_usd_per_mtok: {usd}");
    let policy = compile_layers(&[
        (Layer::Platform, &format!("{{ prices: {{ gpt-4: {{ {} }} }}, unknown_price: {{ assume: {{ {} }} }} }}", price("7"), price("20"))),
        (Layer::Tenant, &format!("{{ prices: {{ gpt-4: {{ {0} }}, gpt-4o: {{ {0} }} }}, unknown_price: {{ assume: {{ {0} }} }} }}", price("1"))),
    ])
    .unwrap();
    let input = |model| policy.price(model).unwrap().input_nano_per_mtok / 1_000_000_000;
    assert_eq!(
        [input("gpt-4"), input("gpt-4o"), input("no-such-model"), input("gpt-4-turbo")],
        [7, 1, 20, 10]
    );
    let source = |model| policy.priced(model).unwrap().1;
    for (model, expected) in [
        ("gpt-4", PriceSource::Platform),
        ("gpt-4o", PriceSource::Tenant),
        ("gpt-5", PriceSource::Builtin),
        ("no-such-model", PriceSource::Assumed),
    ] {
        assert_eq!(source(model), expected, "{model}");
    }
    assert_eq!(policy.stated_prices().count(), 2);
    let overridden = policy.price("gpt-4o").unwrap();
    assert_eq!(overridden.max_output_tokens, Some(16_384), "the ceiling is still ours");
    assert_eq!(overridden.cached_input_nano_per_mtok, overridden.input_nano_per_mtok);
    let refused = compile_layers(&[
        (Layer::Platform, "unknown_price: refuse"),
        (Layer::Tenant, &format!("unknown_price: {{ assume: {{ {} }} }}", price("1"))),
    ])
    .unwrap();
    assert_eq!(refused.price("no-such-model"), None);
}

#[test]
fn equal_detectors_are_compiled_once_while_in_use() {
    let text =
        "dlp: { detectors: [{ id: X, terms: [falcon] }], rules: [{ detect: [X], on: both, action: mask }] }";
    let document = PolicyDocument::parse(text, &CheckOptions::default()).unwrap();
    let cache = DetectorCache::default();
    let once = || {
        let layers = [(Layer::Tenant, &document)];
        let (credentials, options) = (HashMap::new(), CompileOptions::default());
        let input = CompileInput {
            revision: Revision::new(1),
            layers: &layers,
            credentials: &credentials,
            options: &options,
            detectors: &cache,
            value_key: None,
            data_key: None,
        };
        compile(&input).unwrap()
    };
    let (first, second) = (once(), once());
    assert!(Arc::ptr_eq(
        first.request_rules().rules().next().unwrap().detector,
        second.request_rules().rules().next().unwrap().detector
    ));
}

#[test]
fn own_detectors_are_bounded_in_number_and_size() {
    let check = |documents: &str, options: CompileOptions, expected: &str| {
        let document = PolicyDocument::parse(documents, &CheckOptions::default()).unwrap();
        let (credentials, detectors) = (HashMap::new(), DetectorCache::default());
        let input = CompileInput {
            revision: Revision::new(1),
            layers: &[(Layer::Tenant, &document)],
            credentials: &credentials,
            options: &options,
            detectors: &detectors,
            value_key: None,
            data_key: None,
        };
        let error = compile(&input).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let two = "dlp: { detectors: [{ id: A, terms: [blue falcon] }, { id: B, regex: 'EMP-[0-9]{6}' }] }";
    let options = CompileOptions::default();
    check(
        two,
        CompileOptions { detectors_max: 1, ..options.clone() },
        "dlp.detectors: found 2, expected at most 1 detectors",
    );
    check(two, CompileOptions { automata_bytes_max: 100, ..options.clone() }, "dlp.detectors[0]");
    check(two, CompileOptions { automata_bytes_max: 100, ..options }, "at most 100; use fewer terms");
}

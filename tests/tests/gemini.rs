//! What only Gemini has: the model and the method in the path, a key in the query, streams as one array.

use bulkhead_tests::samples::{CARD, github_token};
use bulkhead_tests::shapes::{
    ARRAY, GENERATE, STREAM, array, code_of, error_of, gemini_stream, generate, generate_answer,
};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Answer, Shared, run};
use serde_json::{Value, json};

static SHARED: Shared = Shared::new(
    r#"
dlp:
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD], on: both, action: mask }
"#,
);

/// Lets the provider stream `pieces` as one array.
fn script_array(fixture: &bulkhead_tests::Fixture, model: &str, pieces: &[&str]) {
    let body = array(&gemini_stream(pieces));
    fixture.provider.on(model, Answer::bytes(200, "application/json", body).recut(50).chunked());
}

#[test]
fn a_card_in_two_elements_of_an_array_is_masked() {
    run(async {
        let fixture = SHARED.get().await;
        for at in 1..CARD.len() {
            let model = format!("gemini-array-{at}");
            script_array(fixture, &model, &["pay ", &CARD[..at], &CARD[at..], " now"]);
            let reply = fixture.client().post(ARRAY, &generate(&model, "hi")).await.expect(200);
            let events = reply.json();
            let texts = events.as_array().expect("an array").iter();
            let text: String = texts
                .filter_map(|event| event["candidates"][0]["content"]["parts"][0]["text"].as_str())
                .collect();
            assert!(text.starts_with("pay [") && text.ends_with("] now"), "{text}");
            assert_eq!(
                fixture.provider.only(&model).target,
                format!("/v1beta/models/{model}:streamGenerateContent")
            );
            let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
            assert_eq!(
                (&trace["outcome"], &trace["tokens"]["output"]),
                (&json!("masked"), &json!(4)),
                "{trace}"
            );
            assert_eq!(trace["tokens"]["estimated"], false, "{trace}");
        }
    });
}

#[test]
fn a_secret_in_two_elements_of_an_array_blocks_it_before_its_first_byte() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(70);
        let model = "gemini-array-blocked";
        script_array(fixture, model, &["see ", &token[..20], &token[20..], " there"]);
        let reply = fixture.client().post(ARRAY, &generate(model, "hi")).await.expect(400);
        assert_eq!(code_of(&error_of(ARRAY, &reply.json())), "dlp_blocked");
        assert_absent(&token[..20], "the answer", &reply.text());
    });
}

#[test]
fn a_clean_array_arrives_byte_for_byte() {
    run(async {
        let fixture = SHARED.get().await;
        script_array(fixture, "gemini-array-clean", &["nothing ", "to \"see\" ", "here"]);
        let reply = fixture.client().post(ARRAY, &generate("gemini-array-clean", "hi")).await.expect(200);
        assert_eq!(reply.body, array(&gemini_stream(&["nothing ", "to \"see\" ", "here"])));
    });
}

#[test]
fn a_key_in_the_query_opens_the_door_and_goes_no_further() {
    run(async {
        let fixture = SHARED.get().await;
        let key = &fixture.bulkhead.ready.api_key;
        let client = fixture.client().without_key();
        let path = |model: &str, query: &str| format!("/v1beta/models/{model}:generateContent?{query}");
        let target = path("gemini-query-key", &format!("key={key}&alt=json&access_token=ya29.x"));
        client.post(&target, &generate("gemini-query-key", "hi")).await.expect(200);
        let seen = fixture.provider.only("gemini-query-key");
        assert_eq!(seen.target, path("gemini-query-key", "alt=json"));
        assert_absent(key, "the request", &format!("{:?}", seen.headers));
        assert!(seen.header("x-goog-api-key").is_some_and(|sent| sent != key));
        assert_eq!(seen.header("authorization"), None);
        // Elsewhere a key in the query is no key.
        let reply = client.post(&format!("/v1/messages?key={key}"), &json!({})).await;
        assert_eq!(reply.status, 401, "{}", reply.text());
        let (target, request) = (path("gemini-two-keys", "key=bh_dev_x"), generate("gemini-two-keys", "hi"));
        let reply = fixture.client().post(&target, &request).await.expect(400);
        assert_eq!(code_of(&error_of(GENERATE, &reply.json())), "conflicting_api_keys");
        assert!(fixture.provider.seen("gemini-two-keys").is_empty());
    });
}

#[test]
fn a_path_with_two_readings_goes_nowhere() {
    run(async {
        let fixture = SHARED.get().await;
        let contents = json!([{"parts": [{"text": "two readings"}]}]);
        for path in [
            "/v1beta/models/gemini-a:generateContent/",
            "/v1beta/models/gemini-a:generateContent%20",
            "/v1beta/models/gemini-a%3AcountTokens:generateContent",
            "/v1beta/models/gemini-a:b:generateContent",
            "/v1beta/models/gemini-a%2F..%2Fb:generateContent",
            "/v1beta/models/..:generateContent",
            "/v1beta/models/gemini-a:predict",
            "/v1beta/cachedContents",
            "/v1beta/corpora/a:query",
        ] {
            let reply = fixture.client().post(path, &json!({"contents": contents})).await.expect(404);
            error_of(path, &reply.json());
        }
        let wrong_type = json!({"model": "a", "contents": contents, "generationConfig": 1});
        let reply = fixture.client().post(GENERATE, &wrong_type).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        for seen in fixture.provider.all() {
            assert!(!String::from_utf8_lossy(&seen.body).contains("two readings"), "{}", seen.target);
        }
    });
}

#[test]
fn the_paths_model_is_what_the_policy_judges() {
    run(async {
        let fixture = SHARED.get().await;
        let policy = format!(
            "{}allow: {{ operations: [generate_content], models: [\"gemini-ok\"] }}\n",
            fixture.upstreams()
        );
        let tenant = fixture.bulkhead.tenant("gemini-models", "sk-g", &policy).await;
        tenant.client.post(GENERATE, &generate("gemini-ok", "hi")).await.expect(200);
        assert_eq!(fixture.provider.only("gemini-ok").header("x-goog-api-key"), Some("sk-g"));
        let bare = json!({"contents": [{"parts": [{"text": "hi"}]}]});
        let path = "/v1beta/models/gemini%2Dok:generateContent";
        tenant.client.post(path, &bare).await.expect(200);
        for (path, code) in [
            ("/v1beta/models/gemini-no:generateContent", "model_not_allowed"),
            ("/v1beta/models/gemini-no:streamGenerateContent?alt=sse", "model_not_allowed"),
            ("/v1beta/tunedModels/gemini-ok:generateContent", "model_not_allowed"),
            ("/v1beta/models/gemini-ok:countTokens", "operation_not_allowed"),
        ] {
            let reply = tenant.client.post(path, &bare).await.expect(400);
            assert_eq!(code_of(&error_of(path, &reply.json())), code, "{path}");
        }
        let mut lying = generate("gemini-no", "hi");
        lying["generationConfig"] = Value::Null;
        let reply = tenant.client.post("/v1beta/models/gemini-ok:generateContent", &lying).await.expect(400);
        assert_eq!(code_of(&error_of(GENERATE, &reply.json())), "ambiguous_parameter");
    });
}

#[test]
fn parts_that_cannot_be_read_follow_the_policy() {
    run(async {
        let fixture = SHARED.get().await;
        let part = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}});
        let file =
            json!({"file_data": {"file_uri": "https://generativelanguage.googleapis.com/v1beta/files/a"}});
        let allow = format!(
            "{}dlp: {{ uninspectable: allow, rules: [{{ detect: [CREDIT_CARD], on: both, action: mask }}] }}\n",
            fixture.upstreams()
        );
        let tenant = fixture.bulkhead.tenant("gemini-parts", "sk-g", &allow).await;
        for (number, part) in [part, file].into_iter().enumerate() {
            let model = format!("gemini-part-{number}");
            let mut request = generate(&model, "look");
            request["contents"][0]["parts"].as_array_mut().expect("parts").push(part);
            let reply = fixture.client().post(GENERATE, &request).await.expect(400);
            assert_eq!(code_of(&error_of(GENERATE, &reply.json())), "uninspectable");
            assert!(fixture.provider.seen(&model).is_empty());
            tenant.client.post(GENERATE, &request).await.expect(200);
        }
    });
}

#[test]
fn a_ceiling_goes_into_the_generation_config() {
    run(async {
        let fixture = SHARED.get().await;
        let budget = "budgets:\n  - { id: wall, scope: tenant, unit: tokens, limit: 400, window: day, at_limit: cut }\n";
        let policy = format!("{}{budget}", fixture.upstreams());
        let tenant = fixture.bulkhead.tenant("gemini-ceiling", "sk-g", &policy).await;
        let mut request = generate("gemini-ceiling", "hi");
        request["generation_config"] =
            json!({"max_output_tokens": 9000, "thinkingConfig": {"thinkingBudget": 10}});
        fixture.provider.on("gemini-ceiling", Answer::json(200, &generate_answer("ok")));
        tenant.client.post(GENERATE, &request).await.expect(200);
        let config = fixture.provider.only("gemini-ceiling").json()["generation_config"].clone();
        assert!(config["max_output_tokens"].as_u64().is_some_and(|max| max < 400), "{config}");
        assert_eq!(config["thinkingConfig"], json!({"thinkingBudget": 10}));
    });
}

#[test]
fn vectors_are_no_output() {
    run(async {
        let fixture = SHARED.get().await;
        let values = vec![0.123_456_789; 3000];
        fixture.provider.on("gemini-vectors", Answer::json(200, &json!({"embedding": {"values": values}})));
        let path = "/v1beta/models/gemini-vectors:embedContent";
        let request = json!({"content": {"parts": [{"text": "hi"}]}});
        let reply = fixture.client().post(path, &request).await.expect(200);
        let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
        assert_eq!(
            (&trace["operation"], &trace["tokens"]["output"]),
            (&json!("embeddings"), &json!(0)),
            "{trace}"
        );
        assert!(trace["tokens"]["input"].as_u64().is_some_and(|input| input > 0), "{trace}");
    });
}

#[test]
fn a_list_of_models_comes_from_geminis_upstream() {
    run(async {
        let fixture = SHARED.get().await;
        for path in ["/v1beta/models?pageSize=5", "/gemini/v1beta/models"] {
            let reply = fixture.client().get(path).await.expect(200);
            assert!(reply.json()["models"].is_array(), "{}", reply.text());
        }
        let call = fixture.client().call("GET", "/v1beta/models/gemini-2.5-flash:generateContent");
        assert_eq!(call.send().await.header("allow"), Some("POST"));
        let stream = fixture.client().post(STREAM, &generate("gemini-plain", "hi")).await.expect(200);
        assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    });
}

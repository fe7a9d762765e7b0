use super::*;

#[test]
fn model_and_method_are_read_from_the_path() {
    let cases = [
        ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash", Method::Generate),
        ("/v1/models/gemini-2.5-flash:streamGenerateContent", "gemini-2.5-flash", Method::StreamGenerate),
        ("/v1beta/models/gemini%2D2%2e5-%66lash:countTokens", "gemini-2.5-flash", Method::CountTokens),
        ("/v1beta/tunedModels/mine_1:generateContent", "tunedModels/mine_1", Method::Generate),
        ("/v1beta/models/e:embedContent", "e", Method::Embed),
        ("/v1beta/models/e:batchEmbedContents", "e", Method::BatchEmbed),
    ];
    for (path, model, method) in cases {
        assert_eq!(Call::read(path), Some(Call { model: model.into(), method }), "{path}");
    }
}

#[test]
fn a_path_with_two_readings_is_none() {
    let long = format!("/v1beta/models/{}:generateContent", "m".repeat(257));
    let paths = [
        "/v1beta/models/a",
        "/v1beta/models/:generateContent",
        "/v1beta/models/a:",
        "/v1beta/models/a:b:generateContent",
        "/v1beta/models/a%3Ab:generateContent",
        "/v1beta/models/a%3AcountTokens:generateContent",
        "/v1beta/models/a:generateContent:countTokens",
        "/v1beta/models/a:generateContent/",
        "/v1beta/models/a:generateContent/x",
        "/v1beta/models/a:generateContent%20",
        "/v1beta/models/a:generateContent;x=1",
        "/v1beta/models/a:generat%65Content",
        "/v1beta/models/a:GenerateContent",
        "/v1beta/models/a%:generateContent",
        "/v1beta/models/a%2:generateContent",
        "/v1beta/models/a%+1:generateContent",
        "/v1beta/models/a%\u{e9}:generateContent",
        "/v1beta/models/a%2Fb:generateContent",
        "/v1beta/models/a%252Fb:generateContent",
        "/v1beta/models/a%00:generateContent",
        "/v1beta/models/..:generateContent",
        "/v1beta/models/%2e%2e:generateContent",
        "/v1beta/models/a/b:generateContent",
        "/v1beta/models//a:generateContent",
        "/v1beta/Models/a:generateContent",
        "/v1beta//models/a:generateContent",
        "/v1beta/cachedContents/a:generateContent",
        "/v1beta/models/a:predict",
        "/v1alpha/models/a:generateContent",
        "/v2/models/a:generateContent",
        &long,
    ];
    for path in paths {
        assert_eq!(Call::read(path), None, "{path}");
    }
}

#[test]
fn a_body_names_the_model_with_or_without_its_collection() {
    let call = Call::read("/v1beta/models/a:generateContent").unwrap();
    assert!(call.is_model("models/a") && call.is_model("a"));
    assert!(!call.is_model("models/b") && !call.is_model("models/models/a") && !call.is_model(""));
}

use crate::json::{Document, Limits, splice};
use crate::request::{BadRequest, RequestHead, max_output_tokens_edit, read};
use crate::{Endpoint, classify};

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const STREAM: &str = "/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent";
const COUNT: &str = "/v1beta/models/gemini-2.5-flash:countTokens";
const EMBED: &str = "/v1beta/models/gemini-embedding-001:embedContent";
const BATCH: &str = "/v1beta/models/gemini-embedding-001:batchEmbedContents";

fn endpoint(path: &str) -> Endpoint {
    classify("POST", path, None).unwrap()
}

fn read_at(path: &str, body: &str) -> Result<RequestHead, BadRequest> {
    read(endpoint(path), path, &Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap())
}

#[test]
fn the_head_is_read_from_path_and_body() {
    let plain =
        RequestHead { model: Some("gemini-2.5-flash".to_owned()), choices: 1, ..RequestHead::default() };
    let asked = RequestHead { max_output_tokens: Some(9), choices: 2, ..plain.clone() };
    let embedding = RequestHead { model: Some("gemini-embedding-001".to_owned()), ..plain.clone() };
    let cases = [
        (GENERATE, "{}", plain.clone()),
        (GENERATE, "{\"generationConfig\":null,\"model\":\"models/gemini-2.5-flash\"}", plain.clone()),
        (STREAM, "{\"contents\":[]}", RequestHead { stream: true, ..plain.clone() }),
        (GENERATE, "{\"generationConfig\":{\"maxOutputTokens\":9,\"candidateCount\":2}}", asked.clone()),
        (GENERATE, "{\"generation_config\":{\"max_output_tokens\":9,\"candidate_count\":2}}", asked),
        (COUNT, "{\"generateContentRequest\":{\"model\":\"models/gemini-2.5-flash\"}}", plain),
        (EMBED, "{\"content\":{\"parts\":[{\"text\":\"a\"}]}}", embedding.clone()),
        (BATCH, "{\"requests\":[{\"model\":\"models/gemini-embedding-001\"},{}]}", embedding),
    ];
    for (path, body, expected) in cases {
        assert_eq!(read_at(path, body), Ok(expected), "{path} {body}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let model = "the path names";
    let cases = [
        (GENERATE, "[]", "", "a JSON object"),
        (GENERATE, "{\"model\":\"models/other\"}", "model", model),
        (GENERATE, "{\"model\":7}", "model", model),
        (COUNT, "{\"generate_content_request\":{\"model\":\"models/other\"}}", "model", model),
        (BATCH, "{\"requests\":[{},{\"model\":\"models/other\"}]}", "model", model),
        (BATCH, "{\"requests\":[{\"model\":null,\"model\":null}]}", "model", "once"),
        (GENERATE, "{\"contents\":[],\"contents\":[]}", "contents", "once"),
        (GENERATE, "{\"Contents\":[]}", "contents", "own spelling"),
        (GENERATE, "{\"generationConfig\":{},\"generation_config\":{}}", "generationConfig", "once"),
        (GENERATE, "{\"generation_Config\":{}}", "generationConfig", "own spelling"),
        (GENERATE, "{\"systemInstruction\":{},\"system_instruction\":{}}", "systemInstruction", "once"),
        (GENERATE, "{\"generationConfig\":[]}", "generationConfig", "an object or null"),
        (
            GENERATE,
            "{\"generationConfig\":{\"maxOutputTokens\":1,\"max_output_tokens\":2}}",
            "maxOutputTokens",
            "once",
        ),
        (
            GENERATE,
            "{\"generationConfig\":{\"maxOutputTokens\":\"9\"}}",
            "generationConfig.maxOutputTokens",
            "an integer",
        ),
        (
            GENERATE,
            "{\"generationConfig\":{\"maxOutputTokens\":100000001}}",
            "generationConfig.maxOutputTokens",
            "from 1 to 100000000",
        ),
        (
            GENERATE,
            "{\"generation_config\":{\"max_output_tokens\":-1}}",
            "generationConfig.maxOutputTokens",
            "an integer",
        ),
        (
            GENERATE,
            "{\"generationConfig\":{\"maxOutputTokens\":1.5}}",
            "generationConfig.maxOutputTokens",
            "an integer",
        ),
        (
            GENERATE,
            "{\"generationConfig\":{\"candidateCount\":129}}",
            "generationConfig.candidateCount",
            "from 1 to 128",
        ),
        (
            GENERATE,
            "{\"generationConfig\":{\"candidateCount\":0}}",
            "generationConfig.candidateCount",
            "from 1 to 128",
        ),
    ];
    for (path, body, param, expected) in cases {
        let refused = read_at(path, body).unwrap_err();
        assert_eq!(refused.param.unwrap_or(""), param, "{body}");
        assert!(refused.message.contains(expected), "{body}: {}", refused.message);
    }
}

#[test]
fn parts_that_cannot_be_read_are_found() {
    let cases = [
        (true, "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AA\"}}"),
        (true, "{\"inline_data\":{\"mime_type\":\"application/pdf\",\"data\":\"AA\"}}"),
        (true, "{\"fileData\":{\"fileUri\":\"https://a.example/files/1\"}}"),
        (true, "{\"file_data\":{\"file_uri\":\"files/1\"}}"),
        (true, "{\"functionResponse\":{\"parts\":[{\"inlineData\":{\"data\":\"AA\"}}]}}"),
        (false, "{\"inlineData\":null}"),
        (false, "{\"inlineData\":{\"data\":\"\"}}"),
        (false, "{\"properties\":{\"fileData\":{\"type\":\"string\"}}}"),
        (false, "{\"text\":\"inlineData\"}"),
    ];
    for (binary, part) in cases {
        let body = format!("{{\"contents\":[{{\"parts\":[{part}]}}]}}");
        assert_eq!(read_at(GENERATE, &body).unwrap().parts.is_binary, binary, "{part}");
    }
}

#[test]
fn output_is_kept_within_the_ceiling() {
    let cases = [
        (GENERATE, "{}", Some("{\"generationConfig\":{\"maxOutputTokens\":50}}")),
        (
            STREAM,
            "{\"contents\":[]}",
            Some("{\"generationConfig\":{\"maxOutputTokens\":50},\"contents\":[]}"),
        ),
        (GENERATE, "{\"generation_config\":null}", Some("{\"generation_config\":{\"maxOutputTokens\":50}}")),
        (
            GENERATE,
            "{\"generationConfig\":{\"topK\":1}}",
            Some("{\"generationConfig\":{\"maxOutputTokens\":50,\"topK\":1}}"),
        ),
        (
            GENERATE,
            "{\"generation_config\":{\"max_output_tokens\":51}}",
            Some("{\"generation_config\":{\"max_output_tokens\":50}}"),
        ),
        (GENERATE, "{\"generationConfig\":{\"maxOutputTokens\":50}}", None),
        (COUNT, "{}", None),
        (EMBED, "{}", None),
    ];
    for (path, body, expected) in cases {
        let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
        let edit = max_output_tokens_edit(endpoint(path), &document, 50);
        let edited = edit.map(|edit| String::from_utf8(splice(body.as_bytes(), &[edit])).unwrap());
        assert_eq!(edited.as_deref(), expected, "{path} {body}");
    }
}

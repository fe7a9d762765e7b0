//! Readers of requests: whatever JSON a body is, what they report stands in it, and their edits do what they say.

use bulkhead_dialect::json::{Document, Limits, splice};
use bulkhead_dialect::request::{
    RequestHead, include_usage_edit, max_output_tokens_edit, messages, read, texts,
};
use bulkhead_dialect::{Endpoint, classify};

use crate::spelled;

/// A path of each kind of request.
pub(crate) const PATHS: [&str; 11] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1beta/models/gemini-2.5-flash:generateContent",
    "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
    "/v1beta/models/gemini-2.5-flash:batchEmbedContents",
    "/v1beta/models/gemini-2.5-flash:countTokens",
];

const PIECES: [&str; 60] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"\"",
    "\"a\"",
    "\"A\\u0042\"",
    "1",
    "0",
    "-1",
    "1e2",
    "2.5",
    "1e999",
    "18446744073709551616",
    "true",
    "false",
    "null",
    " ",
    "{}",
    "[]",
    "{\"model\":\"m\",",
    "{\"messages\":[{",
    "{\"role\":\"user\",\"content\":",
    "\"model\":\"m\"",
    "\"Model\":",
    "\"mod\\u0065l\":",
    "\"stream\":",
    "\"stream\":true",
    "\"stream_options\":",
    "\"include_usage\":",
    "\"n\":",
    "\"best_of\":",
    "\"max_tokens\":",
    "\"max_completion_tokens\":",
    "\"max_output_tokens\":",
    "\"messages\":",
    "\"input\":",
    "\"prompt\":",
    "\"suffix\":",
    "\"stop\":",
    "\"system\":",
    "\"instructions\":",
    "\"tools\":",
    "\"contents\":",
    "\"parts\":",
    "\"text\":",
    "\"content\":",
    "\"output\":",
    "\"role\":\"user\"",
    "\"type\":\"image_url\"",
    "\"image_url\":",
    "\"source\":",
    "\"inlineData\":",
    "\"data\":",
    "\"generationConfig\":{",
    "\"maxOutputTokens\":",
    "\"background\":",
    "\"description\":",
];

/// The input's first byte picks the endpoint, the second a ceiling; the rest spells the body.
pub fn request(input: &[u8]) {
    let &[path, ceiling, ref rest @ ..] = input else { return };
    let path = PATHS[usize::from(path) % PATHS.len()];
    let endpoint = classify("POST", path, None).expect("a served path");
    let body = spelled(rest, &PIECES);
    let Ok(document) = Document::parse(&body, &Limits::REQUEST) else { return };

    let strings: Vec<_> = document.strings().map(|span| span.raw).collect();
    let mut seen = Vec::new();
    for part in messages(&document).flat_map(|message| texts(message).parts) {
        assert!(strings.contains(&part.span.raw), "a text that is no string");
        assert!(!seen.contains(&part.span.raw), "a text that is reported twice");
        seen.push(part.span.raw);
    }

    let Ok(head) = read(endpoint, path, &document) else { return };
    if let Some(edit) = include_usage_edit(endpoint, &document) {
        let edited = read_again(endpoint, path, &splice(&body, &[edit]));
        assert_eq!(edited, RequestHead { include_usage: true, ..head.clone() });
    }
    let ceiling = u64::from(ceiling) + 1;
    if let Some(edit) = max_output_tokens_edit(endpoint, &document, ceiling) {
        let edited = read_again(endpoint, path, &splice(&body, &[edit]));
        assert_eq!(edited, RequestHead { max_output_tokens: Some(ceiling), ..head });
    }
}

fn read_again(endpoint: Endpoint, path: &str, body: &[u8]) -> RequestHead {
    let document = Document::parse(body, &Limits::REQUEST).expect("edited JSON is JSON");
    read(endpoint, path, &document).expect("an edit breaks nothing")
}

//! Readers of answers: whatever their events say, every string is reported once, where it stands.

use bulkhead_dialect::classify;
use bulkhead_dialect::json::{Document, Limits, splice};
use bulkhead_dialect::response::{self, blank_logprobs};
use bulkhead_dialect::sse::Decoder;
use bulkhead_dialect::stream::StreamReader;
use bytes::Bytes;

use crate::request::PATHS;
use crate::spelled;

/// Stands between two events.
const NEXT: &str = "\n\ndata: ";

const PIECES: [&str; 62] = [
    NEXT,
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"\"",
    "\"a\"",
    "\"\\ud83d\"",
    "1",
    "0",
    "4111111111111111",
    "-1",
    "null",
    "true",
    "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}",
    "{\"choices\":[{",
    "\"index\":",
    "\"delta\":{",
    "\"delta\":",
    "\"content\":",
    "\"reasoning\":",
    "\"reasoning_content\":",
    "\"reasoning_details\":[{",
    "\"refusal\":",
    "\"tool_calls\":[{",
    "\"function\":{",
    "\"arguments\":",
    "\"function_call\":{",
    "\"audio\":{",
    "\"transcript\":",
    "\"logprobs\":",
    "\"token\":",
    "\"finish_reason\":\"stop\"",
    "\"usage\":",
    "\"model\":",
    "{\"type\":\"response.output_text.delta\",",
    "\"response.completed\"",
    "\"type\":",
    "\"output_index\":",
    "\"content_index\":",
    "\"item_id\":",
    "\"response\":{",
    "\"output\":[{",
    "{\"type\":\"content_block_delta\",",
    "\"content_block_start\"",
    "\"content_block\":{",
    "\"text_delta\"",
    "\"thinking\":",
    "\"input_json_delta\"",
    "\"partial_json\":",
    "{\"candidates\":[{",
    "\"parts\":[{",
    "\"text\":",
    "\"thought\":true",
    "\"functionCall\":{",
    "\"partialArgs\":[{",
    "\"jsonPath\":",
    "\"usageMetadata\":{",
    "\"message_stop\"",
    "[DONE]",
];

/// The input's first byte picks the endpoint; the rest spells the events.
pub fn reply(input: &[u8]) {
    let Some((&path, rest)) = input.split_first() else { return };
    let path = PATHS[usize::from(path) % PATHS.len()];
    let endpoint = classify("POST", path, None).expect("a served path");
    let events = [b"data: ", spelled(rest, &PIECES).as_slice(), b"\n\n"].concat();
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(Bytes::from(events)).expect("no event is larger than the limit");
    let mut reader = StreamReader::new(endpoint);
    while let Some(frame) = decoder.next() {
        let event = reader.read(&frame);
        let Some(data) = frame.data() else { continue };
        let mut last = 0;
        for text in &event.texts {
            assert!(last <= text.raw.start && text.raw.end <= data.len());
            last = text.raw.end;
        }
        let Ok(document) = Document::parse(data, &Limits::RESPONSE) else {
            assert!(!event.json);
            continue;
        };
        let _facts = response::read(endpoint, &document);
        if event.json {
            let reported = event.texts.iter().map(|text| text.raw.clone());
            assert!(reported.eq(document.strings().map(|span| span.raw)), "a string is missing");
            assert_eq!(event.logprobs, blank_logprobs(&document));
            let blanked = splice(data, &event.logprobs);
            let blanked = Document::parse(&blanked, &Limits::RESPONSE).expect("blanked JSON is JSON");
            assert!(blank_logprobs(&blanked).is_empty(), "something is left to blank");
        }
    }
}

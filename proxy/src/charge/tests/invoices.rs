//! What providers say they used, as they write it, and what that costs to the nano-dollar.

use super::settled;
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dialect::sse::Decoder;
use bulkhead_dialect::stream::StreamReader;
use bulkhead_dialect::{Usage, classify, response};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::prices::{Price, Stated};
use bytes::Bytes;

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const EMBEDDINGS: &str = "/v1/embeddings";
const MESSAGES: &str = "/v1/messages";
const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

/// A price of which every part can be told apart: 1,000 nano-dollars a token are a dollar per million.
fn price() -> Price {
    Price::of(&Stated {
        input: 2_000_000_000,
        cached_input: Some(200_000_000),
        cache_write: Some(2_500_000_000),
        long_cache_write: Some(4_000_000_000),
        audio_input: Some(30_000_000_000),
        output: 10_000_000_000,
        audio_output: Some(70_000_000_000),
        max_output_tokens: None,
    })
}

struct Invoice {
    path: &'static str,
    usage: &'static str,
    /// input, cached, cache_write, long_cache_write, audio_input, output, audio_output, reasoning
    counts: [u64; 8],
    /// Each part's tokens at its price in nano-dollars per token.
    cost: u64,
}

const INVOICES: &[Invoice] = &[
    Invoice {
        path: CHAT,
        usage: r#"{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
            "prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":192,"audio_tokens":0,
                "accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
        counts: [2006, 1920, 0, 0, 0, 300, 0, 192],
        cost: 86 * 2_000 + 1920 * 200 + 300 * 10_000,
    },
    Invoice {
        path: CHAT,
        usage: r#"{"prompt_tokens":220,"completion_tokens":500,"total_tokens":720,
            "prompt_tokens_details":{"cached_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":0,"accepted_prediction_tokens":310,
                "rejected_prediction_tokens":90}}"#,
        counts: [220, 0, 0, 0, 0, 500, 0, 0],
        cost: 220 * 2_000 + 500 * 10_000,
    },
    Invoice {
        path: CHAT,
        usage: r#"{"prompt_tokens":137,"completion_tokens":260,"total_tokens":397,
            "prompt_tokens_details":{"cached_tokens":0,"text_tokens":37,"audio_tokens":100,"image_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":0,"text_tokens":60,"audio_tokens":200}}"#,
        counts: [137, 0, 0, 0, 100, 260, 200, 0],
        cost: 37 * 2_000 + 100 * 30_000 + 60 * 10_000 + 200 * 70_000,
    },
    Invoice {
        path: CHAT,
        usage: r#"{"prompt_tokens":1339,"completion_tokens":12,"total_tokens":1351,
            "prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":1280}}"#,
        counts: [1339, 0, 1280, 0, 0, 12, 0, 0],
        cost: 59 * 2_000 + 1280 * 2_500 + 12 * 10_000,
    },
    Invoice {
        path: CHAT,
        usage: r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,
            "completion_tokens_details":{"reasoning_tokens":94}}"#,
        counts: [32, 0, 0, 0, 0, 103, 0, 94],
        cost: 32 * 2_000 + 103 * 10_000,
    },
    Invoice {
        path: CHAT,
        usage: r#"{"prompt_tokens":1500,"completion_tokens":20,"total_tokens":1520,
            "prompt_cache_hit_tokens":1472,"prompt_cache_miss_tokens":28}"#,
        counts: [1500, 1472, 0, 0, 0, 20, 0, 0],
        cost: 28 * 2_000 + 1472 * 200 + 20 * 10_000,
    },
    Invoice {
        path: RESPONSES,
        usage: r#"{"input_tokens":5000,"input_tokens_details":{"cached_tokens":4096,"cache_write_tokens":512},
            "output_tokens":800,"output_tokens_details":{"reasoning_tokens":640},"total_tokens":5800}"#,
        counts: [5000, 4096, 512, 0, 0, 800, 0, 640],
        cost: 392 * 2_000 + 4096 * 200 + 512 * 2_500 + 800 * 10_000,
    },
    Invoice {
        path: EMBEDDINGS,
        usage: r#"{"prompt_tokens":77,"total_tokens":77}"#,
        counts: [77, 0, 0, 0, 0, 0, 0, 0],
        cost: 77 * 2_000,
    },
    Invoice {
        path: MESSAGES,
        usage: r#"{"input_tokens":50,"cache_creation_input_tokens":1000,"cache_read_input_tokens":8000,
            "cache_creation":{"ephemeral_5m_input_tokens":400,"ephemeral_1h_input_tokens":600},
            "output_tokens":120,"server_tool_use":{"web_search_requests":2},"service_tier":"standard"}"#,
        counts: [9050, 8000, 1000, 600, 0, 120, 0, 0],
        cost: 50 * 2_000 + 8000 * 200 + 400 * 2_500 + 600 * 4_000 + 120 * 10_000,
    },
    Invoice {
        path: MESSAGES,
        usage: r#"{"input_tokens":4,"cache_creation_input_tokens":null,"cache_read_input_tokens":null,
            "output_tokens":7}"#,
        counts: [4, 0, 0, 0, 0, 7, 0, 0],
        cost: 4 * 2_000 + 7 * 10_000,
    },
    Invoice {
        path: MESSAGES,
        usage: r#"{"input_tokens":23000,"output_tokens":1000,"iterations":[
            {"type":"compaction","input_tokens":180000,"output_tokens":3500},
            {"type":"message","input_tokens":23000,"output_tokens":1000}]}"#,
        counts: [203_000, 0, 0, 0, 0, 4500, 0, 0],
        cost: 203_000 * 2_000 + 4500 * 10_000,
    },
    Invoice {
        path: GEMINI,
        usage: r#"{"promptTokenCount":3000,"cachedContentTokenCount":2048,"candidatesTokenCount":90,
            "thoughtsTokenCount":410,"toolUsePromptTokenCount":600,"totalTokenCount":4100,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":3000}],
            "cacheTokensDetails":[{"modality":"TEXT","tokenCount":2048}]}"#,
        counts: [3600, 2048, 0, 0, 0, 500, 0, 410],
        cost: 1552 * 2_000 + 2048 * 200 + 500 * 10_000,
    },
    Invoice {
        path: GEMINI,
        usage: r#"{"promptTokenCount":1010,"candidatesTokenCount":40,"totalTokenCount":1050,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":50},{"modality":"AUDIO","tokenCount":960}],
            "candidatesTokensDetails":[{"modality":"TEXT","tokenCount":40}]}"#,
        counts: [1010, 0, 0, 0, 960, 40, 0, 0],
        cost: 50 * 2_000 + 960 * 30_000 + 40 * 10_000,
    },
    Invoice {
        path: GEMINI,
        usage: r#"{"promptTokenCount":1010,"cachedContentTokenCount":1000,"candidatesTokenCount":40,
            "totalTokenCount":1050,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":50},{"modality":"AUDIO","tokenCount":960}]}"#,
        counts: [1010, 1000, 0, 0, 960, 40, 0, 0],
        cost: 50 * 200 + 960 * 30_000 + 40 * 10_000,
    },
];

fn counts(usage: Usage) -> [u64; 8] {
    let Usage { input, cached_input, cache_write, long_cache_write, audio_input, output, .. } = usage;
    let Usage { audio_output, reasoning, .. } = usage;
    [input, cached_input, cache_write, long_cache_write, audio_input, output, audio_output, reasoning]
}

#[test]
fn invoices_are_read_and_charged_to_the_nano_dollar() {
    for invoice in INVOICES {
        let Invoice { path, usage, .. } = invoice;
        let member = if *path == GEMINI { "usageMetadata" } else { "usage" };
        let body = format!("{{\"{member}\":{usage}}}");
        let document = Document::parse(body.as_bytes(), &Limits::RESPONSE).unwrap();
        let read = response::read(classify("POST", path, None).unwrap(), &document).usage.unwrap();
        assert_eq!(counts(read), invoice.counts, "{usage}");
        assert_eq!(settled(read, price()), NanoUsd::new(invoice.cost), "{usage}");
    }
}

/// Streams, their events' data, and the counts and cost at the end.
const STREAMS: &[(&str, &[&str], [u64; 8], u64)] = &[
    (
        CHAT,
        &[
            r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,
                "prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":10}}}"#,
        ],
        [9, 0, 0, 0, 0, 12, 0, 10],
        9 * 2_000 + 12 * 10_000,
    ),
    (
        RESPONSES,
        &[
            r#"{"type":"response.created","response":{"id":"resp_1","usage":null}}"#,
            r#"{"type":"response.completed","response":{"id":"resp_1","usage":{"input_tokens":11,
                "input_tokens_details":{"cached_tokens":3},"output_tokens":6,"total_tokens":17}}}"#,
        ],
        [11, 3, 0, 0, 0, 6, 0, 0],
        8 * 2_000 + 3 * 200 + 6 * 10_000,
    ),
    (
        MESSAGES,
        &[
            r#"{"type":"message_start","message":{"usage":{"input_tokens":25,"cache_creation_input_tokens":300,
                "cache_read_input_tokens":4000,"cache_creation":{"ephemeral_5m_input_tokens":0,
                "ephemeral_1h_input_tokens":300},"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#,
            r#"{"type":"message_stop"}"#,
        ],
        [4325, 4000, 300, 300, 0, 15, 0, 0],
        25 * 2_000 + 4000 * 200 + 300 * 4_000 + 15 * 10_000,
    ),
    (
        GEMINI,
        &[
            r#"{"candidates":[{"index":0,"content":{"parts":[{"text":"Hi"}]}}],
                "usageMetadata":{"promptTokenCount":5,"thoughtsTokenCount":30,"totalTokenCount":35}}"#,
            r#"{"candidates":[{"index":0,"content":{"parts":[{"text":"!"}]},"finishReason":"STOP"}],
                "usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":41,
                "totalTokenCount":48}}"#,
        ],
        [5, 0, 0, 0, 0, 43, 0, 41],
        5 * 2_000 + 43 * 10_000,
    ),
];

#[test]
fn invoices_in_streams_are_put_together() {
    for (path, events, expected, cost) in STREAMS {
        let mut reader = StreamReader::new(classify("POST", path, None).unwrap());
        let mut decoder = Decoder::new(1 << 20);
        let mut usage = None;
        for data in *events {
            let line = data.replace('\n', " ");
            decoder.push(Bytes::from(format!("data: {line}\n\n"))).unwrap();
            usage = reader.read(&decoder.next().unwrap()).usage.or(usage);
        }
        let usage = usage.unwrap();
        assert_eq!(counts(usage), *expected, "{path}");
        assert_eq!(settled(usage, price()), NanoUsd::new(*cost), "{path}");
    }
}

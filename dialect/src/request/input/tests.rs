use super::*;
use crate::classify;
use crate::json::Limits;

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const EMBEDDINGS: &str = "/v1/embeddings";
const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

fn parts(body: &str) -> Parts {
    Parts::of(&Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap())
}

fn tokens(path: &str, model: &str, body: &str, reading: Reading) -> u64 {
    let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
    count(classify("POST", path, None).unwrap(), model, &document, reading)
}

fn message(content: &str) -> String {
    format!("{{\"messages\":[{{\"role\":\"user\",\"content\":[{content}]}}]}}")
}

#[test]
fn parts_are_told_apart_in_every_dialect() {
    let none = Parts::default();
    let binary = Parts { is_binary: true, ..none };
    let cases = [
        (r#"{"type":"text","text":"hi"}"#, none),
        (
            r#"{"type":"image_url","image_url":{"url":"https://a.example/a.png"}}"#,
            Parts { images: 1, ..none },
        ),
        (
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}"#,
            Parts { images: 1, base64_bytes: 26, ..binary },
        ),
        (
            r#"{"type":"input_audio","input_audio":{"data":"AAAAAAAA","format":"wav"}}"#,
            Parts { audio_bytes: 8, base64_bytes: 8, ..binary },
        ),
        (
            r#"{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}}"#,
            Parts { file_bytes: 32, base64_bytes: 32, ..binary },
        ),
        (r#"{"type":"file","file":{"file_id":"file-1"}}"#, Parts { kept: 1, ..none }),
        (r#"{"type":"input_image","image_url":"https://a.example/a.png"}"#, Parts { images: 1, ..none }),
        (r#"{"type":"input_file","file_url":"https://a.example/a.pdf"}"#, Parts { kept: 1, ..none }),
        (
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}"#,
            Parts { images: 1, base64_bytes: 4, ..binary },
        ),
        (
            r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AAAA"}}"#,
            Parts { file_bytes: 4, base64_bytes: 4, ..binary },
        ),
        (
            r#"{"type":"document","source":{"type":"url","url":"https://a.example"}}"#,
            Parts { kept: 1, ..none },
        ),
        (r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"hi"}}"#, none),
        (r#"{"type":"text","text":"hi","cache_control":{"ttl":"1h"}}"#, Parts { long_cache: true, ..none }),
        (r#"{"type":"text","text":"hi","cache_control":{"ttl":"5m"}}"#, none),
        (r#"{"type":"input_image","image_base64":"AAAA"}"#, Parts { images: 1, base64_bytes: 4, ..binary }),
        (r#"{"type":"image","image":"AAAA"}"#, Parts { images: 1, base64_bytes: 4, ..binary }),
        (
            r#"{"type":"image_generation_call","result":"AAAA"}"#,
            Parts { images: 1, base64_bytes: 4, ..binary },
        ),
        (
            r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#,
            Parts { images: 1, base64_bytes: 4, ..binary },
        ),
        (
            r#"{"inline_data":{"mime_type":"audio/ogg","data":"AAAA"}}"#,
            Parts { audio_bytes: 4, base64_bytes: 4, ..binary },
        ),
        (
            r#"{"inlineData":{"mimeType":"video/mp4","data":"AAAA"}}"#,
            Parts { file_bytes: 4, base64_bytes: 4, ..binary },
        ),
        (r#"{"fileData":{"mimeType":"application/pdf","fileUri":"files/a"}}"#, Parts { kept: 1, ..binary }),
        (r#"{"fileData":{"mimeType":"image/png","fileUri":"files/a"}}"#, Parts { images: 1, ..binary }),
    ];
    for (part, expected) in cases {
        assert_eq!(parts(&message(part)), expected, "{part}");
    }
    let roots = [
        (r#"{"previous_response_id":"resp_1","conversation":{"id":"conv_1"}}"#, Parts { kept: 2, ..none }),
        (r#"{"previous_response_id":null,"prompt":"once upon"}"#, none),
        (
            r#"{"prompt":{"id":"pmpt_1"},"input":[{"type":"item_reference","id":"m"}]}"#,
            Parts { kept: 2, ..none },
        ),
        (r#"{"cachedContent":"cachedContents/a"}"#, Parts { kept: 1, ..none }),
        (r#"{"tools":[]}"#, Parts { has_tools: true, ..none }),
        (r#"{"modalities":["text","audio"]}"#, Parts { speaks: true, ..none }),
        (r#"{"generationConfig":{"responseModalities":["AUDIO"]}}"#, Parts { speaks: true, ..none }),
        (r#"{"modalities":["text"]}"#, none),
    ];
    for (body, expected) in roots {
        assert_eq!(parts(body), expected, "{body}");
    }
}

#[test]
fn parts_cost_by_their_own_rules_and_not_by_their_bytes() {
    let image = format!(
        "{{\"type\":\"image_url\",\"image_url\":{{\"url\":\"data:image/png;base64,{}\"}}}}",
        "A".repeat(90_000)
    );
    for (path, model, part, least, most) in [
        (CHAT, "gpt-5", image.as_str(), 10_000, 10_200),
        (CHAT, "gpt-4o-mini", image.as_str(), 48_169, 48_400),
        (
            MESSAGES,
            "claude-opus-5",
            r#"{"type":"image","source":{"type":"url","url":"https://a.example"}}"#,
            5_000,
            5_200,
        ),
        (
            GEMINI,
            "gemini-2.5-flash",
            r#"{"fileData":{"mimeType":"image/png","fileUri":"files/a"}}"#,
            8_000,
            8_200,
        ),
        (RESPONSES, "gpt-5", r#"{"type":"input_file","file_id":"file-1"}"#, 100_000, 100_200),
    ] {
        let body = message(part);
        let bound = bound(&parts(&body), classify("POST", path, None).unwrap().dialect, model, body.len());
        let ceiling = tokens(path, model, &body, Reading::Ceiling);
        let likely = tokens(path, model, &body, Reading::Likely);
        assert!((least..=most).contains(&bound), "{model}: {bound}");
        assert!((least..=bound).contains(&ceiling), "{model}: {ceiling}");
        assert!((least / LIKELY_PART..=most / LIKELY_PART + 200).contains(&likely), "{model}: {likely}");
    }
}

/// What `OpenAI`'s own rules of counting give for these bodies, and how much more we may count.
#[test]
fn a_ceiling_is_never_below_the_providers_count() {
    let prose = include_str!("../../../testdata/texts/english.txt");
    let escaped = |text: &str| text.replace('\n', "\\n").replace('"', "\\\"");
    let chat = |text: &str| {
        format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}", escaped(text))
    };
    let turns = vec![r#"{"role":"user","content":"yes"}"#; 50].join(",");
    let vectors = format!("{{\"model\":\"m\",\"input\":[[{}]]}}", vec!["1"; 500].join(","));
    for (path, body, provider) in [
        (CHAT, chat("hi"), 8),
        (CHAT, chat(prose), 192 + 7),
        (CHAT, format!("{{\"model\":\"m\",\"messages\":[{turns}]}}"), 50 * 5 + 3),
        (EMBEDDINGS, r#"{"model":"m","input":["hello world","hello world"]}"#.to_owned(), 4),
        (EMBEDDINGS, vectors, 500),
    ] {
        let ceiling = tokens(path, "gpt-4o", &body, Reading::Ceiling);
        assert!(ceiling >= provider, "{ceiling} for {provider}: {body}");
        assert!(ceiling <= provider * 3 / 2 + 24, "{ceiling} for {provider}: {body}");
        assert!(ceiling <= body.len() as u64);
    }
}

#[test]
fn what_no_encoding_is_known_for_counts_half_as_much_again() {
    let body =
        message(&format!("{{\"text\":\"{}\"}}", include_str!("../../../testdata/texts/chinese.txt").trim()));
    let of = |model, reading| tokens(GEMINI, model, &body, reading);
    let (exact, conservative) = (of("gpt-4o", Reading::Ceiling), of("gemini-2.5-pro", Reading::Ceiling));
    assert!(conservative >= exact * 4 / 3, "{conservative} for {exact}");
    assert_eq!(of("gpt-4o", Reading::Likely), of("gemini-2.5-pro", Reading::Likely));
}

#[test]
fn no_reading_is_above_the_bound() {
    proptest::proptest!(proptest::prelude::ProptestConfig::with_cases(64), |(text in "\\PC{0,80}", model in "(gpt-4o|gpt-4|claude)")| {
        let mut content = Vec::new();
        crate::json::escape(&text, &mut content);
        let body = message(&format!("{{\"text\":\"{}\"}}", String::from_utf8(content).unwrap()));
        let bound = bound(&parts(&body), Dialect::OpenAi, &model, body.len());
        for reading in [Reading::Ceiling, Reading::Likely] {
            proptest::prop_assert!(tokens(CHAT, &model, &body, reading) <= bound);
        }
    });
}

//! Recorded requests, replies and streams against stored expectations.
//!
//! A file's name begins with its operation, behind `gemini_` for Gemini's. Beside each `x.json` or `x.sse` stands `x.expected`.
//! After adding a file or changing what is read, write the expectations anew with
//! `BULKHEAD_WRITE_EXPECTED=1` and read the difference.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::json::{Document, Limits, splice, unescape};
use crate::sse::{Decoder, Frame};
use crate::stream::{Closes, StreamEvent, StreamReader};
use crate::{Dialect, Endpoint, Operation, request, response};
use bytes::Bytes;

fn recorded(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn endpoint(path: &Path) -> Endpoint {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let of_gemini = name.strip_prefix("gemini_");
    let named = |operation: &Operation| of_gemini.unwrap_or(name).starts_with(operation.as_str());
    let operation = Operation::ALL.into_iter().find(named).unwrap();
    let dialect = match operation {
        _ if of_gemini.is_some() => Dialect::Gemini,
        Operation::Messages | Operation::CountTokens => Dialect::Anthropic,
        _ => Dialect::OpenAi,
    };
    Endpoint { dialect, operation }
}

/// The path of the request line; other dialects have nothing in it.
fn called(endpoint: Endpoint) -> &'static str {
    match endpoint.operation {
        Operation::GenerateContent => "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        Operation::Embeddings => "/v1beta/models/gemini-embedding-001:batchEmbedContents",
        _ => "/v1beta/models/gemini-2.5-flash:countTokens",
    }
}

fn assert_expected(path: &Path, found: &str) {
    let stored = path.with_extension("expected");
    if env::var_os("BULKHEAD_WRITE_EXPECTED").is_some() {
        fs::write(stored, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(&stored).unwrap();
    assert_eq!(found, expected, "{}", path.display());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn requests() {
    for path in recorded("requests", "json") {
        let body = fs::read(&path).unwrap();
        let document = Document::parse(&body, &Limits::REQUEST).unwrap();
        let endpoint = endpoint(&path);
        let head = request::read(endpoint, called(endpoint), &document).unwrap();
        let mut found = format!("{head:#?}\n");
        let edited = |edit| text(&splice(&body, &[edit]));
        match request::include_usage_edit(endpoint, &document) {
            None => writeln!(found, "usage: unchanged").unwrap(),
            Some(edit) => {
                let edited = edited(edit);
                let document = Document::parse(edited.as_bytes(), &Limits::REQUEST).unwrap();
                assert!(request::read(endpoint, called(endpoint), &document).unwrap().include_usage);
                writeln!(found, "usage: {edited}").unwrap();
            }
        }
        match request::max_output_tokens_edit(endpoint, &document, 100) {
            None => writeln!(found, "at most 100 tokens: unchanged").unwrap(),
            Some(edit) => {
                let edited = edited(edit);
                let document = Document::parse(edited.as_bytes(), &Limits::REQUEST).unwrap();
                let head = request::read(endpoint, called(endpoint), &document).unwrap();
                assert_eq!(head.max_output_tokens, Some(100));
                writeln!(found, "at most 100 tokens: {edited}").unwrap();
            }
        }
        assert_expected(&path, &found);
    }
}

#[test]
fn replies() {
    for path in recorded("replies", "json") {
        let body = fs::read(&path).unwrap();
        let document = Document::parse(&body, &Limits::RESPONSE).unwrap();
        let facts = response::read(endpoint(&path), &document);
        let blank = text(&splice(&body, &response::blank_logprobs(&document)));
        let blank = if blank.as_bytes() == body { "unchanged\n".to_owned() } else { blank };
        let mut found = format!("{facts:#?}\nwithout logprobs: {blank}");
        for number in document.long_integers() {
            writeln!(found, "number: {}", text(&body[number])).unwrap();
        }
        assert_expected(&path, &found);
    }
}

/// What the frames of a stream say, in words. Whole texts are named once.
fn told(endpoint: Endpoint, chunks: &[&[u8]]) -> String {
    let mut reader = StreamReader::new(endpoint);
    let mut decoder = Decoder::new(1 << 20);
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk)).unwrap();
        frames.extend(std::iter::from_fn(|| decoder.next()));
    }
    frames.extend(decoder.finish());
    let mut out = String::new();
    let mut named = HashSet::new();
    for frame in frames.iter().filter(|frame| frame.data().is_some()) {
        let event = reader.read(frame);
        tell(frame, &event, &mut named, &mut out);
    }
    out
}

fn tell(frame: &Frame, event: &StreamEvent, named: &mut HashSet<String>, out: &mut String) {
    let data = frame.data().unwrap();
    writeln!(out, "event{}", if event.json { "" } else { " (not json)" }).unwrap();
    for span in &event.texts {
        let raw = &data[span.raw.clone()];
        let decoded = if event.json { text(&unescape(raw)) } else { text(raw) };
        assert_eq!(span.escaped, event.json && raw.contains(&b'\\'));
        match span.channel {
            Some(channel) => {
                let (choice, item, kind) = (channel.choice, channel.item, channel.kind);
                writeln!(out, "  {choice}.{item} {kind:?}: {decoded:?}").unwrap();
            }
            None if named.insert(decoded.clone()) => {
                let what = if span.is_key { "key" } else { "whole" };
                writeln!(out, "  {what}: {decoded:?}").unwrap();
            }
            None => {}
        }
    }
    for number in &event.numbers {
        writeln!(out, "  number: {}", text(&data[number.clone()])).unwrap();
    }
    for closes in &event.closes {
        match closes {
            Closes::Channel(channel) => {
                let (choice, item, kind) = (channel.choice, channel.item, channel.kind);
                writeln!(out, "  closes {choice}.{item} {kind:?}").unwrap();
            }
            Closes::Left(channel) => {
                let (choice, item, kind) = (channel.choice, channel.item, channel.kind);
                writeln!(out, "  leaves {choice}.{item} {kind:?}").unwrap();
            }
            Closes::Choice(choice) => writeln!(out, "  closes choice {choice}").unwrap(),
            Closes::All => writeln!(out, "  closes all").unwrap(),
        }
    }
    if let Some(usage) = event.usage {
        writeln!(out, "  {usage:?}").unwrap();
    }
    for (flag, name) in [
        (event.usage_is_final, "final usage"),
        (event.is_usage_only_chunk, "usage only"),
        (event.terminal, "terminal"),
        (event.error, "error"),
        (event.reopened, "reopened"),
        (event.is_ambiguous, "ambiguous"),
    ] {
        if flag {
            writeln!(out, "  {name}").unwrap();
        }
    }
    if event.model.as_ref().is_some_and(|model| named.insert(format!("model {model}"))) {
        writeln!(out, "  model {}", event.model.as_deref().unwrap()).unwrap();
    }
    if !event.logprobs.is_empty() {
        let blank = splice(data, &event.logprobs);
        let document = Document::parse(&blank, &Limits::RESPONSE).unwrap();
        assert!(document.strings().all(|span| &blank[span.raw.clone()] != b"token"));
        writeln!(out, "  without logprobs: {} bytes less", data.len() - blank.len()).unwrap();
    }
}

#[test]
fn streams() {
    for path in recorded("streams", "sse") {
        let stream = fs::read(&path).unwrap();
        let endpoint = endpoint(&path);
        let whole = told(endpoint, &[&stream]);
        assert_expected(&path, &whole);
        for cut in (0..stream.len()).step_by(7) {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(told(endpoint, &[head, tail]), whole, "{} cut at {cut}", path.display());
        }
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_eq!(told(endpoint, &bytes), whole, "{} byte by byte", path.display());
    }
}

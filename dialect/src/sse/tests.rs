use proptest::prelude::*;

use super::*;
use crate::json::Splice;

/// Everything a stream's frames say: event name, data and exact bytes.
type Read = Vec<(Option<String>, Option<Vec<u8>>, Vec<u8>)>;

fn read(chunks: &[&[u8]]) -> Read {
    let mut decoder = Decoder::new(1 << 20);
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk)).unwrap();
        frames.extend(std::iter::from_fn(|| decoder.next()));
    }
    frames.extend(std::iter::from_fn(|| decoder.finish()));
    frames
        .iter()
        .map(|frame| {
            let data = frame.data().map(<[u8]>::to_vec);
            (frame.event().map(String::from), data, frame.raw().to_vec())
        })
        .collect()
}

fn raw(frames: &Read) -> Vec<u8> {
    frames.iter().flat_map(|(_, _, raw)| raw.clone()).collect()
}

/// What a client sees: the frames that have data. Where a bare CR ends a frame, the LF behind it
/// may come with either frame, so the exact bytes count in sum only.
fn seen(frames: &Read) -> Vec<(Option<String>, Vec<u8>)> {
    frames.iter().filter_map(|(event, data, _)| Some((event.clone(), data.clone()?))).collect()
}

fn check(stream: &str, expected: &[(&str, &str)]) {
    let whole = read(&[stream.as_bytes()]);
    let expected: Vec<_> = expected
        .iter()
        .map(|(event, data)| ((!event.is_empty()).then(|| (*event).to_owned()), data.as_bytes().to_vec()))
        .collect();
    assert_eq!(seen(&whole), expected, "{stream:?}");
    assert_same_for_every_cut(stream.as_bytes());
}

fn assert_same_for_every_cut(stream: &[u8]) {
    let whole = read(&[stream]);
    assert_eq!(raw(&whole), stream);
    for cut in 0..=stream.len() {
        let (head, tail) = stream.split_at(cut);
        let parts = read(&[head, tail]);
        assert_eq!(raw(&parts), stream, "cut at {cut}");
        assert_eq!(seen(&parts), seen(&whole), "cut at {cut} of {stream:?}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let parts = read(&bytes);
    assert_eq!((raw(&parts), seen(&parts)), (stream.to_vec(), seen(&whole)), "byte by byte");
}

#[test]
fn lines_end_with_lf_crlf_or_cr() {
    check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]);
    check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
    check("data: a\n\r\ndata: b\r\n\rdata: c\r\n\n", &[("", "a"), ("", "b"), ("", "c")]);
    check("event: x\r\ndata: a\r\ndata: b\r\n\r\n", &[("x", "a\nb")]);
}

#[test]
fn fields_follow_the_grammar() {
    check("data:a\n\n", &[("", "a")]);
    check("data:  a \n\n", &[("", " a ")]);
    check("data\n\n", &[("", "")]);
    check("data:\n\n", &[("", "")]);
    check("data: a\ndata: b\ndata\n\n", &[("", "a\nb\n")]);
    check("event: x\nevent:y\nid: 7\nretry: 5\nunknown: z\ndata: a\n\n", &[("y", "a")]);
    check("Data: a\n data: b\n\n", &[]);
    check("data: a: b\n\n", &[("", "a: b")]);
    check("event: only\n\n: comment\n\n\n\n", &[]);
    check(": ping\n\ndata: a\n: inside\n\n", &[("", "a")]);
}

#[test]
fn byte_order_mark_counts_at_the_start_only() {
    check("\u{feff}data: a\n\n\u{feff}data: b\n\ndata: c\n\n", &[("", "a"), ("", "c")]);
    check("\u{feff}\n\u{feff}data: b\n\n", &[]);
    check("\u{feff}\r\ndata: b\n\n", &[("", "b")]);
}

#[test]
fn what_is_cut_off_is_read_at_the_end() {
    check("data: a\n\ndata: b", &[("", "a"), ("", "b")]);
    check("data: a\n\ndata: b\n", &[("", "a"), ("", "b")]);
    check("data: a\r\n\r", &[("", "a")]);
    assert!(Decoder::new(9).finish().is_none());
}

#[test]
fn a_frame_leaves_with_its_blank_line() {
    let mut decoder = Decoder::new(100);
    decoder.push(Bytes::from_static(b"data: a\r\n\r")).unwrap();
    assert_eq!(decoder.next().unwrap().raw(), "data: a\r\n\r");
    // The second half of that CRLF says nothing and makes no event.
    decoder.push(Bytes::from_static(b"\ndata: b\n\n")).unwrap();
    let frame = decoder.next().unwrap();
    assert_eq!((frame.raw().as_ref(), frame.data()), (&b"\ndata: b\n\n"[..], Some(&b"b"[..])));
}

#[test]
fn a_frame_within_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut decoder = Decoder::new(100);
    decoder.push(chunk.clone()).unwrap();
    for frame in std::iter::from_fn(|| decoder.next()) {
        assert!(chunk.as_ptr_range().contains(&frame.raw().as_ptr()));
        let range = frame.data_range().unwrap();
        assert_eq!(&frame.raw()[range], frame.data().unwrap());
    }
}

#[test]
fn long_events_are_refused_for_good() {
    for chunks in [&[&b"data: 123\n\ndata: 45678901\n\n"[..]][..], &[b"data: 123\n\n", b"data: 4567", b"890"]]
    {
        let mut decoder = Decoder::new(12);
        let pushed: Result<Vec<()>, _> =
            chunks.iter().map(|chunk| decoder.push(Bytes::from_static(chunk))).collect();
        assert_eq!(pushed, Err(EventTooLarge { max: 12 }));
        assert_eq!(decoder.next().unwrap().data(), Some(&b"123"[..]));
        assert!(decoder.push(Bytes::from_static(b"\n\n")).is_err());
        assert!(decoder.finish().is_none());
    }
}

#[test]
fn contents_stay_out_of_debug_output() {
    let mut decoder = Decoder::new(100);
    decoder.push(Bytes::from_static(b"data: {\"k\":\"SECRET\"}\n\ndata: SECRET")).unwrap();
    let shown = format!("{decoder:?}");
    let frame = decoder.next().unwrap();
    let limits = Limits::RESPONSE;
    let document = Document::parse(frame.data().unwrap(), &limits).unwrap();
    let shown = format!("{shown} {frame:?} {document:?} {:?}", document.root());
    assert!(!shown.contains("SECRET") && !shown.contains("83, 69"), "{shown}");
}

#[test]
fn edits_change_the_data_and_nothing_else() {
    let cases: &[(&str, std::ops::Range<usize>, &str, &str)] = &[
        (": c\nid: 1\ndata:abcdef\nx\n\n", 1..3, "-", ": c\nid: 1\ndata:a-def\nx\n\n"),
        ("data: abc\r\n\r\n", 0..3, "", "data: \r\n\r\n"),
        ("data: abc\r\r", 1..99, "[X]", "data: a[X]\r\r"),
        ("id: 1\ndata: ab\n: c\ndata: cd\n\n", 1..4, "-", "id: 1\ndata: a-d\n: c\n\n"),
        ("data: ab\r\ndata: cd\r\n\r\n", 0..1, "X", "data: Xb\ndata: cd\n\r\n"),
        ("\u{feff}data: ab\ndata: cd\n\n", 0..1, "X", "\u{feff}data: Xb\ndata: cd\n\n"),
        ("data: ab\n\n", 0..1, "1\r2", "data: 1\ndata: 2b\n\n"),
        (": ping\n\n", 0..1, "X", ": ping\n\n"),
    ];
    for (stream, range, replacement, expected) in cases {
        let mut decoder = Decoder::new(100);
        decoder.push(Bytes::copy_from_slice(stream.as_bytes())).unwrap();
        let frame = decoder.next().unwrap();
        let edited = frame.splice(&[Splice::new(range.clone(), replacement.as_bytes())]);
        assert_eq!(edited, *expected, "{stream:?}");
        assert_eq!(frame.splice(&[]), *stream);
    }
}

proptest! {
    #[test]
    fn frames_are_the_same_for_every_cut(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "data", ":", ": ", "event: x", "\n", "\n", "\r", "\r\n", "\r\n\r\n", "\n\n",
                "data: ab", "data:{\"a\":1}", "\u{feff}", "id: 1", "\u{e9}", "x",
            ]),
            0..24,
        ),
    ) {
        assert_same_for_every_cut(pieces.concat().as_bytes());
    }

    #[test]
    fn arbitrary_bytes_in_arbitrary_chunks(chunks: Vec<Vec<u8>>) {
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let whole = chunks.concat();
        let parts = read(&chunks);
        assert_eq!(raw(&parts), whole);
        assert_eq!(seen(&parts), seen(&read(&[&whole])));
    }

    #[test]
    fn an_edited_frame_reads_as_the_edited_data(
        lines in prop::collection::vec("[a-c]{0,5}", 1..4),
        range in (0usize..12, 0usize..12),
    ) {
        let stream: String = lines.iter().map(|line| format!("data: {line}\n")).collect();
        let mut decoder = Decoder::new(1000);
        decoder.push(Bytes::from(format!("{stream}\n"))).unwrap();
        let frame = decoder.next().unwrap();
        let data = frame.data().unwrap().to_vec();
        let start = range.0.min(range.1).min(data.len());
        let end = range.0.max(range.1).min(data.len());
        let edits = [Splice::new(start..end, b"-".as_slice())];
        let edited = read(&[&frame.splice(&edits)]);
        assert_eq!(seen(&edited), [(None, crate::json::splice(&data, &edits))]);
    }
}

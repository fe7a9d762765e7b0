use super::*;

/// Runs `case` on `count` inputs of `bytes` bytes at most, the same ones each time.
fn try_cases(count: u64, bytes: u64, alphabet: &[u8], case: fn(&[u8])) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for _ in 0..count {
        let len = draw(bytes);
        let input: Vec<u8> = (0..len)
            .map(|_| match draw(4) {
                // Mostly what means something to the case.
                0 => draw(256).to_le_bytes()[0],
                _ => alphabet[usize::try_from(draw(alphabet.len() as u64)).unwrap()],
            })
            .collect();
        case(&input);
    }
}

#[test]
fn the_law_holds_for_ten_thousand_texts() {
    try_cases(10_000, 40, &spelling(b" .@-0123456789aA_"), stream_law);
}

#[test]
fn json_stays_json() {
    try_cases(10_000, 60, br#"{}[]"",:\\u00e9"0a tfn"#, json);
    // Few of those are JSON as a whole; these are, but for what a random byte breaks.
    let wrapped = |input: &[u8]| json(&[br#"{"key":[""#, input, br#"",1]}"#].concat());
    try_cases(10_000, 30, br#"ab\\n\u00e9\"x"#, wrapped);
}

#[test]
fn an_event_stream_is_the_same_however_it_is_cut() {
    try_cases(10_000, 80, b"data: event:id\n\n\r\n:\xef\xbb\xbf", sse);
}

#[test]
fn damaged_bodies_decode_within_their_limits() {
    try_cases(10_000, 60, b"\x1f\x8b\x08\x00\x78\x9c\x28\xb5\x2f\xfd\xff{}", decompression);
}

#[test]
fn tokens_come_back_however_an_answer_is_cut() {
    try_cases(10_000, 40, &spelling(b" []\"\\{}_a"), tokens);
}

#[test]
fn values_are_found_in_other_notations() {
    try_cases(2_000, 40, b"%&#;=\\x0123456789abcdefABCDEF+/ \r\n", encoded);
}

#[test]
fn requests_are_read_and_edited_within_their_strings() {
    try_cases(10_000, 40, &spelling(b"{}[],:\"1 a"), request);
    // Few of those are JSON; these are, but for what a random byte breaks.
    let wrapped = |input: &[u8]| {
        let (head, rest) = input.split_at(input.len().min(2));
        request(&[head, br#"{"model":"m","stream":true,"max_tokens":9,"messages":["#, rest, b"]}"].concat());
    };
    try_cases(10_000, 8, &spelling(b"{}[],:\"1 a"), wrapped);
}

#[test]
fn every_string_of_an_answer_is_reported_once() {
    try_cases(10_000, 40, &spelling(b"{}[],:\"1 a"), reply);
    // Few of those are JSON; these are, but for what a random byte breaks.
    let wrapped = |input: &[u8]| {
        let (path, rest) = input.split_at(input.len().min(1));
        reply(&[path, br#"{"choices":[{"logprobs":{"content":["#, rest, b"]}}]}"].concat());
    };
    try_cases(10_000, 8, &spelling(b"{}[],:\"1 a"), wrapped);
}

#[test]
fn policy_documents_have_one_form_and_regexes_a_bound() {
    try_cases(2_000, 40, &spelling(b" -:{}[],\n'a|()?+*1"), policy);
}

#[test]
fn a_spool_gives_what_is_whole() {
    try_cases(2_000, 16, &(0..=255).collect::<Vec<u8>>(), spool);
}

/// Bytes that stand for pieces, and others that stand for themselves.
fn spelling(plain: &[u8]) -> Vec<u8> {
    (128..=255).chain(plain.iter().copied()).collect()
}

//! Tokens in answers: put back however the answer is cut, and every value comes back from its own token.

use std::sync::{Arc, LazyLock};

use bulkhead_dlp::{
    Action, CompileLimits, CustomDetector, CustomPattern, Detector, Replacement, Rule, RuleSet, TextRules,
    TokenMap, ValueKey, apply_edits, catalogue,
};

use crate::spelled;
use crate::streamed::check_law;

const VALUES: [&str; 5] =
    ["jane@example.com", "joe@example.org", "Ann \"Q\" Lee", "\u{e9}lodie\tdu\u{e9}", "+12125550123"];

/// What stands around tokens: JSON, JSON inside it, other values, beginnings that come to nothing.
const AROUND: [&str; 16] = [
    "{\"a\":\"",
    "\"}",
    "{\\\"a\\\":\\\"",
    "\\\"}",
    "\\\\\\\"",
    "\\",
    "\"",
    "[",
    "]",
    "[EMAIL_ADDRESS_",
    "4111 1111 1111 1111",
    "4111",
    "jane@example.com",
    "jane@",
    "\u{200b}",
    " ",
];

struct Exchange {
    request: RuleSet,
    answer: TextRules,
    tokens: Arc<TokenMap>,
    pieces: Vec<String>,
}

/// The input's first byte says how many of the following cut the text, which the rest spells.
pub fn tokens(input: &[u8]) {
    static EXCHANGE: LazyLock<Exchange> = LazyLock::new(exchange);
    let Exchange { request, answer, tokens, pieces } = &*EXCHANGE;
    let Some((&cuts, rest)) = input.split_first() else { return };
    let (cuts, rest) = rest.split_at(usize::from(cuts % 16).min(rest.len()));
    check_law(answer, &spelled(rest, pieces), cuts);

    // The words of a request come back, if the model says what it was told.
    let words: Vec<&str> = rest.iter().map(|byte| VALUES[usize::from(*byte) % VALUES.len()]).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.contains('"')).collect();
    let text = words.join(" and ");
    let sent = apply_edits(text.as_bytes(), &request.scan(text.as_bytes()).edits);
    assert!(VALUES.into_iter().all(|value| !contains(&sent, value.as_bytes())), "a value has left");
    assert_eq!(apply_edits(&sent, &tokens.restore(&sent)), text.as_bytes());
}

fn contains(text: &[u8], value: &[u8]) -> bool {
    text.windows(value.len()).any(|window| window == value)
}

fn exchange() -> Exchange {
    let names = CustomDetector {
        id: "NAMES".into(),
        pattern: CustomPattern::Terms { terms: vec![VALUES[2].into(), VALUES[3].into()], ignore_case: false },
    };
    let names = Arc::new(Detector::custom(&names, &CompileLimits::default()).expect("it compiles"));
    let built_in = |selector| catalogue().select(selector).into_iter().map(Arc::clone);
    let tokenized = built_in("EMAIL_ADDRESS").chain(built_in("PHONE_E164")).chain([names]);
    let rules = tokenized.map(|detector| Rule::new(detector, Action::Tokenize)).collect();
    let request = RuleSet::new(rules, Vec::new()).with_value_key(ValueKey::new(b"law"));

    let mut tokens = TokenMap::default();
    let mut pieces: Vec<String> = AROUND.map(String::from).into();
    for value in VALUES {
        let edits = request.scan(value.as_bytes()).edits;
        let Some(Replacement::Token(token)) = edits.first().and_then(|edit| edit.replacement.as_ref()) else {
            panic!("{value} has no token");
        };
        assert!(tokens.insert(token, value.as_bytes()));
        let token = token.as_str();
        pieces.extend([token.to_owned(), token.to_lowercase()]);
        pieces.extend([1, 3, 5].map(|cut| token[..token.len() - cut].to_owned()));
    }
    let masked = built_in("CREDIT_CARD").chain(built_in("EMAIL_ADDRESS"));
    let rules = masked.map(|detector| Rule::new(detector, Action::Mask)).collect();
    let tokens = Arc::new(tokens);
    let answer = TextRules::from(Arc::new(RuleSet::new(rules, Vec::new()))).restoring(Arc::clone(&tokens));
    Exchange { request, answer, tokens, pieces }
}

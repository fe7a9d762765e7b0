//! Rules and tokens together: the law holds for both at once, and edits of rules win.

use proptest::prelude::*;

use super::*;
use crate::{
    Action, CompileLimits, CustomDetector, CustomPattern, Detector, Replacement, Rule, ValueKey, apply_edits,
    catalogue,
};

fn custom(id: &str, regex: &str) -> Arc<Detector> {
    let spec = CustomDetector { id: id.into(), pattern: CustomPattern::Regex(regex.into()) };
    Arc::new(Detector::custom(&spec, &CompileLimits::default()).unwrap())
}

/// A request's tokens for these values, with a key under which they are the same in every run.
fn tokenized(values: &[&str]) -> (Vec<String>, Arc<TokenMap>) {
    let detectors = [custom("NAME", "Jane|Joe|\"Q\""), Arc::clone(catalogue().select("EMAIL_ADDRESS")[0])];
    let rules = detectors.map(|detector| Rule::new(detector, Action::Tokenize)).into();
    let rules = RuleSet::new(rules, Vec::new()).with_value_key(ValueKey::new(b"texts"));
    let mut tokens = TokenMap::default();
    let texts = values.iter().map(|value| {
        let edits = rules.scan(value.as_bytes()).edits;
        let Some(Replacement::Token(token)) = edits[0].replacement.clone() else { panic!("{value}") };
        assert!(tokens.insert(&token, value.as_bytes()));
        token.as_str().to_owned()
    });
    (texts.collect(), Arc::new(tokens))
}

/// The rules of the answer: some that find parts of tokens or what stands around them.
fn answer_rules() -> Arc<RuleSet> {
    let rule = |detector: &Arc<Detector>| Rule::new(Arc::clone(detector), Action::Mask);
    let selectors = ["pii.*", "network.*", "financial.*", "US_SSN", "JWT", "AWS_*", "PRIVATE_KEY_*", "URL_*"];
    let detectors = selectors.iter().flat_map(|selector| catalogue().select(selector));
    let mut rules: Vec<Rule> = detectors.map(rule).collect();
    rules.push(rule(&custom("ACROSS", r"\] and \[NAME")));
    rules.push(rule(&custom("INSIDE", r"MAIL_ADDR[A-Z_]{1,6}0")));
    rules.push(rule(&custom("LONG", r"x\[[A-Za-z0-9_\[\] ]{1,60}!")));
    Arc::new(RuleSet::new(rules, Vec::new()))
}

fn stream<'a>(rules: &TextRules, parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<Edit>) {
    let mut scanner = rules.scanner();
    let (mut text, mut edits, mut left) = (Vec::new(), Vec::new(), 0);
    let mut take = |scanner: &mut TextScanner| {
        let known = edits.len();
        scanner.take_edits(&mut edits);
        assert!(edits[known..].iter().all(|edit| edit.start >= left), "a byte of an edit had left");
        assert!(scanner.released() >= left, "released bytes came back");
        left = scanner.released();
    };
    for part in parts {
        text.extend_from_slice(part);
        scanner.push(part);
        take(&mut scanner);
    }
    scanner.finish();
    take(&mut scanner);
    assert_eq!(scanner.released(), text.len() as u64);
    assert!(edits.windows(2).all(|pair| pair[0].end <= pair[1].start), "edits are ordered and disjoint");
    (apply_edits(&text, &edits), edits)
}

fn check(rules: &TextRules, text: &[u8]) -> String {
    let whole = apply_edits(text, &rules.scan(text).edits);
    assert_eq!(stream(rules, text.chunks(1)).0, whole, "byte by byte: {}", String::from_utf8_lossy(text));
    for cut in 0..=text.len() {
        let (head, tail) = text.split_at(cut);
        assert_eq!(stream(rules, [head, tail]).0, whole, "cut at {cut}: {}", String::from_utf8_lossy(text));
    }
    String::from_utf8(whole).unwrap()
}

#[test]
fn values_come_back_and_what_the_provider_says_is_masked() {
    let (texts, tokens) = tokenized(&["Jane", "joe@acme.example"]);
    let rules = TextRules::from(answer_rules()).restoring(tokens);
    let answer = format!("{} wrote to {} and to ann@acme.example", texts[0], texts[1]);
    assert_eq!(check(&rules, answer.as_bytes()), "Jane wrote to joe@acme.example and to [EMAIL_ADDRESS]");
}

#[test]
fn an_edit_of_the_rules_wins_over_a_token() {
    let (texts, tokens) = tokenized(&["Jane", "Joe"]);
    let rules = TextRules::from(answer_rules()).restoring(tokens);
    let (jane, joe) = (&texts[0], &texts[1]);
    let joined = format!("{jane} and {joe}");
    let expected = format!("{}[ACROSS]{}", &jane[..jane.len() - 1], &joe["[NAME".len()..]);
    assert_eq!(check(&rules, joined.as_bytes()), expected);
    assert_eq!(check(&rules, format!("x{jane} {joe}!").as_bytes()), "[LONG]");
    // It looks like that until the last byte.
    assert_eq!(check(&rules, format!("x{jane} {joe}?").as_bytes()), "xJane Joe?");
}

#[test]
fn without_rules_tokens_are_restored_all_the_same() {
    let (texts, tokens) = tokenized(&["\"Q\""]);
    let rules = TextRules::from(Arc::new(RuleSet::new(Vec::new(), Vec::new())));
    assert!(rules.is_empty());
    let rules = rules.restoring(tokens);
    assert!(!rules.is_empty());
    let arguments = format!(r#"{{"name":"{}"}}"#, texts[0]);
    assert_eq!(check(&rules, arguments.as_bytes()), r#"{"name":"\"Q\""}"#);
    assert!(!format!("{:?} {rules:?}", rules.scanner()).contains("Q"));
}

/// Texts in which tokens, parts of tokens and values stand side by side.
fn mixed() -> impl Strategy<Value = Vec<u8>> {
    let (mut pieces, _) = tokenized(&["Jane", "Joe", "joe@acme.example", "\"Q\""]);
    let cut: Vec<String> = pieces
        .iter()
        .flat_map(|token| [4, 14, 21, 24].map(|end| token[..end.min(token.len())].to_owned()))
        .collect();
    pieces.extend(cut);
    pieces.extend(pieces.clone().iter().map(|piece| piece.to_ascii_lowercase()));
    pieces.extend(
        [
            " and ",
            "]",
            "[",
            "x",
            "!",
            " ",
            "\"",
            "{\"a\":\"",
            "\\",
            "ann@acme.example",
            "é",
            "_",
            "4111 1111 1111 1111",
        ]
        .map(String::from),
    );
    let pieces = prop::collection::vec(prop::sample::select(pieces), 0..10);
    pieces.prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_mixes_cut_anywhere(text in mixed(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let (_, tokens) = tokenized(&["Jane", "Joe", "joe@acme.example", "\"Q\""]);
        let rules = TextRules::from(answer_rules()).restoring(tokens);
        let whole = apply_edits(&text, &rules.scan(&text).edits);
        let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        bounds.extend([0, text.len()]);
        bounds.sort_unstable();
        let parts = bounds.windows(2).map(|pair| &text[pair[0]..pair[1]]);
        prop_assert_eq!(stream(&rules, parts).0, whole.clone());
        prop_assert_eq!(stream(&rules, text.chunks(1)).0, whole);
    }
}

//! What scanning costs: whole texts, streams in the pieces that providers send, and texts made to be slow.
//!
//! `cargo bench -p bulkhead-benches --bench dlp`. Every run's result is checked.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use anyhow::ensure;
use bulkhead_benches::agent_body::history_text;
use bulkhead_benches::clock::time;
use bulkhead_benches::measure::percentile;
use bulkhead_dlp::{
    Action, CompileLimits, CustomDetector, CustomPattern, Detector, Replacement, Rule, RuleSet, TextRules,
    TokenMap, ValueKey, apply_edits, catalogue,
};
use tiktoken::encoding::o200k_base;

const PROMPT_BYTES: usize = 60_000;
const HOSTILE_BYTES: usize = 1 << 20;
/// Prose and code that somebody has written.
const ANSWER: &str =
    concat!(include_str!("../../ARCHITECTURE.md"), include_str!("../../proxy/src/gateway.rs"));
const CARD: &str = "4539 5787 6362 1486";

fn main() -> anyhow::Result<()> {
    let secrets = rules(&["secret.*"])?;
    let default = rules_for(&catalogue().default_set());
    let personal = rules(&["secret.*", "pii.*", "CREDIT_CARD"])?;
    let everything = rules(&["*"])?;
    let sets = [
        ("secrets", &secrets),
        ("default", &default),
        ("secrets and personal data", &personal),
        ("everything", &everything),
    ];
    let mut out = std::io::stdout().lock();
    delays(&mut out)?;
    for (name, rules) in sets {
        writeln!(out, "{name}: {} detectors", rules.rules().count())?;
        whole_texts(&mut out, rules)?;
        streams(&mut out, rules)?;
    }
    hostile_texts(&mut out, &personal)?;
    same_result(&everything, &with_cards(&history_text(PROMPT_BYTES)))
}

fn rules(selectors: &[&str]) -> anyhow::Result<Arc<RuleSet>> {
    let mut selected = Vec::new();
    for selector in selectors {
        let detectors = catalogue().select(selector);
        ensure!(!detectors.is_empty(), "no detector for {selector}");
        selected.extend(detectors);
    }
    Ok(rules_for(&selected))
}

fn rules_for(detectors: &[&Arc<Detector>]) -> Arc<RuleSet> {
    let rules = detectors.iter().map(|detector| Rule::new(Arc::clone(detector), Action::Mask));
    Arc::new(RuleSet::new(rules.collect(), Vec::new()))
}

/// A value in every kilobyte.
fn with_cards(text: &str) -> String {
    let lines = text.as_bytes().chunks(1000).map(String::from_utf8_lossy);
    lines.map(|line| format!("{line} card {CARD}. ")).collect()
}

/// Prompts as agents send them, and the same with many values.
fn whole_texts(out: &mut impl Write, rules: &RuleSet) -> anyhow::Result<()> {
    let clean = history_text(PROMPT_BYTES);
    let dense = with_cards(&clean);
    let cards = if is_on(rules, "CREDIT_CARD") { dense.matches(CARD).count() } else { 0 };
    for (what, text, found) in [("clean prompt", &clean, 0), ("a card per KB", &dense, cards)] {
        let scan = || Ok(black_box(rules.scan(black_box(text.as_bytes()))).edits.len());
        writeln!(out, "  {what:<34} {}", time(text.len(), &found, scan)?)?;
    }
    Ok(())
}

fn is_on(rules: &RuleSet, id: &str) -> bool {
    rules.rules().any(|rule| rule.detector.id().as_str() == id)
}

/// Throughput in pieces of two sizes, and how much waits after a piece of the size of a token.
fn streams(out: &mut impl Write, rules: &Arc<RuleSet>) -> anyhow::Result<()> {
    let text = history_text(PROMPT_BYTES);
    for piece in [4, 64] {
        let stream = || {
            let mut scanner = rules.scanner();
            for piece in text.as_bytes().chunks(piece) {
                scanner.push(black_box(piece));
                black_box(scanner.released());
            }
            scanner.finish();
            Ok(scanner.released())
        };
        let released = u64::try_from(text.len())?;
        writeln!(
            out,
            "  stream of {piece:>2}-byte pieces {:<12} {}",
            "",
            time(text.len(), &released, stream)?
        )?;
    }
    writeln!(out, "  held after a token                 {}", held(&TextRules::from(Arc::clone(rules)))?)?;
    Ok(())
}

/// How much of an answer waits for what comes next, by what is looked for. Lengths alone: any build measures the same.
fn delays(out: &mut impl Write) -> anyhow::Result<()> {
    let terms = ["blue falcon", "red heron", "quiet harbour"].map(str::to_owned).into();
    let terms = CustomPattern::Terms { terms, ignore_case: true };
    let terms =
        Detector::custom(&CustomDetector { id: "OWN".into(), pattern: terms }, &CompileLimits::default())?;
    let classes = [
        ("secrets", rules(&["secret.*"])?),
        ("own terms", rules_for(&[&Arc::new(terms)])),
        ("cards, accounts", rules(&["CREDIT_CARD", "IBAN_CODE"])?),
        ("telephone numbers, IP addresses", rules(&["PHONE_*", "IP_*"])?),
        ("EMAIL_ADDRESS, hold-word", rules(&["EMAIL_ADDRESS"])?),
        ("EMAIL_ADDRESS, mask-domain", rules_for(&[catalogue().email_domain()])),
    ];
    writeln!(out, "held after a token of an answer")?;
    for (class, rules) in classes {
        writeln!(out, "  {class:<34} {}", held(&TextRules::from(rules))?)?;
    }
    let tokenizing = Rule::new(Arc::clone(catalogue().email_domain()), Action::Tokenize);
    let tokenizing = RuleSet::new(vec![tokenizing], Vec::new()).with_value_key(ValueKey::new(b"bench"));
    let mut tokens = TokenMap::default();
    for edit in tokenizing.scan(b"write to @example.com").edits {
        let Some(Replacement::Token(token)) = edit.replacement else { continue };
        ensure!(tokens.insert(&token, b"@example.com"), "a token is noted");
    }
    let restoring = TextRules::from(rules_for(&[])).restoring(Arc::new(tokens));
    writeln!(out, "  {:<34} {}", "tokens of the request", held(&restoring)?)?;
    Ok(())
}

/// How much is held after each token of an answer.
fn held(rules: &TextRules) -> anyhow::Result<String> {
    let mut scanner = rules.scanner();
    let mut held: Vec<u32> = Vec::new();
    for token in tokens(ANSWER) {
        scanner.push(&token);
        held.push(u32::try_from(scanner.pushed() - scanner.released())?);
    }
    held.sort_unstable();
    let at_once = held.partition_point(|held| *held == 0) * 100 / held.len().max(1);
    let [middle, high, most] = [50, 99, 100].map(|percent| percentile(&held, percent));
    Ok(format!("{at_once} % nothing, p50 {middle} B, p99 {high} B, most {most} B"))
}

/// The tokens of a text, as bytes: one may end inside a character.
fn tokens(text: &str) -> Vec<Vec<u8>> {
    let encoding = o200k_base();
    encoding.encode(text).iter().map(|token| encoding.decode(&[*token])).collect()
}

/// Time is linear in the text, whatever the text is: no more than five times ordinary text per byte.
fn hostile_texts(out: &mut impl Write, rules: &Arc<RuleSet>) -> anyhow::Result<()> {
    let repeat = |unit: &str| unit.repeat(HOSTILE_BYTES / unit.len());
    let near_misses: String = [
        "sk-proj-abc ",
        "ghp_0123456789 ",
        "AKIAIOSFODNN7EXA ",
        "4111 1111 1111 1112 ",
        "jane@nowhere ",
        "078-05- ",
        "GB82WEST123456987654 ",
        "-----BEGIN PRIVATE ",
        "eyJhbGciOiJIUzI1NiJ9. ",
    ]
    .concat();
    let texts = [
        ("no white space", repeat("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ")),
        ("digits only", repeat("4111111111111112")),
        ("near misses", repeat(&near_misses)),
        ("overlapping candidates", repeat("sk-proj-AKIA4111-1111@GB82.")),
        ("'@' after every letter", repeat("a@")),
    ];
    let ordinary = repeat(&history_text(PROMPT_BYTES));
    let scan = |text: &str| rules.scan(text.as_bytes()).edits.len();
    let stream = |text: &str| {
        let mut scanner = rules.scanner();
        let mut edits = Vec::new();
        for piece in text.as_bytes().chunks(64) {
            scanner.push(piece);
            scanner.take_edits(&mut edits);
        }
        scanner.finish();
        scanner.take_edits(&mut edits);
        edits.len()
    };
    writeln!(out, "texts made to be slow, 1 MB each, and how many times ordinary text they take per byte")?;
    for (way, run) in [("whole", &scan as &dyn Fn(&str) -> usize), ("stream", &stream)] {
        let usual = time(ordinary.len(), &run(&ordinary), || Ok(run(black_box(&ordinary))))?;
        writeln!(out, "  {way:<6} {:<27} {usual}", "ordinary")?;
        for (what, text) in &texts {
            let timing = time(text.len(), &run(text), || Ok(run(black_box(text))))?;
            let times = timing.nanos_per_byte() / usual.nanos_per_byte();
            writeln!(out, "  {way:<6} {what:<27} {timing} {times:>6.1}x")?;
        }
    }
    Ok(())
}

/// The law of the streams, on the benchmark's own text: cut anyhow, the output is that of the whole.
fn same_result(rules: &Arc<RuleSet>, text: &str) -> anyhow::Result<()> {
    let whole = apply_edits(text.as_bytes(), &rules.scan(text.as_bytes()).edits);
    for piece in [1, 3, 17, 1000] {
        let mut scanner = rules.scanner();
        let mut edits = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            scanner.push(piece);
        }
        scanner.finish();
        scanner.take_edits(&mut edits);
        ensure!(apply_edits(text.as_bytes(), &edits) == whole, "pieces of {piece} bytes give another output");
    }
    Ok(())
}

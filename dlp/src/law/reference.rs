//! The definition, written down directly: every start, every end, sort, take what does not overlap.
//!
//! Uses none of the engine: patterns come from the catalogue's table as text and are run by the regex
//! library's own overlapping search. It is quadratic, which is fine for texts of a few hundred bytes.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::dfa::{Automaton, OverlappingState, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use crate::catalogue::patterns;
use crate::gate::Gate;
use crate::view::fold_character;
use crate::{Action, Match, RuleRef, RuleSet, Token};

/// What the definition says about one text.
pub(super) struct Judgement {
    pub(super) blocks: bool,
    pub(super) output: Vec<u8>,
    taken: Vec<Found>,
    blocking: Vec<Found>,
}

#[derive(Clone, Debug, PartialEq)]
struct Found {
    start: usize,
    end: usize,
    priority: usize,
    action: Action,
    id: String,
    placeholder: String,
}

type Span = (u64, u64, String);

impl Judgement {
    pub(super) fn spans(&self) -> BTreeSet<Span> {
        self.taken.iter().map(|found| (found.start as u64, found.end as u64, found.id.clone())).collect()
    }

    pub(super) fn is_blocking(&self, found: &Match) -> bool {
        self.blocking.iter().any(|blocking| {
            blocking.start as u64 == found.start
                && blocking.id == found.detector.id().as_str()
                // A match of any length blocks as soon as it is one.
                && (blocking.end as u64 == found.end || found.detector.max_len().is_none())
        })
    }
}

pub(super) fn spans_of(matches: &[Match]) -> BTreeSet<Span> {
    matches.iter().map(|found| (found.start, found.end, found.detector.id().to_string())).collect()
}

/// Judges a text. The order of `rules.rules()` is the order of priority, which has its own test.
pub(super) fn judge(rules: &RuleSet, text: &[u8]) -> Judgement {
    let (view, origins) = view(text);
    let candidates: Vec<Found> = rules
        .rules()
        .enumerate()
        .flat_map(|(priority, rule)| candidates(rules, rule, priority, &view))
        .collect();
    let of = |action| candidates.iter().filter(|found| found.action == action).cloned().collect::<Vec<_>>();
    let in_text =
        |found: Found| Found { start: origins[found.start].start, end: origins[found.end - 1].end, ..found };
    let masked = greedy([of(Action::Mask), of(Action::Tokenize)].concat());
    let masked: Vec<Found> = masked.into_iter().map(in_text).collect();
    let mut output = Vec::new();
    let mut from = 0;
    for found in &masked {
        // Two matches may share a character of the text.
        output.extend_from_slice(text.get(from..found.start).unwrap_or_default());
        output.extend_from_slice(found.placeholder.as_bytes());
        from = found.end;
    }
    output.extend_from_slice(&text[from..]);
    let blocking: Vec<Found> = of(Action::Block).into_iter().map(in_text).collect();
    let taken = masked.into_iter().chain(greedy(of(Action::Alert)).into_iter().map(in_text)).collect();
    Judgement { blocks: !blocking.is_empty(), output, taken, blocking }
}

/// The view of a text, and for every byte of it the character it comes from.
pub(super) fn view(text: &[u8]) -> (Vec<u8>, Vec<Range<usize>>) {
    let (mut view, mut origins) = (Vec::new(), Vec::new());
    let mut at = 0;
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let len = character.len_utf8();
            let folded = fold_character(character).map_or(text[at..at + len].to_vec(), <[u8]>::to_vec);
            let stays = folded == text[at..at + len];
            origins.extend(
                (0..folded.len()).map(|byte| if stays { at + byte..at + byte + 1 } else { at..at + len }),
            );
            view.extend(folded);
            at += len;
        }
        for byte in chunk.invalid() {
            view.push(*byte);
            origins.push(at..at + 1);
            at += 1;
        }
    }
    (view, origins)
}

/// By start, then longer, then stricter, then priority; each if it overlaps none before it.
fn greedy(mut candidates: Vec<Found>) -> Vec<Found> {
    candidates.sort_by(|left, right| {
        let places = left.start.cmp(&right.start).then(right.end.cmp(&left.end));
        places.then(right.action.cmp(&left.action)).then(left.priority.cmp(&right.priority))
    });
    let mut taken: Vec<Found> = Vec::new();
    for candidate in candidates {
        if taken.last().is_none_or(|last| last.end <= candidate.start) {
            taken.push(candidate);
        }
    }
    taken
}

/// The longest valid candidate at every start, without allowed values and what lies in them.
fn candidates(rules: &RuleSet, rule: RuleRef<'_>, priority: usize, text: &[u8]) -> Vec<Found> {
    let found = |(start, end): (usize, usize)| Found {
        start,
        end,
        priority,
        action: rule.action,
        id: rule.detector.id().to_string(),
        placeholder: replacement(rules, rule, &text[start..end]),
    };
    let longest: Vec<(usize, usize)> =
        (0..text.len()).filter_map(|start| Some((start, longest(rule, text, start)?))).collect();
    let can_be_allowed = rule.detector.max_len().is_some();
    let allowed: Vec<(usize, usize)> = longest
        .iter()
        .copied()
        .filter(|&(start, end)| can_be_allowed && rules.allows(rule.detector, &text[start..end]))
        .collect();
    let inside = |span: (usize, usize)| allowed.iter().any(|outer| outer.0 <= span.0 && span.1 <= outer.1);
    longest.into_iter().filter(|&span| !inside(span)).map(found).collect()
}

/// What takes a value's place; whatever has no upper length is masked also where a rule says tokenize.
fn replacement(rules: &RuleSet, rule: RuleRef<'_>, value: &[u8]) -> String {
    let detector = rule.detector;
    match (rule.action, rules.value_key()) {
        (Action::Tokenize, Some(key)) if detector.max_len().is_some() => {
            Token::new(detector.placeholder(), key.token_hash(detector.id(), value)).as_str().to_owned()
        }
        _ => format!("[{}]", detector.label()),
    }
}

/// The longest end of a valid match at exactly this start.
fn longest(rule: RuleRef<'_>, text: &[u8], start: usize) -> Option<usize> {
    // A fixed text is taken at its word, also where its first letter could be that of an escape.
    let is_fixed = matches!(rule.detector.gate(), Gate::Texts(_)) && start > 0 && text[start - 1] == b'\\';
    if is_in_escape(text, start) && !is_fixed {
        return None;
    }
    let mut seen = text.to_vec();
    if let Some(before) = start.checked_sub(1)
        && is_in_escape(text, before)
    {
        seen[before] = b' ';
    }
    let is_valid = |end: usize| rule.detector.accepts(&text[start..end]);
    if !has_context(rule.detector.context(), text, start) {
        return None;
    }
    ends(&SEARCHERS[rule.detector.id().as_str()], &seen, start).into_iter().rev().find(|&end| is_valid(end))
}

/// Whether one of the words ends before `start`, and starts a word at most 64 bytes before; always if there are none.
fn has_context(words: &[&str], text: &[u8], start: usize) -> bool {
    let is_here = |word: &&str, at: usize| {
        let starts_word = at == 0 || !text[at - 1].is_ascii_alphanumeric() || is_in_escape(text, at - 1);
        let end = at + word.len();
        end <= start && text[at..end].eq_ignore_ascii_case(word.as_bytes()) && starts_word
    };
    words.is_empty() || words.iter().any(|word| (start.saturating_sub(64)..start).any(|at| is_here(word, at)))
}

/// Whether the byte is the letter of a JSON escape, or one of up to four hex digits after the letter `u`.
fn is_in_escape(text: &[u8], at: usize) -> bool {
    let is_letter =
        |at: usize, letters: &[u8]| letters.contains(&text[at]) && at > 0 && text[at - 1] == b'\\';
    let is_digit = (1..=4.min(at)).any(|digits| {
        text[at + 1 - digits..=at].iter().all(u8::is_ascii_hexdigit) && is_letter(at - digits, b"u")
    });
    is_digit || is_letter(at, b"ntrbfu")
}

/// All ends of matches at a start, in ascending order.
fn ends(searcher: &dense::DFA<Vec<u32>>, text: &[u8], start: usize) -> Vec<usize> {
    let input = Input::new(text).range(start..).anchored(Anchored::Yes);
    let mut state = OverlappingState::start();
    let mut ends = Vec::new();
    loop {
        searcher.try_search_overlapping_fwd(&input, &mut state).unwrap();
        match state.get_match() {
            Some(found) => ends.push(found.offset()),
            None => return ends,
        }
    }
}

static SEARCHERS: LazyLock<HashMap<String, dense::DFA<Vec<u32>>>> = LazyLock::new(|| {
    let build = |(id, pattern): (&str, &str)| {
        let searcher = dense::Builder::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false))
            .configure(dense::Config::new().match_kind(MatchKind::All).start_kind(StartKind::Anchored))
            .build(pattern)
            .unwrap();
        (id.to_owned(), searcher)
    };
    patterns().chain(super::CUSTOM_PATTERNS).map(build).collect()
});

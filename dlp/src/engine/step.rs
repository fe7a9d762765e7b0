//! How the engine takes bytes: what passes, what goes on, what begins.

use std::mem;
use std::sync::Arc;

use super::openings::Opening;
use super::{Engine, HEADS_MAX, Head, Window};
use crate::action::Action;
use crate::catalogue::catalogue;
use crate::detector::Detector;
use crate::finding::Match;
use crate::rules::RuleSet;

impl Engine {
    /// Takes the next bytes. `window` must hold them and everything live heads cover.
    pub(crate) fn run(&mut self, rules: &RuleSet, window: Window<'_>, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            if self.heads.is_empty() && self.openings.is_empty() && self.context.passes() {
                rest = self.pass(rules, rest);
            }
            let Some((&byte, behind)) = rest.split_first() else { return };
            self.step(rules, window, byte);
            rest = behind;
        }
    }

    /// Passes over the bytes that neither start anything nor mean anything to what comes next, but for what then
    /// stands before it; the others.
    #[inline]
    fn pass<'a>(&mut self, rules: &RuleSet, bytes: &'a [u8]) -> &'a [u8] {
        let mut before = self.before;
        let mut count = 0;
        for &byte in bytes {
            let Some(next) = rules.pass(before, byte) else { break };
            before = next;
            count += 1;
        }
        let Some((passed, rest)) = bytes.split_at_checked(count) else { return bytes };
        if let Some(&last) = passed.last() {
            self.context.pass(last);
            self.before = before;
            self.position += count as u64;
        }
        rest
    }

    /// Takes one byte; see [`Self::run`].
    #[inline]
    pub(crate) fn step(&mut self, rules: &RuleSet, window: Window<'_>, byte: u8) {
        if !self.heads.is_empty() || !self.openings.is_empty() {
            self.step_open(rules, window, Some(byte));
        }
        match rules.pass(self.before, byte) {
            Some(next) if self.context.passes() => {
                self.context.pass(byte);
                self.before = next;
            }
            _ => self.start(rules, byte),
        }
        self.position += 1;
    }

    /// Begins what begins with a byte.
    fn start(&mut self, rules: &RuleSet, byte: u8) {
        if rules.may_start(self.before, byte) && self.blocked.is_none() {
            self.start_heads(rules, byte);
        }
        if let Some(words) = rules.context_words() {
            self.context.step(words, self.position, self.before, byte);
        }
        self.before = self.before.then(byte);
    }

    /// Steps everything open by one byte, or by the end of the text.
    #[inline(never)]
    pub(super) fn step_open(&mut self, rules: &RuleSet, window: Window<'_>, byte: Option<u8>) {
        let mut is_special = false;
        for head in &mut self.heads {
            let Some(automaton) = rules.automaton(head.rule) else { continue };
            head.state = match byte {
                Some(byte) => automaton.step(head.state, byte),
                None => automaton.finish(head.state),
            };
            is_special |= head.state.is_special();
        }
        let Ended { heads, candidates } =
            if is_special { self.look_closer(rules, window) } else { Ended::default() };
        // After the heads, because a head that begins here has taken the byte already.
        let opening_ended = match byte {
            Some(byte) => !self.openings.is_empty() && self.step_openings(rules, window, byte),
            None => !mem::take(&mut self.openings).is_empty(),
        };
        if candidates || (heads || opening_ended) && !self.pending.is_empty() {
            self.settle(rules, window);
        } else if heads {
            self.heads.retain(|head| !head.dead);
        }
    }

    /// Notes the matches and the ends of the heads that were stepped to a special state.
    fn look_closer(&mut self, rules: &RuleSet, window: Window<'_>) -> Ended {
        let mut ended = Ended::default();
        for head in self.heads.iter_mut().filter(|head| head.state.is_special()) {
            let Some(detector) = rules.detector(head.rule) else { continue };
            let is_match = head.state.is_match();
            if is_match && is_valid(detector, window, head.start, self.position) {
                head.end = self.position;
                ended.candidates |= detector.is_open_ended();
            }
            if !is_match || head.state.is_last() {
                head.dead = true;
                ended.heads = true;
                ended.candidates |= head.end != 0;
            }
        }
        ended
    }

    #[inline(never)]
    fn start_heads(&mut self, rules: &RuleSet, byte: u8) {
        let start = self.position;
        let open = self.openings.len() + self.heads.len() + self.pending.len();
        for starts in rules.starts(self.before, byte) {
            if let Some(node) = starts.opening {
                self.openings.push(Opening { start, before: self.before.seen(), node });
            }
            self.heads.extend(starts.heads.iter().map(|&candidate| Head::new(start, candidate)));
            if !starts.with_context.is_empty() && self.context.allows_any(start) {
                let context = &self.context;
                let allowed = starts.with_context.iter().filter(|with| context.allows(with.rule, start));
                self.heads.extend(allowed.map(|&candidate| Head::new(start, candidate)));
            }
        }
        self.open_peak = self.open_peak.max(open);
        if open > HEADS_MAX {
            let start = self.released(|at| at);
            let detector = Arc::clone(catalogue().hold_limit());
            self.block(Match {
                start,
                end: self.position,
                detector,
                action: Action::Block,
                fingerprint: None,
            });
        }
    }
}

/// What a byte has ended.
#[derive(Clone, Copy, Default)]
struct Ended {
    /// A head is dead.
    heads: bool,
    /// One of them leaves a candidate, or a match without an upper length has grown.
    candidates: bool,
}

fn is_valid(detector: &Detector, window: Window<'_>, start: u64, end: u64) -> bool {
    // Text of a live head is always in the window; were it not, the shape alone decides.
    window.get(start, end).is_none_or(|value| detector.accepts(value))
}

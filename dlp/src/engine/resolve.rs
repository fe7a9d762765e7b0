//! Which of several candidates for the same bytes wins, and when that is certain.
//!
//! - A candidate is decided when every live head of its layer starts after it: earlier heads could displace
//!   it, a head at the same start could become longer.
//! - A block rule's candidate blocks at once. It waits only for an earlier head of its own detector, and only
//!   where there are allowed values, because that head may turn out to be an allowed value around it.
//! - An open-ended match (a PEM block) that nothing can displace any more is opened: what it covers is masked
//!   at once and again with every byte by which it grows, so that it is never held.

use std::cmp::Reverse;
use std::mem;

use super::{Candidate, Decided, Engine, Head, Layer, Piece, Window, to_match};
use crate::action::Action;
use crate::rules::RuleSet;

impl Engine {
    /// Closes dead heads and decides what can be decided.
    pub(super) fn settle(&mut self, rules: &RuleSet, window: Window<'_>) {
        // First, because an opened match may have grown with the byte that ends it.
        for layer in Layer::ALL {
            self.advance(rules, layer);
        }
        let mut heads = mem::take(&mut self.heads);
        heads.retain(|head| {
            if head.dead {
                self.close(rules, window, head);
            }
            !head.dead
        });
        self.heads = heads;
        self.drop_allowed();
        if let Some(candidate) = self.blocking(rules)
            && let Some(cause) = to_match(rules, decide(rules, window, candidate))
        {
            // The candidate counts as held, so that nothing from its start on is released.
            self.pending.push(candidate);
            self.block(cause);
            return;
        }
        for layer in Layer::ALL {
            self.resolve(rules, window, layer);
        }
    }

    fn close(&mut self, rules: &RuleSet, window: Window<'_>, head: &Head) {
        if head.end == 0 {
            return;
        }
        let candidate = Candidate { start: head.start, end: head.end, rule: head.rule };
        if head.open {
            self.report(Decided { candidate, fingerprint: None });
        } else if is_allowed(rules, window, candidate) {
            self.allowed.push(candidate);
        } else {
            self.pending.push(candidate);
        }
    }

    /// Drops candidates that lie inside an allowed value of the same detector.
    fn drop_allowed(&mut self) {
        if self.allowed.is_empty() {
            return;
        }
        let allowed = mem::take(&mut self.allowed);
        self.pending.retain(|candidate| {
            !allowed.iter().any(|outer| {
                outer.rule == candidate.rule && outer.start <= candidate.start && candidate.end <= outer.end
            })
        });
        self.allowed = allowed;
        let first = self.decided();
        self.allowed.retain(|outer| outer.end > first);
    }

    /// The candidate that blocks now, if there is one.
    fn blocking(&self, rules: &RuleSet) -> Option<Candidate> {
        let blocks = |rule| rules.rule(rule).is_some_and(|rule| rule.action == Action::Block);
        let waits = |candidate: &Candidate| {
            rules.has_allow_values()
                && (self.opens_before(candidate.start)
                    || self
                        .heads
                        .iter()
                        .any(|head| head.rule == candidate.rule && head.start < candidate.start))
        };
        let closed =
            self.pending.iter().filter(|candidate| blocks(candidate.rule) && !waits(candidate)).copied();
        let open_ended = self
            .heads
            .iter()
            .filter(|head| head.end != 0 && blocks(head.rule) && is_open_ended(rules, head.rule))
            .map(|head| Candidate { start: head.start, end: head.end, rule: head.rule });
        closed.chain(open_ended).min_by_key(|candidate| rank(rules, candidate))
    }

    fn resolve(&mut self, rules: &RuleSet, window: Window<'_>, layer: Layer) {
        loop {
            if let Some(winner) = self.winner(rules, layer) {
                self.take(rules, window, layer, winner);
            } else if !self.open(rules, layer) {
                return;
            }
        }
    }

    /// The first candidate of a layer, if nothing can displace it any more.
    fn winner(&self, rules: &RuleSet, layer: Layer) -> Option<Candidate> {
        let in_layer = |rule| Layer::of(rules, rule) == Some(layer);
        let candidates = self.pending.iter().filter(|candidate| in_layer(candidate.rule));
        let first = candidates.min_by_key(|candidate| rank(rules, candidate))?;
        let mut heads = self.heads.iter().filter(|head| in_layer(head.rule));
        let certain = !self.opens_before(first.start + 1) && heads.all(|head| head.floor() > first.start);
        certain.then_some(*first)
    }

    fn take(&mut self, rules: &RuleSet, window: Window<'_>, layer: Layer, winner: Candidate) {
        if winner.start >= self.taken_until(layer) {
            self.report(decide(rules, window, winner));
            if layer == Layer::Mask {
                self.edits.push(piece(rules, window, winner));
            }
            self.set_taken_until(layer, winner.end);
        }
        self.drop_overlapped(rules, layer);
    }

    /// Opens the first head of a layer if it is open-ended, has matched and is sure to win.
    fn open(&mut self, rules: &RuleSet, layer: Layer) -> bool {
        let in_layer = |rule| Layer::of(rules, rule) == Some(layer);
        let taken_until = self.taken_until(layer);
        let first_opening = self.first_opening();
        let mut heads = self.heads.iter_mut().filter(|head| in_layer(head.rule));
        let Some(head) = heads.next() else { return false };
        let rival_head = heads.next().is_some_and(|rival| rival.start == head.start)
            || first_opening.is_some_and(|opening| opening <= head.start);
        let own = Candidate { start: head.start, end: head.end, rule: head.rule };
        let rival = self
            .pending
            .iter()
            .any(|candidate| in_layer(candidate.rule) && rank(rules, candidate) < rank(rules, &own));
        if head.open
            || head.end == 0
            || !is_open_ended(rules, head.rule)
            || rival_head
            || rival
            || head.start < taken_until
        {
            return false;
        }
        head.open = true;
        if layer == Layer::Mask {
            let Candidate { start, end, rule } = own;
            self.edits.push(Piece { start, end, rule, token: None, continued: false, divisible: true });
        }
        self.set_taken_until(layer, own.end);
        self.drop_overlapped(rules, layer);
        true
    }

    /// Whether a text that may belong to any detector has begun before a place.
    fn opens_before(&self, at: u64) -> bool {
        self.first_opening().is_some_and(|opening| opening < at)
    }

    /// Masks what an opened match has grown by.
    fn advance(&mut self, rules: &RuleSet, layer: Layer) {
        let from = self.taken_until(layer);
        let grown = self
            .heads
            .iter()
            .find(|head| head.open && head.end > from && Layer::of(rules, head.rule) == Some(layer));
        let Some(&Head { end, rule, .. }) = grown else { return };
        if layer == Layer::Mask {
            match self.edits.last_mut() {
                Some(last) if last.divisible && last.end == from => last.end = end,
                _ => self.edits.push(Piece {
                    start: from,
                    end,
                    rule,
                    token: None,
                    continued: true,
                    divisible: true,
                }),
            }
        }
        self.set_taken_until(layer, end);
        self.drop_overlapped(rules, layer);
    }

    /// Drops what can no longer win because its bytes are taken.
    fn drop_overlapped(&mut self, rules: &RuleSet, layer: Layer) {
        let until = self.taken_until(layer);
        let lost = |start: u64, rule| start < until && Layer::of(rules, rule) == Some(layer);
        self.pending.retain(|candidate| !lost(candidate.start, candidate.rule));
        self.heads
            .retain(|head| head.open || !lost(head.start, head.rule) || !is_droppable(rules, head.rule));
    }

    /// Whether a head of this rule from `start` on could win nothing any more.
    pub(super) fn is_lost(&self, rules: &RuleSet, start: u64, rule: u32) -> bool {
        let layer = Layer::of(rules, rule);
        layer.is_some_and(|layer| start < self.taken_until(layer)) && is_droppable(rules, rule)
    }

    fn report(&mut self, found: Decided) {
        let order = |found: &Decided| (found.candidate.start, found.candidate.rule);
        let index = self.matches.partition_point(|other| order(other) < order(&found));
        self.matches.insert(index, found);
    }

    fn taken_until(&self, layer: Layer) -> u64 {
        let [mask, alert] = self.taken_until;
        match layer {
            Layer::Mask => mask,
            Layer::Alert => alert,
        }
    }

    fn set_taken_until(&mut self, layer: Layer, end: u64) {
        let [mask, alert] = &mut self.taken_until;
        match layer {
            Layer::Mask => *mask = end,
            Layer::Alert => *alert = end,
        }
    }
}

/// By start, then longer first, then stricter first, then detector priority.
fn rank(rules: &RuleSet, candidate: &Candidate) -> (u64, Reverse<u64>, Reverse<Option<Action>>, u32) {
    let action = rules.rule(candidate.rule).map(|rule| rule.action);
    (candidate.start, Reverse(candidate.end), Reverse(action), candidate.rule)
}

fn decide(rules: &RuleSet, window: Window<'_>, candidate: Candidate) -> Decided {
    // How much of an open-ended match there is yet depends on its neighbours: equal values would look different.
    let text = window.get(candidate.start, candidate.end).filter(|_| !is_open_ended(rules, candidate.rule));
    let fingerprint = rules.rule(candidate.rule).zip(rules.value_key()).zip(text);
    let fingerprint = fingerprint.map(|((rule, key), value)| key.fingerprint(rule.detector.id(), value));
    Decided { candidate, fingerprint }
}

/// What takes the place of a match whose end is known.
fn piece(rules: &RuleSet, window: Window<'_>, winner: Candidate) -> Piece {
    let Candidate { start, end, rule } = winner;
    let mut piece = Piece { start, end, rule, token: None, continued: false, divisible: false };
    // Text of a candidate is always in the window; were it not, the match is masked whole.
    let (Some(text), Some(rule)) = (window.get(start, end), rules.rule(rule)) else { return piece };
    match rule.action {
        // What has no upper length may have begun to leave before its end is known.
        Action::Tokenize if rule.detector.is_open_ended() => {}
        Action::Tokenize => {
            piece.token = rules.value_key().map(|key| key.token_hash(rule.detector.id(), text));
        }
        _ => piece.end -= kept_tail(text, rule.keep_last) as u64,
    }
    piece
}

/// How many bytes of a match stay: up to `keep_last`, whole characters and nothing of an escape.
fn kept_tail(text: &[u8], keep_last: u8) -> usize {
    if keep_last == 0 {
        return 0;
    }
    let from = text.len().saturating_sub(usize::from(keep_last));
    let near = text.get(from.saturating_sub(1)..).unwrap_or_default();
    // What a backslash escapes must not stay without it.
    let escaped =
        near.iter().rposition(|&byte| byte == b'\\').map_or(0, |at| from.saturating_sub(1) + at + 2);
    let tail = text.get(from.max(escaped)..).unwrap_or_default();
    let broken = tail.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count();
    tail.len() - broken
}

/// Whether a head that has lost is of no use: an allowed value would still shield what it contains.
///
/// An open-ended head has no allowed values, and keeping it would hold text without a bound.
fn is_droppable(rules: &RuleSet, rule: u32) -> bool {
    !rules.has_allow_values() || is_open_ended(rules, rule)
}

fn is_open_ended(rules: &RuleSet, rule: u32) -> bool {
    rules.detector(rule).is_some_and(|detector| detector.is_open_ended())
}

fn is_allowed(rules: &RuleSet, window: Window<'_>, candidate: Candidate) -> bool {
    let Some(detector) = rules.detector(candidate.rule) else { return false };
    rules.has_allow_values()
        && !detector.is_open_ended()
        && window.get(candidate.start, candidate.end).is_some_and(|value| rules.allows(detector, value))
}

//! How a whole text is scanned: only where a match may start, as long as that is certain to find the same.

use super::RuleSet;
use crate::before::Before;
use crate::encoded::DeepScan;
use crate::engine::{Engine, Window};
use crate::finding::Scan;
use crate::gate::Search;
use crate::view::Offsets;

impl RuleSet {
    /// The result, and whether a match may have begun that goes on behind the text; see [`DeepScan::goes_on`].
    pub(super) fn scan_where_gates_open(&self, view: &[u8], offsets: &Offsets) -> (Scan, bool) {
        if view.len() < self.len_min {
            return (Scan::default(), false);
        }
        let gates = self.gates();
        if gates.iter().any(|gate| gate.is_closed_to_skipping()) {
            return self.scan_every_byte_of_view(view, offsets);
        }
        let search = Search::new(gates, view);
        if search.is_over() { (Scan::default(), false) } else { self.scan_stops(search, view, offsets) }
    }

    pub(super) fn scan_every_byte_of_view(&self, view: &[u8], offsets: &Offsets) -> (Scan, bool) {
        let mut engine = Engine::default();
        let window = Window { base: 0, text: view };
        engine.run(self, window, view);
        self.results(engine, window, offsets)
    }

    fn results(&self, mut engine: Engine, window: Window<'_>, offsets: &Offsets) -> (Scan, bool) {
        let goes_on = engine.has_far_candidate(self, DeepScan::NEAR_START as u64);
        engine.finish(self, window);
        let released = engine.released(|at| offsets.floor(at, window));
        (engine.into_scan(self, released), goes_on)
    }

    /// Scans only where a match may start.
    fn scan_stops(&self, mut search: Search<'_>, text: &[u8], offsets: &Offsets) -> (Scan, bool) {
        let mut engine = Engine::default();
        let window = Window { base: 0, text };
        let mut at = 0;
        while let Some(stop) = search.next(at) {
            let start = stop.start;
            engine.skip_to(start, Before::at(text, start), last_before(text, start));
            at = start;
            for &byte in text.get(start..).unwrap_or_default() {
                engine.step(self, window, byte);
                at += 1;
                if engine.is_idle() && at > stop.window {
                    break;
                }
            }
            if engine.needs_every_byte() {
                return self.scan_every_byte_of_view(text, offsets);
            }
        }
        engine.skip_to(text.len(), Before::at(text, text.len()), text.last().copied());
        let results = self.results(engine, window, offsets);
        // What blocks at the very end was found with heads left out.
        if results.0.blocked.is_some() { self.scan_every_byte_of_view(text, offsets) } else { results }
    }
}

fn last_before(text: &[u8], position: usize) -> Option<u8> {
    text.get(..position)?.last().copied()
}

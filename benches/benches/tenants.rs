//! What tenants cost: time to compile their rules and resident memory, with the built-in detectors alone, with a choice
//! of actions for them that few others have, and with 20 terms of their own.
//!
//! `cargo bench -p bulkhead-benches --bench tenants`. Takes about a gigabyte of memory.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use bulkhead_benches::measure::resident_bytes;
use bulkhead_dlp::{
    Action, CompileLimits, CustomDetector, CustomPattern, Detector, Rule, RuleSet, catalogue,
};

const TERMS: usize = 20;

/// From so many tenants on what all share does not count.
const MANY: u64 = 100_000;

/// What tenants have beside the built-in detectors, and the most bytes that one of many may take with it.
const KINDS: [(Own, &str, u64); 3] = [
    (Own::Nothing, "built-ins", 1 << 10),
    (Own::Actions, "and own actions", 1 << 10),
    (Own::Terms, "and 20 own terms", 12 << 10),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Nothing,
    Actions,
    Terms,
}

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let selectors = ["secret.*", "pii.*", "CREDIT_CARD"];
    let built_in: Vec<Rule> =
        selectors.into_iter().flat_map(|selector| catalogue().select(selector)).map(masked).collect();
    let shared = RuleSet::new(built_in.clone(), Vec::new());
    ensure!(!shared.scan(b"4539 5787 6362 1486").clean(), "a card is found");
    // All stay to the end: what is freed would be taken again and not be counted.
    let mut compiled = Vec::new();
    for tenants in [1, 10_000, MANY] {
        for (own, what, bytes_max) in KINDS {
            let before = resident_bytes(std::process::id())?;
            let start = Instant::now();
            let sets = (0..tenants).map(|tenant| compile(&built_in, own, tenant));
            let sets = sets.collect::<anyhow::Result<Vec<_>>>()?;
            let micros = start.elapsed().as_micros() / u128::from(tenants);
            let bytes = resident_bytes(std::process::id())?.saturating_sub(before) / tenants;
            let last = sets
                .last()
                .map(|rules| rules.scan(format!("we call it {}", term(tenants - 1, 0)).as_bytes()));
            ensure!(
                last.is_some_and(|scan| scan.clean() != (own == Own::Terms)),
                "the last tenant's own term is found"
            );
            ensure!(tenants < MANY || bytes <= bytes_max, "{what}: {bytes} B each, at most {bytes_max}");
            compiled.push(sets);
            writeln!(out, "{tenants:>7} tenants, {what:<18} {micros:>6} us and {bytes:>6} B each")?;
        }
    }
    Ok(())
}

fn masked(detector: &Arc<Detector>) -> Rule {
    Rule::new(Arc::clone(detector), Action::Mask)
}

fn compile(built_in: &[Rule], own: Own, tenant: u64) -> anyhow::Result<RuleSet> {
    let mut rules = built_in.to_vec();
    if own == Own::Actions {
        for (rule, place) in rules.iter_mut().zip(0..) {
            rule.action = if tenant >> (place % 32) & 1 == 1 { Action::Block } else { Action::Mask };
        }
    }
    if own == Own::Terms {
        let terms = (0..TERMS).map(|index| term(tenant, index)).collect();
        let own = CustomDetector {
            id: "OWN".to_owned(),
            pattern: CustomPattern::Terms { terms, ignore_case: true },
        };
        rules.push(masked(&Arc::new(Detector::custom(&own, &CompileLimits::default())?)));
    }
    Ok(RuleSet::new(rules, Vec::new()))
}

/// Two words that no other tenant has.
fn term(tenant: u64, index: usize) -> String {
    let letters = |number: u64| -> String {
        let digits = std::iter::successors(Some(number), |rest| Some(rest / 26)).take(5);
        digits.map(|digit| char::from(b'a' + u8::try_from(digit % 26).unwrap_or(0))).collect()
    };
    format!("{} {}", letters(tenant.wrapping_mul(7_919)), letters(index as u64 * 104_729 + tenant))
}

//! Shares of a budget that nodes hold, so that many nodes together never spend more than its limit.
//!
//! The database keeps, for every window of every count, what was reported as settled (S), and for every holder how much it
//! was granted (G) and has reported (R). A holder is one process over one spool. All of it changes only under the lock of
//! the row that holds S:
//!
//! - **Ask.** A node names totals, never differences: how much it goes by, how much it must have been granted in all for what
//!   waits to pass, and how much it would like. [`Standing::grant`] decides the new G. An ask that arrives again, or after a later
//!   one, is ignored by its number.
//! - **Report.** A shipment of the spool adds what was settled to S and to the holder's R, once, by its place in the spool.
//!   No answer is needed, and a process that is gone reports too: the next one ships its records, which name the holder.
//! - **Give back.** A node lowers what it may still reserve, and only then says what it goes by now.
//!
//! **The law.** Let `H = sum over holders of max(0, G - R)`. After every step `S + H <= limit + D`, where D is what single
//! requests cost above their own reservations: a grant raises H by at most the room that is left, a report moves from H to S
//! (and what it has no G for is D), giving back only lowers H. A holder reserves at most `G - what it has settled`, so what was
//! truly spent is at most `S + H`. A limit that is lowered binds new grants at once, and what was granted before is spent or given back.
//!
//! **Crashes.** Nobody knows what the requests in flight have cost, so what a dead holder had been granted and never reports
//! stays counted until its window ends. When its lease expires it shows as used instead of leased; nothing else happens
//! then, so no clock decides whether the law holds. Late reports move it to S as ever.
//!
//! **Windows** are named by their start, as the admitting node's clock sees it, and share nothing. A stream settles in the window it
//! began in, by the lease of that window. Where a budget's calendar changes, new windows may begin where old ones did: the node has
//! two counts of one window then, which are two holders. Reports do not say which of the two has settled; they go to the one that
//! holds most. That keeps the law, because `max(0, G - R)` of two holders is never less in all than that of their sums.
//!
//! `tests/protocol.rs` walks through every state (some 700,000) that the code in this file and the counters of a node can reach with two
//! nodes, three requests that cost less or more than they reserve, a crash, and asks that are lost, late, out of order or given up
//! on; it fails when asks lose their numbers or a grant forgets what others hold. `store/src/tests/leases.rs` does the same to the
//! SQL with nodes at once, `tests/tests/shared_budgets.rs` to whole nodes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{BudgetUnit, LedgerKey};

/// Of what is left a node gets so much at a time beyond what it needs at once: a quarter of an equal share, so that the others
/// find something too and the last of a budget is dealt in ever smaller slices.
const SHARE_PARTS: u64 = 4;

/// Who holds a lease: one process over one spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// Names the spool, for ever.
    pub spool: Uuid,
    /// The number of the first segment that the process writes there. Its reports come from this segment or later ones.
    pub term: u64,
}

/// What a node asks for one count in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseAsk {
    /// The count.
    pub key: LedgerKey,
    /// What is counted.
    pub unit: BudgetUnit,
    /// Start of the window.
    pub window_start: DateTime<Utc>,
    /// The budget's limit, in the unit, as the node's policy states it.
    pub limit: u64,
    /// How much the node goes by: never more than it was granted; less, where it gives back or missed an answer.
    pub have: u64,
    /// How much it must have been granted in all so that what waits can pass.
    pub need: u64,
    /// How much it would like to have been granted in all.
    pub want: u64,
    /// Which of the process's counts of this window asks: one that was opened anew holds nothing of what another was granted.
    pub opening: u64,
    /// Grows with every ask of this count.
    pub number: u64,
}

/// What the database says to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseAnswer {
    /// What the node has been granted in all.
    pub granted: u64,
    /// What others have reported as settled.
    pub others_settled: u64,
}

/// What one holder was granted and has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lease {
    /// G: granted in all.
    pub granted: u64,
    /// R: reported as settled in all.
    pub reported: u64,
}

impl Lease {
    /// Returns what the holder may still settle.
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.granted.saturating_sub(self.reported)
    }
}

/// How a window of a count stands, seen by one holder under the lock of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The budget's limit.
    pub limit: u64,
    /// S: what all holders have reported.
    pub settled: u64,
    /// What the other holders may still settle.
    pub others_held: u64,
    /// How many other holders are alive.
    pub others_alive: u64,
    /// The holder's own lease.
    pub own: Lease,
}

impl Standing {
    /// Decides how much the holder has been granted in all from now on: at least what it goes by, unless that was never
    /// granted.
    ///
    /// ```
    /// use bulkhead_policy::ledger::{Lease, Standing};
    /// let own = Lease { granted: 100, reported: 80 };
    /// let standing = Standing { limit: 1_000, settled: 580, others_held: 0, others_alive: 1, own };
    /// assert_eq!(standing.grant(100, 110, 900), 150);   // 400 are left: an eighth of them, which covers what is needed
    /// assert_eq!(standing.grant(100, 900, 900), 500);   // what is needed, as far as there is any
    /// assert_eq!(standing.grant(90, 0, 0), 90);         // given back
    /// ```
    #[must_use]
    pub fn grant(&self, have: u64, need: u64, want: u64) -> u64 {
        let own = Lease { granted: self.own.granted.min(have), ..self.own };
        let held = own.held().saturating_add(self.others_held);
        let left = self.limit.saturating_sub(self.settled.saturating_add(held));
        let share = left / SHARE_PARTS.saturating_mul(self.others_alive.saturating_add(1));
        // What was settled above the grant is in `settled` already and needs no room again.
        let base = own.granted.max(own.reported);
        let dealt = want.min(base.saturating_add(share)).max(need);
        dealt.min(base.saturating_add(left)).max(own.granted)
    }
}

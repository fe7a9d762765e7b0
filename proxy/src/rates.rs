//! Shares the rates that are in use on this node with the other nodes, beside the requests.

use crate::metrics::Metrics;
use crate::ship::in_time;
use bulkhead_policy::limiter::{Nodes, Sharing};
use bulkhead_store::{Store, writer};
use chrono::Utc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// How often it is looked at what came into use; [`Sharing`] knows when to ask for what.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the database may take for an answer, which counts from when it was asked for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rates per transaction.
const ASKS_MAX: usize = 500;

/// Asks for this node's parts of rates, as `node`, until it is aborted; `store` acts as [`bulkhead_store::Role::Writer`].
pub async fn share_rates(store: Store, node: Uuid, nodes: Nodes, metrics: Arc<Metrics>) {
    let mut sharing = Sharing::new(nodes);
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    loop {
        look.tick().await;
        for asks in sharing.asks(Utc::now()).chunks(ASKS_MAX) {
            let asked_at = Utc::now();
            sharing.expire(asked_at);
            let answer = writer::share_rates(&store, node, sharing.nodes(), asks);
            let answered = in_time(PATIENCE, answer).await;
            let outcome = if answered.is_ok() { "answered" } else { "failed" };
            metrics.rate_rounds.with_label_values(&[outcome]).inc();
            if let Err(error) = &answered
                && !is_away
            {
                tracing::warn!(error, "this node goes by an equal part of each rate");
            }
            is_away = answered.is_err();
            if let Ok(parts) = answered {
                sharing.answered(asks, &parts, asked_at, Utc::now());
            } else {
                // What is left waits for the next round, and is not trusted for longer than it may be meanwhile.
                break;
            }
        }
    }
}

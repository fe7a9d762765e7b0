//! The slow part of compiling ahead of the rest: a tenant's own detectors.

use std::sync::Arc;

use bulkhead_dlp::Detector;

use super::Builder;
use crate::document::DetectorDocument;
use crate::raw::RawTenant;

/// Detectors that were compiled ahead; while it is kept, an update finds them.
#[derive(Debug, Default)]
pub struct Prepared {
    _detectors: Vec<Arc<Detector>>,
}

impl Builder {
    /// Says whether [`update`](Self::update) with these rows has no detector to compile, so that it is quick.
    #[must_use]
    pub fn is_prepared(&self, raw: &RawTenant) -> bool {
        self.own_detectors(raw).iter().all(|document| self.detectors.holds(document, &self.options.detector))
    }

    /// Compiles the detectors of these rows, within the bounds of a policy. What is wrong with them the update says.
    ///
    /// Costs up to some hundred milliseconds.
    #[must_use]
    pub fn prepare(&self, raw: &RawTenant) -> Prepared {
        let mut prepared = Prepared::default();
        let mut bytes = 0;
        for document in self.own_detectors(raw) {
            let Ok(detector) = self.detectors.get(&document, &self.options.detector) else { break };
            bytes += detector.automaton_bytes();
            prepared._detectors.push(detector);
            if bytes > self.options.automata_bytes_max {
                break;
            }
        }
        prepared
    }

    /// Of all documents that can be read.
    fn own_detectors(&self, raw: &RawTenant) -> Vec<DetectorDocument> {
        let policies = raw.policy.iter().chain(raw.agent_policies.iter().map(|(_, policy)| policy));
        policies
            .filter_map(|policy| self.parse(policy).ok())
            .flat_map(|document| document.dlp.detectors)
            .collect()
    }
}

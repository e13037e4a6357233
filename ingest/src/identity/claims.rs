//! Collects the claims of batches, each once.

use std::sync::Arc;

use ahash::HashMap;
use arrow::array::RecordBatch;

use super::claim::{Claim, Seen, to_batch};
use super::flow::Flows;
use super::{cloudtrail, ecs, inventory};

/// Tables that claims come from, each with the columns that are looked at.
pub const SOURCES: &[(&str, &[&str])] = &[
    ("ecs_events", ecs::COLUMNS),
    ("vpc_flow", super::flow::COLUMNS),
    ("cloudtrail", cloudtrail::COLUMNS),
    ("inventory", inventory::COLUMNS),
];

const HOUR_MICROS: i64 = 3_600_000_000;

/// What the records of some batches claim: a set, cut by hours.
///
/// Memory is one entry for each different claim in an hour: for flow records that
/// is one for each interface, however many records there are.
#[derive(Debug, Default)]
pub struct Claims {
    set: HashMap<(Claim, i64), Seen>,
    flows: Flows,
}

impl Claims {
    /// Adds what the records of a batch of `table` claim. Other tables claim nothing.
    pub fn see(&mut self, table: &str, batch: &RecordBatch) {
        match table {
            "ecs_events" => ecs::see(batch, self),
            "vpc_flow" => self.flows.see(batch),
            "cloudtrail" => cloudtrail::see(batch, self),
            "inventory" => inventory::see(batch, self),
            _ => {}
        }
    }

    /// Adds one claim.
    pub(super) fn add(&mut self, claim: Claim, seen: Seen) {
        let hour = seen.first.div_euclid(HOUR_MICROS);
        self.set
            .entry((claim, hour))
            .and_modify(|known| known.join(&seen))
            .or_insert(seen);
    }

    /// Joins what another one saw.
    pub fn join(&mut self, other: Claims) {
        for ((claim, _), seen) in other.set {
            self.add(claim, seen);
        }
        self.flows.join(other.flows);
    }

    /// Whether nothing was claimed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.flows.is_empty()
    }

    /// Tells all claims, in any order.
    pub(super) fn each(&self, mut told: impl FnMut(&Claim, &Seen)) {
        for ((claim, _), seen) in &self.set {
            told(claim, seen);
        }
        for (claim, seen) in self.flows.claims() {
            told(&claim, &seen);
        }
    }

    /// The rows of `identity_claims`, in order of time. `ingested_at` is microseconds since the epoch.
    pub fn batch(&self, ingested_at: i64) -> RecordBatch {
        let flows: Vec<(Claim, Seen)> = self.flows.claims().collect();
        let set = self.set.iter().map(|((claim, _), seen)| (claim, seen));
        let flows = flows.iter().map(|(claim, seen)| (claim, seen));
        let mut rows: Vec<(&Claim, &Seen)> = set.chain(flows).collect();
        rows.sort_by(|(claim, seen), (other, other_seen)| {
            (seen.first, claim, seen).cmp(&(other_seen.first, other, other_seen))
        });
        to_batch(&rows, ingested_at)
    }
}

/// Where the records of a batch come from: neighbours mostly share an object.
#[derive(Debug)]
pub(super) struct Origins<'a> {
    sources: super::claim::Texts<'a>,
    lines: Option<&'a arrow::array::Int64Array>,
    last: Arc<str>,
}

impl<'a> Origins<'a> {
    /// Of this batch.
    pub fn new(batch: &'a RecordBatch) -> Self {
        use arrow::array::AsArray;
        Origins {
            sources: super::claim::Texts::new(batch, "_source"),
            lines: batch
                .column_by_name("_line")
                .and_then(|column| column.as_primitive_opt::<arrow::datatypes::Int64Type>()),
            last: Arc::from(""),
        }
    }

    /// The sighting that the record in this row is, from `first` to `last`.
    pub fn seen(&mut self, row: usize, first: i64, last: i64) -> Seen {
        use arrow::array::Array;
        let source = self.sources.at(row).unwrap_or_default();
        if *self.last != *source {
            self.last = Arc::from(source);
        }
        let line = self
            .lines
            .filter(|lines| lines.is_valid(row))
            .map_or(0, |lines| lines.value(row));
        Seen {
            first,
            last: last.max(first),
            source: Arc::clone(&self.last),
            line,
        }
    }
}

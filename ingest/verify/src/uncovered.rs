//! Logs that no digest names, and digests that should have come by now.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::digest::{ChainId, LogName};
use crate::list::{Found, HOUR, MINUTE, Place};
use crate::report::{Gap, GapKind, Kind, ObjectState, Report, State};

/// Newest digest of each account and Region.
#[derive(Debug, Default)]
pub(crate) struct Ends(BTreeMap<(String, String), (DateTime<Utc>, ChainId)>);

impl Ends {
    pub(crate) fn add(&mut self, id: &ChainId, newest: Option<DateTime<Utc>>) {
        let (Some(end), false) = (newest, id.backfill) else {
            return; // Backfill digests come when they are needed, and say nothing of the hour.
        };
        let known = self
            .0
            .entry((id.account.clone(), id.region.clone()))
            .or_insert_with(|| (end, id.clone()));
        if known.0 < end {
            *known = (end, id.clone());
        }
    }
}

/// Adds what is not covered to `report`.
pub(crate) fn add(
    report: &mut Report,
    place: &Place,
    found: &Found,
    ends: &Ends,
    now: Option<DateTime<Utc>>,
) {
    let logs = || {
        let each = found
            .logs
            .iter()
            .flat_map(|(name, logs)| logs.iter().map(move |log| (name, log)));
        each.filter_map(|(name, log)| Some((LogName::parse(name)?, log)))
    };
    // Not every trail has digests over every kind of log: a kind counts once a digest names one.
    let kinds: HashSet<String> = logs()
        .filter(|(_, log)| log.named)
        .map(|(name, _)| name.kind)
        .chain(["CloudTrail".to_owned()])
        .collect();
    let mut latest: BTreeMap<(String, String), DateTime<Utc>> = BTreeMap::new();
    for (name, log) in logs().filter(|(name, log)| log.in_window && name.kind == "CloudTrail") {
        let entry = latest.entry((name.account, name.region)).or_insert(log.delivered);
        *entry = (*entry).max(log.delivered);
    }
    let mut overdue = HashSet::new();
    for (group, (end, chain)) in &ends.0 {
        let until = latest.get(group).copied().max(now);
        // An hour until the next digest is due, and one for it to come.
        if let Some(until) = until.filter(|until| *until > *end + HOUR * 2) {
            overdue.insert(group.clone());
            report.gaps.push(Gap {
                chain: chain.clone(),
                kind: GapKind::Overdue,
                from: Some(*end),
                until,
                digests: (until - *end - HOUR).num_hours().max(1) as u64,
                beside: String::new(),
            });
        }
    }
    for (name, log) in logs().filter(|(_, log)| log.in_window && !log.named) {
        if !kinds.contains(&name.kind) {
            report.foreign += 1;
            continue;
        }
        let group = (name.account, name.region);
        let end = ends.0.get(&group).map(|(end, _)| *end);
        let in_gap = report.gaps.iter().any(|gap| {
            gap.kind == GapKind::MissingDigests
                && (&gap.chain.account, &gap.chain.region) == (&group.0, &group.1)
                && gap.from.is_none_or(|from| log.delivered + MINUTE > from)
                && log.delivered <= gap.until
        });
        let after = end.is_some_and(|end| log.delivered + MINUTE > end);
        let (state, reason) = match end {
            None => (State::NotCovered, "this account and Region has no digests here"),
            Some(_) if after && !overdue.contains(&group) => (
                State::Pending,
                "delivered after the newest digest; the next one is to name it",
            ),
            Some(_) if after => (
                State::NotCovered,
                "delivered after the newest digest, which has no successor",
            ),
            Some(_) if in_gap => (State::NotCovered, "delivered in a time whose digest is missing"),
            Some(_) => (State::NotCovered, "no digest names it"),
        };
        let (account, region) = group;
        report.objects.push(ObjectState {
            name: place.name(log.path.as_ref()),
            kind: Kind::Log,
            state,
            digest: None,
            account: Arc::from(account),
            region: Arc::from(region),
            digest_start: None,
            digest_end: None,
            reason: Some(reason.to_owned()),
        });
    }
}

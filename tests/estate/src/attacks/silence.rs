//! Attacks, or faults, that take records away.

use super::{Kind, Needs, Stage};
use crate::flow::Mute;

const HOUR: i64 = 3600;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        rule: "net-skipdata",
        seconds: [HOUR; 3],
        needs: Needs::Any,
        act: skip,
    },
    Kind {
        rule: "net-eni-silent",
        seconds: [2 * HOUR, 3 * HOUR, 6 * HOUR],
        needs: Needs::Any,
        act: silent,
    },
];

/// AWS says that it skipped records of an interface, again and again.
fn skip(stage: &mut Stage<'_>) {
    let windows = stage.by([3, 8, 25]);
    let Some(eni) = stage.host(stage.at) else { return };
    let step = (3000 / windows).max(stage.plan.options.aggregation);
    for nth in 0..windows {
        let from = stage.at + nth * step;
        let to = from + stage.plan.options.aggregation - 1;
        stage.skips.push((eni, from, to));
        stage.mutes.push(Mute {
            eni: Some(eni),
            from,
            until: to,
        });
    }
    stage.detail = format!("{windows} windows skipped");
}

/// A task runs, and its interface shows nothing, not even that there was nothing.
fn silent(stage: &mut Stage<'_>) {
    let seconds = stage.by([5400, 3 * HOUR - 600, 6 * HOUR - 600]);
    let Some(eni) = stage.host(stage.at) else { return };
    stage.mutes.push(Mute {
        eni: Some(eni),
        from: stage.at,
        until: stage.at + seconds,
    });
    stage.detail = format!("no record for {seconds} s");
}

//! Beacons: a call-out that repeats, with more or less jitter.

use std::fmt;

use super::{Kind, Needs, Stage};

const HOUR: i64 = 3600;

pub(super) const KINDS: &[Kind] = &[Kind {
    rule: "net-beacon",
    seconds: [24 * HOUR, 16 * HOUR, 12 * HOUR],
    needs: Needs::Any,
    act: beacon,
}];

/// A beacon's period in seconds and its jitter in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    period: i64,
    jitter: i64,
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "period {} s, jitter {}%", self.period, self.jitter)
    }
}

/// From once a minute to once an hour, from none to a third.
pub(super) fn grid() -> impl Iterator<Item = Cell> {
    [60, 120, 300, 600, 1200, 1800, 3600]
        .into_iter()
        .flat_map(|period| [0, 10, 20, 30].map(|jitter| Cell { period, jitter }))
}

/// The slower and the less regular, the weaker. A period must be some windows
/// long, or records show one connection where there are many.
fn beacon(stage: &mut Stage<'_>) {
    let window = stage.plan.options.aggregation;
    let (period, jitter, hours) = stage.by([(1800, 30, 23), (1200, 15, 15), (300, 0, 11)]);
    call(
        stage,
        Cell {
            period: period.max(3 * window),
            jitter,
        },
        hours * HOUR,
    );
}

/// One cell of the grid: a day, or as long as its task lives.
pub(super) fn cell(stage: &mut Stage<'_>, cell: Cell) {
    let lives = stage.plan.tasks[stage.task].stopping - stage.at;
    call(stage, cell, lives.min(24 * HOUR));
}

fn call(stage: &mut Stage<'_>, cell: Cell, seconds: i64) {
    let to = stage.foreign();
    let mut at = stage.at;
    while at < stage.at + seconds && at < stage.plan.options.end() - 60 {
        let (up, down) = (900 + stage.rng.below(120), 1_400 + stage.rng.below(90));
        stage.send(at, 1, to, 443, (up, down));
        let wide = cell.period * cell.jitter / 100;
        at += cell.period + stage.rng.range(-wide, wide + 1);
    }
    stage.detail = format!("{cell}, for {seconds} s");
}

//! One log group: which window of event times to read next.

use std::collections::BTreeMap;

use tokio::time::Instant;
use tracing::{info, warn};

use super::deliver::LogGroup;
use super::position::{Counter, GroupPosition};
use super::{AHEAD_MS, CloudWatchOptions, time};

/// First window over the past: short, since nobody knows how much there is.
const SPAN_FIRST_MS: i64 = 5 * 60 * 1000;
/// Longest window over the past.
const SPAN_MAX_MS: i64 = 7 * 24 * 3600 * 1000;
/// Shortest window over the past.
const SPAN_MIN_MS: i64 = 1000;

/// A window over the past with fewer events makes the next one longer, one with
/// more than ten times as many shorter: their ids are remembered until it is done.
const WINDOW_EVENTS_FEW: u64 = 10_000;

/// Quick reads overlap by what was lately seen as lateness, half of it again, and this.
const OVERLAP_EXTRA_MS: i64 = 15_000;

/// Counts of streams that were not seen for so long are dropped.
const STREAM_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

/// How one group stands.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub log_group: LogGroup,
    /// All events before this time were handed out, milliseconds since the epoch.
    pub settled_ms: i64,
    /// When to read it next.
    pub due: Instant,
    /// There is nothing more to read.
    pub done: bool,
    /// It was deleted.
    pub gone: bool,
    /// How many events its streams had.
    pub streams: BTreeMap<String, Counter>,
    lookback_ms: i64,
    /// Lateness as it was lately seen.
    lateness_ms: i64,
    /// The worst lateness that was told.
    told_ms: i64,
    span_ms: i64,
    /// When the last window began to be read.
    began_ms: Option<i64>,
    /// When the last window that reached back to `settled_ms` began to be read.
    full_ms: Option<i64>,
}

/// Which events a window is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Events so old that none can come in any more.
    Past,
    /// All that may still come in.
    Full,
    /// What came lately: quick, between two full ones.
    Head,
}

/// A window of event times, both ends inclusive.
#[derive(Debug, Clone)]
pub struct Window {
    /// Which events it is for.
    pub kind: Kind,
    /// First time, milliseconds since the epoch.
    pub start_ms: i64,
    /// Last time, milliseconds since the epoch.
    pub end_ms: i64,
    /// When it began to be read, milliseconds since the epoch.
    pub began_ms: i64,
    /// Its next page.
    pub token: Option<String>,
    /// New events in it.
    pub events: u64,
    /// How long after its time the latest of them was taken by CloudWatch Logs.
    pub lateness_ms: i64,
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

impl Group {
    /// A group that is taken up where it was left, or from `since_ms` on.
    pub fn new(
        log_group: LogGroup,
        resumed: Option<GroupPosition>,
        since_ms: i64,
        options: &CloudWatchOptions,
    ) -> Self {
        let resumed = resumed.unwrap_or(GroupPosition {
            through_ms: i64::MIN,
            ..GroupPosition::default()
        });
        // Events before what the user now wants are left out, but a position is never gone back behind.
        let settled_ms = match (resumed.through_ms, options.since_ms) {
            (i64::MIN, _) => since_ms,
            (through, Some(since)) => through.max(since),
            (through, None) => through,
        };
        let lookback = millis(options.lookback);
        Group {
            log_group,
            settled_ms: settled_ms.max(0),
            due: Instant::now(),
            done: false,
            gone: false,
            streams: resumed.streams,
            lookback_ms: resumed
                .lookback_ms
                .min(millis(options.lookback_max))
                .max(lookback),
            lateness_ms: 0,
            told_ms: 0,
            span_ms: SPAN_FIRST_MS,
            began_ms: None,
            full_ms: None,
        }
    }

    /// Where to take it up the next time.
    pub fn position(&self) -> GroupPosition {
        GroupPosition {
            through_ms: self.settled_ms,
            lookback_ms: self.lookback_ms,
            streams: self.streams.clone(),
        }
    }

    /// What to read next. `last_ms` is the last event time that is wanted.
    pub fn window(&self, now_ms: i64, last_ms: Option<i64>) -> Window {
        let last = last_ms.unwrap_or(i64::MAX);
        let span_end = self.settled_ms.saturating_add(self.span_ms - 1);
        let (kind, start, end) = if span_end < last.min(now_ms - self.lookback_ms) {
            (Kind::Past, self.settled_ms, span_end)
        } else {
            let end = last.min(now_ms + AHEAD_MS);
            match (self.full_ms, self.began_ms) {
                (Some(full), Some(began)) if now_ms - full < self.lookback_ms / 2 => {
                    (Kind::Head, (began - self.overlap_ms()).max(self.settled_ms), end)
                }
                _ => (Kind::Full, self.settled_ms, end),
            }
        };
        Window {
            kind,
            start_ms: start.min(end),
            end_ms: end,
            began_ms: now_ms,
            token: None,
            events: 0,
            lateness_ms: 0,
        }
    }

    fn overlap_ms(&self) -> i64 {
        (self.lateness_ms + self.lateness_ms / 2 + OVERLAP_EXTRA_MS).min(self.lookback_ms)
    }

    /// Takes note of a window that was read to its end.
    pub fn finish(
        &mut self,
        source: &str,
        window: &Window,
        last_ms: Option<i64>,
        options: &CloudWatchOptions,
    ) {
        // A burst of late events is remembered for a while.
        self.lateness_ms = window.lateness_ms.max(self.lateness_ms - self.lateness_ms / 10);
        self.widen(source, window, options);
        self.began_ms = Some(window.began_ms);
        if window.kind != Kind::Head {
            let settled = (window.end_ms + 1).min(window.began_ms - self.lookback_ms);
            self.settled_ms = self.settled_ms.max(settled);
        }
        match window.kind {
            Kind::Past => {
                if window.events < WINDOW_EVENTS_FEW {
                    self.span_ms = (self.span_ms * 4).min(SPAN_MAX_MS);
                } else if window.events > 10 * WINDOW_EVENTS_FEW {
                    self.span_ms = (self.span_ms / 4).max(SPAN_MIN_MS);
                }
                self.due = Instant::now();
            }
            Kind::Full | Kind::Head => {
                if window.kind == Kind::Full {
                    self.full_ms = Some(window.began_ms);
                }
                self.due = Instant::now() + options.poll;
                // A followed group is read until nothing can come in late any more.
                self.done = last_ms
                    .is_some_and(|last| window.end_ms >= last && (!options.follow || self.settled_ms > last));
            }
        }
    }

    /// Widens the look-back to what came in late, and says what it cannot promise.
    fn widen(&mut self, source: &str, window: &Window, options: &CloudWatchOptions) {
        let lateness = window.lateness_ms;
        if lateness <= self.lookback_ms || lateness <= self.told_ms {
            return;
        }
        self.told_ms = lateness;
        let (group, before) = (&self.log_group.name, self.lookback_ms);
        let wanted = lateness.saturating_add(lateness / 4);
        self.lookback_ms = wanted.min(millis(options.lookback_max)).max(self.lookback_ms);
        let (late_s, before_s, now_s) = (lateness / 1000, before / 1000, self.lookback_ms / 1000);
        if window.kind == Kind::Past {
            info!(
                source,
                group,
                late_s,
                now_s,
                "events of the past came in later than the look-back: widens it within its bound"
            );
        } else {
            warn!(
                source,
                group,
                late_s,
                before_s,
                now_s,
                settled = time(self.settled_ms),
                "an event came in later than the look-back: others from before the settled time may be missing; \
                 read that time again with --since and another --state, or set a longer look-back"
            );
        }
    }

    /// Drops counts of streams that were not seen for a week.
    pub fn forget_streams(&mut self, now_ms: i64) {
        self.streams
            .retain(|_, counter| now_ms - counter.seen_ms < STREAM_KEPT_MS);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const MINUTE: i64 = 60_000;

    fn group(settled_ms: i64, options: &CloudWatchOptions) -> Group {
        let log_group = LogGroup {
            name: "g".into(),
            arn: None,
        };
        Group::new(log_group, None, settled_ms, options)
    }

    #[tokio::test]
    async fn the_past_is_read_once_and_the_present_again() {
        let options = CloudWatchOptions {
            follow: true,
            lookback: Duration::from_secs(600),
            ..CloudWatchOptions::default()
        };
        let mut group = group(NOW - 40 * MINUTE, &options);
        let mut seen = Vec::new();
        for step in 0..4 {
            let window = group.window(NOW + step * 1000, None);
            seen.push((
                window.kind,
                (window.start_ms - NOW) / MINUTE,
                (window.end_ms + 1 - NOW - step * 1000) / MINUTE,
            ));
            group.finish("s", &window, None, &options);
        }
        assert_eq!(
            seen,
            [
                (Kind::Past, -40, -35),
                (Kind::Past, -35, -15),
                (Kind::Full, -15, 120),
                (Kind::Head, 0, 120),
            ]
        );
        assert_eq!(group.settled_ms, NOW + 2000 - 10 * MINUTE);
        // Half a look-back later all of it is read again.
        let window = group.window(NOW + 2000 + 5 * MINUTE, None);
        assert_eq!((window.kind, window.start_ms), (Kind::Full, group.settled_ms));
    }

    #[tokio::test]
    async fn late_events_widen_the_look_back_within_bounds() {
        let options = CloudWatchOptions {
            lookback: Duration::from_secs(600),
            lookback_max: Duration::from_secs(3600),
            ..CloudWatchOptions::default()
        };
        let mut group = group(NOW - 5 * MINUTE, &options);
        for (lateness_min, lookback_min) in [(10, 10), (20, 25), (400, 60), (30, 60)] {
            let mut window = group.window(NOW, None);
            window.lateness_ms = lateness_min * MINUTE;
            group.finish("s", &window, None, &options);
            assert_eq!(group.lookback_ms, lookback_min * MINUTE, "after {lateness_min}");
        }
        assert_eq!(group.overlap_ms(), group.lookback_ms);
    }

    #[tokio::test]
    async fn a_bounded_run_ends_at_its_last_event_time() {
        let options = CloudWatchOptions::default();
        let mut group = group(NOW - 60 * MINUTE, &options);
        let last = NOW - 20 * MINUTE;
        let mut windows = 0;
        while !group.done {
            let window = group.window(NOW, Some(last));
            assert!(window.end_ms <= last);
            group.finish("s", &window, Some(last), &options);
            windows += 1;
        }
        assert_eq!(windows, 3);
        assert_eq!(group.settled_ms, last + 1);
    }
}

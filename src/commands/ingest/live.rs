//! What is going on, while it goes on: a line a source on a terminal, log lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trailhound_pipeline::Watch;

use super::Job;
use crate::text::{fit, visible};
use crate::when::{show_bytes, show_count, show_duration};

const TICK: Duration = Duration::from_millis(250);

/// Time between two log lines of a source, where nobody watches.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// A source and what it has done so far.
type Line = (String, Arc<Watch>);

/// Shows progress until it is stopped.
pub struct Live {
    lines: Arc<Mutex<Vec<Line>>>,
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Live {
    /// Starts to show what `jobs` do; not if `quiet`.
    pub fn start(jobs: &[Job], quiet: bool) -> Self {
        let lines: Arc<Mutex<Vec<Line>>> = Arc::default();
        if quiet {
            return Live { lines, drawing: None };
        }
        let (sender, receiver) = channel();
        let (shared, terminal) = (Arc::clone(&lines), std::io::stderr().is_terminal());
        let following = jobs.iter().any(|job| job.options.follow);
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            let mut drawn = 0;
            let mut logged = Instant::now();
            while receiver.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let lines = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if terminal {
                    drawn = draw(&lines, started.elapsed(), drawn);
                } else if following && logged.elapsed() >= LOG_EVERY {
                    log(&lines);
                    logged = Instant::now();
                }
            }
            if terminal {
                draw(&[], started.elapsed(), drawn);
            }
        });
        Live {
            lines,
            drawing: Some((sender, thread)),
        }
    }

    /// Adds a source.
    pub fn add(&mut self, name: String, watch: Arc<Watch>) {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name, watch));
    }

    /// Clears the lines; nothing is drawn from here on.
    pub fn stop(&mut self) {
        if let Some((sender, thread)) = self.drawing.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

/// Draws the lines over the `drawn` lines before them. Returns how many it drew.
fn draw(lines: &[Line], elapsed: Duration, drawn: usize) -> usize {
    let window =
        terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(columns, _)| usize::from(columns.0));
    let mut text = String::new();
    if drawn > 0 {
        text.push_str(&format!("\r\x1b[{drawn}A"));
    }
    text.push_str("\x1b[J");
    for (name, watch) in lines {
        text.push_str(&fit(&describe(name, watch, elapsed), window.saturating_sub(1)));
        text.push('\n');
    }
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
    lines.len()
}

/// One source in one line: objects, rows, rate, lag, rejects.
fn describe(name: &str, watch: &Watch, elapsed: Duration) -> String {
    let rows = watch.rows.load(Relaxed);
    let rate = rows as f64 / elapsed.as_secs_f64().max(0.001);
    let mut line = format!(
        "{}  {} objects  {} rows  {}/s  {}",
        visible(name),
        show_count(watch.objects.load(Relaxed)),
        show_count(rows),
        show_count(rate as u64),
        show_bytes(watch.bytes_in.load(Relaxed)),
    );
    let lag = watch.lag_ms.load(Relaxed);
    if lag > 0 {
        line.push_str(&format!(
            "  lag {}",
            show_duration(Duration::from_millis(lag.unsigned_abs()))
        ));
    }
    let rejected = watch.rejected.load(Relaxed);
    if rejected > 0 {
        line.push_str(&format!("  {} rejected", show_count(rejected)));
    }
    line
}

fn log(lines: &[Line]) {
    for (name, watch) in lines {
        tracing::info!(
            source = name,
            objects = watch.objects.load(Relaxed),
            rows = watch.committed.load(Relaxed),
            rejected = watch.rejected.load(Relaxed),
            lag_ms = watch.lag_ms.load(Relaxed),
            "progress"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_objects_rows_rate_lag_and_rejects() {
        let watch = Watch::default();
        watch.objects.store(12, Relaxed);
        watch.rows.store(34_000, Relaxed);
        watch.bytes_in.store(5_000_000, Relaxed);
        assert_eq!(
            describe("s3://b\x1b[2J", &watch, Duration::from_secs(2)),
            "s3://b\u{241b}[2J  12 objects  34,000 rows  17,000/s  5.0 MB"
        );
        watch.lag_ms.store(1500, Relaxed);
        watch.rejected.store(3, Relaxed);
        let line = describe("x", &watch, Duration::from_secs(2));
        assert!(line.ends_with("  lag 1.5 s  3 rejected"), "{line}");
    }
}

//! Progress of a query on standard error, on a terminal only.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trailhound_query::Session;
use trailhound_query::ledger::SharedLedger;

use crate::statements::tokens;
use crate::text::fit;
use crate::when::{show_bytes, show_count, show_duration};

/// Queries that are done by then show no progress: it would only flicker.
const PATIENCE: Duration = Duration::from_millis(400);

const TICK: Duration = Duration::from_millis(150);

/// A progress line, drawn by a thread of its own: the threads that run the
/// query are busy with it.
#[derive(Clone, Default)]
pub struct Progress {
    drawing: Arc<Mutex<Option<Drawing>>>,
}

/// The thread that draws, and what ends it when it is dropped.
type Drawing = (Sender<()>, JoinHandle<()>);

impl Progress {
    /// Starts to watch what `session` reads for `sql`, if anyone can see it.
    pub fn start(session: &Session, sql: &str) -> Self {
        let progress = Progress::default();
        if !std::io::stderr().is_terminal() {
            return progress;
        }
        let reading = Reading::new(Arc::clone(session.ledger()), bytes_to_read(session, sql));
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || {
            if receiver.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            loop {
                draw(&reading.line());
                if receiver.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            draw("");
        });
        *progress.drawing.lock().unwrap_or_else(PoisonError::into_inner) = Some((sender, thread));
        progress
    }

    /// Clears the line, if it is there; nothing is drawn from here on.
    pub fn stop(&self) {
        let drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = drawing {
            drop(sender);
            let _ = thread.join();
        }
    }
}

/// Compressed bytes of the raw tables that the statement names, or of all if
/// it names none: views and rejects read them all.
fn bytes_to_read(session: &Session, sql: &str) -> u64 {
    let names: Vec<String> = tokens(sql).iter().filter_map(|token| token.name(sql)).collect();
    let tables = session.raw_tables();
    let named = tables
        .iter()
        .filter(|table| names.iter().any(|name| name == table.name()));
    match named.map(|table| table.bytes()).sum() {
        0 => tables.iter().map(|table| table.bytes()).sum(),
        bytes => bytes,
    }
}

/// Draws the line over the one before it.
///
/// By hand, as the line must not be filled up with blanks: the `^C` that a
/// terminal echoes would then stand in the next line, and this one be left over.
fn draw(line: &str) {
    let window =
        terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(columns, _)| usize::from(columns.0));
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "\r{}\x1b[K", fit(line, window.saturating_sub(4)));
    let _ = out.flush();
}

/// What one query has read so far.
struct Reading {
    ledger: SharedLedger,
    /// What was read before, by other queries of the session.
    before: (u64, u64),
    total: u64,
    started: Instant,
}

const BAR_COLUMNS: u64 = 20;

impl Reading {
    fn new(ledger: SharedLedger, total: u64) -> Self {
        let live = ledger.live();
        let before = (live.bytes_in.load(Relaxed), live.rows.load(Relaxed));
        Reading {
            ledger,
            before,
            total,
            started: Instant::now(),
        }
    }

    fn line(&self) -> String {
        let live = self.ledger.live();
        let bytes = live.bytes_in.load(Relaxed).saturating_sub(self.before.0);
        let rows = live.rows.load(Relaxed).saturating_sub(self.before.1);
        describe(bytes, self.total, rows, self.started.elapsed())
    }
}

fn describe(bytes: u64, total: u64, rows: u64, elapsed: Duration) -> String {
    let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let mut line = String::new();
    if total > 0 {
        // A query may read a file more than once; it is never more than done.
        let done = bytes.min(total);
        let full = (done * BAR_COLUMNS / total) as usize;
        line.push_str(&"━".repeat(full));
        line.push_str(&"─".repeat(BAR_COLUMNS as usize - full));
        line.push_str(&format!(
            " {:>3}%  {} of {}",
            done * 100 / total,
            show_bytes(bytes),
            show_bytes(total)
        ));
    } else {
        line.push_str(&show_bytes(bytes));
    }
    line.push_str(&format!(
        "  {} rows  {}/s",
        show_count(rows),
        show_bytes(rate as u64)
    ));
    if total > bytes && bytes > 0 {
        line.push_str(&format!(
            "  {} left",
            show_duration(Duration::from_secs_f64((total - bytes) as f64 / rate))
        ));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_rows_rate_and_time_left() {
        let line = describe(25_000_000, 100_000_000, 1_234_567, Duration::from_secs(2));
        assert_eq!(
            line,
            "━━━━━───────────────  25%  25 MB of 100 MB  1,234,567 rows  12 MB/s  6.0 s left"
        );
        assert!(describe(0, 100, 0, Duration::ZERO).starts_with("────────────────────   0%"));
        assert_eq!(describe(10, 0, 1, Duration::from_secs(1)), "10 B  1 rows  10 B/s");
        assert!(describe(300, 100, 1, Duration::from_secs(1)).contains(" 100%"));
    }
}

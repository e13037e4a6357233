//! A cap on requests, shared by all that read from one Region.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The first wait after a request was throttled or failed.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);

/// The longest wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Spaces requests evenly: there are no bursts that would use up a second's quota.
#[derive(Debug)]
pub struct Limiter(Mutex<State>);

#[derive(Debug)]
struct State {
    interval: Duration,
    next: Instant,
}

/// The limiter of `place`. Of several rates that were asked for, the lowest counts.
pub fn shared(place: &str, rate: f64) -> Arc<Limiter> {
    static LIMITERS: OnceLock<Mutex<HashMap<String, Arc<Limiter>>>> = OnceLock::new();
    let mut limiters = LIMITERS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let limiter = limiters
        .entry(place.to_owned())
        .or_insert_with(|| Arc::new(Limiter::new(rate)));
    let mut state = limiter.0.lock().unwrap_or_else(PoisonError::into_inner);
    state.interval = state.interval.max(interval(rate));
    drop(state);
    Arc::clone(limiter)
}

fn interval(rate: f64) -> Duration {
    Duration::from_secs_f64(1.0 / rate.clamp(0.001, 10_000.0))
}

impl Limiter {
    fn new(rate: f64) -> Self {
        Limiter(Mutex::new(State {
            interval: interval(rate),
            next: Instant::now(),
        }))
    }

    /// Waits until a request may be sent.
    pub async fn wait(&self) {
        let slot = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = state.next.max(Instant::now());
            state.next = slot + state.interval;
            slot
        };
        tokio::time::sleep_until(slot).await;
    }

    /// Nobody sends for so long: the quota is the account's, not one group's.
    pub fn pause(&self, pause: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.next = state.next.max(Instant::now() + pause);
    }
}

/// How long to wait after so many attempts, counted from 0: doubled each time,
/// with jitter.
pub fn back_off(attempt: u32) -> Duration {
    let full = BACK_OFF_MIN
        .saturating_mul(1 << attempt.min(16))
        .min(BACK_OFF_MAX);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_of_several_groups_keep_to_one_rate() {
        let (one, other) = (shared("rate test", 100.0), shared("rate test", 1000.0));
        let start = Instant::now();
        for _ in 0..10 {
            one.wait().await;
            other.wait().await;
        }
        let taken = start.elapsed();
        assert!(taken >= Duration::from_millis(190), "{taken:?}");
    }

    #[test]
    fn back_off_grows_to_a_bound() {
        for attempt in 0..40 {
            let pause = back_off(attempt);
            assert!(
                pause >= BACK_OFF_MIN / 2 && pause <= BACK_OFF_MAX,
                "{attempt}: {pause:?}"
            );
        }
        assert!(back_off(39) >= BACK_OFF_MAX / 2);
    }
}

//! The source, asked ahead: a task of its own waits for deliveries and holds a few.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trailhound_ingest::error::Error;
use trailhound_sources::{Delivery, Source, Step};

/// Deliveries that wait to be read. Few: what waits here is taken from the source
/// and in nobody's batch yet.
const AHEAD_MAX: usize = 4;

/// Deliveries in the order of the source, and those that were given back first.
pub struct Feed {
    returned: VecDeque<Box<Delivery>>,
    steps: mpsc::Receiver<Result<Step, Error>>,
    task: JoinHandle<()>,
}

impl Feed {
    /// Starts to ask `source`.
    pub fn start(source: Arc<dyn Source>) -> Self {
        let (sender, steps) = mpsc::channel(AHEAD_MAX);
        let task = tokio::spawn(async move {
            loop {
                let step = source.next().await;
                let last = matches!(step, Ok(Step::End) | Err(_));
                if sender.send(step).await.is_err() || last {
                    return;
                }
            }
        });
        Feed {
            returned: VecDeque::new(),
            steps,
            task,
        }
    }

    /// The next step. May be dropped and asked again: nothing gets lost.
    ///
    /// # Errors
    /// The source failed, and ended with that.
    pub async fn next(&mut self) -> Result<Step, Error> {
        match self.returned.pop_front() {
            Some(delivery) => Ok(Step::Delivery(delivery)),
            None => self.steps.recv().await.unwrap_or(Ok(Step::End)),
        }
    }

    /// Whether deliveries wait that were given back.
    pub fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// Gives deliveries back, to be handed out again before all others.
    pub fn give_back(&mut self, deliveries: impl IntoIterator<Item = Box<Delivery>>) {
        self.returned.extend(deliveries);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! The whole way of one source, from its next delivery to its acknowledgement.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_lake::{Lake, Settlement, State, failpoint, publish, recover};
use trailhound_sources::{Delivery, Outcome, Receipt, Source, Step};

use crate::batch::Batch;
use crate::feed::Feed;
use crate::object::{Read, read};
use crate::settings::Settings;
use crate::watch::Watch;

/// How long nothing is asked of a clock when there is no batch that ages.
const NO_HURRY: Duration = Duration::from_secs(3600);

/// Takes all that `source` has into `lake`, or follows it until `stop` is true.
///
/// Each round gathers whole objects into a batch, shows its rows by one commit a
/// table, remembers in `state` what was taken, and only then tells the source.
/// Whatever round it dies in, the next run finishes it or does it anew.
///
/// # Errors
/// The source cannot be reached, or the lake or the state cannot be written. What
/// was committed until then stays; nothing else was shown.
pub async fn run(
    source: Arc<dyn Source>,
    lake: &Lake,
    state: &Arc<State>,
    settings: &Settings,
    watch: &Arc<Watch>,
    stop: Receiver<bool>,
) -> Result<(), Error> {
    recover(lake, state, source.name()).await?;
    let mut run = Run {
        feed: Feed::start(Arc::clone(&source)),
        source,
        lake,
        state,
        settings,
        watch,
        stop,
        held_back: false,
    };
    loop {
        let (batch, goes_on) = run.gather().await?;
        run.commit(batch).await?;
        match goes_on {
            GoesOn::Yes => {}
            GoesOn::No => return Ok(()),
            GoesOn::Failed(error) => return Err(error),
        }
    }
}

/// Whether another round follows.
enum GoesOn {
    Yes,
    No,
    /// The source failed; what it gave before is committed first.
    Failed(Error),
}

struct Run<'a> {
    feed: Feed,
    source: Arc<dyn Source>,
    lake: &'a Lake,
    state: &'a Arc<State>,
    settings: &'a Settings,
    watch: &'a Arc<Watch>,
    stop: Receiver<bool>,
    /// An object could not be read: the source's position must not move past it.
    held_back: bool,
}

/// An object that was read, or given up.
type Finished = (Box<Delivery>, Result<Read, Error>);

impl Run<'_> {
    /// Reads objects, several at once, until there is enough to commit.
    async fn gather(&mut self) -> Result<(Batch, GoesOn), Error> {
        let mut batch = Batch::new(self.lake, self.settings);
        let mut reading: JoinSet<Finished> = JoinSet::new();
        let mut goes_on = GoesOn::Yes;
        let mut admitting = !*self.stop.borrow();
        if !admitting {
            goes_on = GoesOn::No;
        }
        // A batch that is spoilt by half an object begins anew, without that object.
        let mut spoilt: Option<Box<Delivery>> = None;
        while admitting || !reading.is_empty() {
            let room = admitting && reading.len() < self.settings.objects_at_once;
            let left = batch.time_left().unwrap_or(NO_HURRY);
            tokio::select! {
                biased;
                Some(finished) = reading.join_next(), if !reading.is_empty() => {
                    let (delivery, outcome) = finished.map_err(panicked)?;
                    match outcome? {
                        Read::Failed { reason, stained: true } => {
                            self.fail(&delivery, &reason);
                            spoilt = Some(delivery);
                            admitting = false;
                        }
                        outcome => self.take(&mut batch, delivery, outcome),
                    }
                }
                step = self.feed.next(), if room => match step {
                    Ok(Step::Delivery(delivery)) => self.admit(&mut batch, &mut reading, delivery)?,
                    Ok(Step::Idle) => batch.quiet(),
                    Ok(Step::End) => (admitting, goes_on) = (false, GoesOn::No),
                    Err(error) => (admitting, goes_on) = (false, GoesOn::Failed(error)),
                },
                () = tokio::time::sleep(left), if admitting && batch.time_left().is_some() => admitting = false,
                _ = stopped(&mut self.stop), if admitting => (admitting, goes_on) = (false, GoesOn::No),
            }
            if batch.is_full() {
                admitting = false;
            }
        }
        if let Some(delivery) = spoilt {
            batch.abort().await;
            self.feed.give_back(std::mem::take(&mut batch.done).into_iter().map(|(delivery, _)| delivery));
            batch = Batch::new(self.lake, self.settings);
            let reason = "its bytes broke off".to_owned();
            batch.done.push((delivery, Outcome::Failed { reason }));
            if matches!(goes_on, GoesOn::No) && !*self.stop.borrow() {
                goes_on = GoesOn::Yes; // What was given back is still to be read.
            }
        }
        Ok((batch, goes_on))
    }

    /// Takes a delivery up: known content is passed over, all else is read.
    fn admit(&self, batch: &mut Batch, reading: &mut JoinSet<Finished>, delivery: Box<Delivery>) -> Result<(), Error> {
        let known = match &delivery.version {
            Some(version) => !batch.admit(&delivery) || self.state.is_taken(&delivery.name, version)?,
            None => !batch.admit(&delivery),
        };
        if known {
            self.watch.known.fetch_add(1, Relaxed);
            batch.done.push((delivery, Outcome::Taken));
            return Ok(());
        }
        let (sink, settings, watch) = (batch.sink(), self.settings.clone(), Arc::clone(self.watch));
        reading.spawn(async move {
            let outcome = read(&delivery, &sink, &settings, &watch).await;
            drop(sink);
            (delivery, outcome)
        });
        Ok(())
    }

    /// Notes what came of an object.
    fn take(&mut self, batch: &mut Batch, delivery: Box<Delivery>, outcome: Read) {
        match outcome {
            Read::Whole {
                table,
                counts,
                coverage,
                claims,
            } => {
                if let Some(delivered_at) = delivery.delivered_at {
                    let lag = Utc::now().timestamp_micros().saturating_sub(delivered_at);
                    self.watch.lag_ms.store(lag / 1000, Relaxed);
                }
                batch.add(delivery, table, counts, coverage, claims);
            }
            Read::Refused { reason } => {
                tracing::warn!(object = %delivery.name, reason, "skipped");
                self.watch.skip(&delivery.name, &reason);
                batch.done.push((delivery, Outcome::Failed { reason }));
            }
            Read::Gone { reason } => {
                tracing::warn!(object = %delivery.name, reason, "gone before it was read");
                self.watch.skip(&delivery.name, &reason);
                batch.done.push((delivery, Outcome::Taken));
            }
            Read::Failed { reason, .. } => {
                self.fail(&delivery, &reason);
                batch.done.push((delivery, Outcome::Failed { reason }));
            }
        }
    }

    fn fail(&mut self, delivery: &Delivery, reason: &str) {
        tracing::error!(object = %delivery.name, reason, "could not be read");
        self.watch.fail(&delivery.name, reason);
        self.held_back = true;
    }

    /// Shows the rows of a batch, remembers what it took, and tells the source.
    async fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let name = self.source.name();
        let intent = self.state.begin(name)?;
        failpoint::reach("intent-begun");
        let tables = batch.write(name, Utc::now().timestamp_micros()).await?;
        failpoint::reach("files-written");
        let taken: Vec<&Receipt> = batch
            .done
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Taken)
            .map(|(delivery, _)| &delivery.receipt)
            .collect();
        let position = match self.held_back {
            true => None,
            // Not every receipt has one: it holds for all that were handed out before it.
            false => taken
                .iter()
                .filter(|receipt| receipt.position.is_some())
                .max_by_key(|receipt| receipt.number)
                .and_then(|receipt| receipt.position.clone()),
        };
        let settlement = Settlement {
            takes: batch.takes.clone(),
            recent: taken
                .iter()
                .flat_map(|receipt| receipt.recent.iter().map(|recent| (recent.key.clone(), recent.time)))
                .collect(),
            // What is remembered belongs to the position: one does not move without the other.
            forget_before: position
                .as_ref()
                .and_then(|_| taken.iter().filter_map(|receipt| receipt.forget_before).max()),
            position,
        };
        publish(self.lake, self.state, intent, tables, settlement).await?;
        self.watch.commit(&batch.counts);
        self.source.settle(batch.outcomes()).await?;
        failpoint::reach("settled");
        Ok(())
    }
}

/// Waits until `stop` says so; for ever if nobody can say it any more.
async fn stopped(stop: &mut Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn panicked(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Failed, format!("reading an object: {error}"))
}

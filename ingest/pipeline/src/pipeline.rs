//! The whole way of one source, from its next delivery to its acknowledgement.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_lake::{Lake, Settlement, State, failpoint, publish, recover};
use trailhound_sources::{Delivery, Outcome, Source, Step};

use crate::batch::Batch;
use crate::claims::Claim;
use crate::feed::Feed;
use crate::object::{Read, read};
use crate::settings::Settings;
use crate::watch::Watch;

/// How long nothing is asked of a clock when there is no batch that ages.
const NO_HURRY: Duration = Duration::from_secs(3600);

/// How soon an object is asked for again that another source was reading.
const DEFERRED_WAIT: Duration = Duration::from_millis(200);

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
        begins_anew: false,
        deferred: Vec::new(),
        ended: None,
    };
    while run.goes_on() {
        let batch = run.gather().await?;
        run.commit(batch).await?;
    }
    match run.ended {
        Some(Err(error)) => Err(error),
        _ => Ok(()),
    }
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
    /// The last batch was given up. Only what was in it is read next, so that
    /// an object that breaks off every time cannot spoil every batch.
    begins_anew: bool,
    /// Objects that another source was reading.
    #[allow(clippy::vec_box, reason = "deliveries come and go boxed")]
    deferred: Vec<Box<Delivery>>,
    /// How the source ended. What it gave before is committed first.
    ended: Option<Result<(), Error>>,
}

/// An object that was read, or given up.
type Finished = (Box<Delivery>, Result<Read, Error>);

impl Run<'_> {
    fn goes_on(&self) -> bool {
        let waits = self.feed.has_returned() || !self.deferred.is_empty();
        !*self.stop.borrow() && (self.ended.is_none() || waits)
    }

    /// Reads objects, several at once, until there is enough to commit.
    async fn gather(&mut self) -> Result<Batch, Error> {
        let mut batch = Batch::new(self.lake, self.state, self.settings);
        let mut reading: JoinSet<Finished> = JoinSet::new();
        let mut admitting = true;
        let returned_only = std::mem::take(&mut self.begins_anew);
        // Half-read objects whose rows are in the files.
        let mut spoilers: Vec<(Box<Delivery>, String)> = Vec::new();
        loop {
            let no_more = self.ended.is_some() || returned_only;
            if batch.is_full() || (no_more && !self.feed.has_returned() && self.deferred.is_empty()) {
                admitting = false;
            }
            // What another source reads may depend on what is in this batch: it is not waited for.
            if no_more && !self.feed.has_returned() && !batch.is_empty() {
                admitting = false;
            }
            if !admitting && reading.is_empty() {
                break;
            }
            let asks = admitting && (!no_more || self.feed.has_returned());
            let room = asks && reading.len() < self.settings.objects_at_once.max(1);
            let left = batch.time_left().unwrap_or(NO_HURRY);
            tokio::select! {
                biased;
                () = stopped(&mut self.stop), if admitting => admitting = false,
                () = tokio::time::sleep(left), if admitting && batch.time_left().is_some() => admitting = false,
                Some(finished) = reading.join_next(), if !reading.is_empty() => {
                    let (delivery, outcome) = finished.map_err(panicked)?;
                    match outcome? {
                        Read::Failed { reason, stained: true } => {
                            spoilers.push((delivery, reason));
                            admitting = false;
                        }
                        outcome => self.take(&mut batch, delivery, outcome),
                    }
                }
                step = self.feed.next(), if room => match step {
                    Ok(Step::Delivery(delivery)) => self.admit(&mut batch, &mut reading, delivery)?,
                    Ok(Step::Idle) => batch.quiet(),
                    Ok(Step::End) => self.ended = Some(Ok(())),
                    Err(error) => self.ended = Some(Err(error)),
                },
                () = tokio::time::sleep(DEFERRED_WAIT), if admitting && !self.deferred.is_empty() => {
                    self.feed.give_back(self.deferred.drain(..));
                }
            }
        }
        batch.close();
        if !spoilers.is_empty() {
            let (again, kept) = batch.abort().await;
            self.feed.give_back(again);
            self.begins_anew = true;
            batch = Batch::new(self.lake, self.state, self.settings);
            for (delivery, outcome) in kept {
                batch.pass(delivery, outcome);
            }
            for (delivery, reason) in spoilers {
                self.fail(&delivery, &reason);
                batch.pass(delivery, Outcome::Failed { reason });
            }
        }
        Ok(batch)
    }

    /// Takes a delivery up: known content is passed over, all else is read.
    fn admit(
        &mut self,
        batch: &mut Batch,
        reading: &mut JoinSet<Finished>,
        delivery: Box<Delivery>,
    ) -> Result<(), Error> {
        let claims = batch.claims();
        if let Some(version) = &delivery.version {
            match claims.claim(&delivery.name, version)? {
                Claim::Ours => {}
                Claim::Taken => {
                    self.take(batch, delivery, Read::Known);
                    return Ok(());
                }
                Claim::Twin => {
                    let version = version.clone();
                    self.take(batch, delivery, Read::Twin { version });
                    return Ok(());
                }
                Claim::Elsewhere => {
                    self.take(batch, delivery, Read::Elsewhere);
                    return Ok(());
                }
            }
        }
        batch.begin();
        let (sink, settings, watch) = (batch.sink(), self.settings.clone(), Arc::clone(self.watch));
        reading.spawn(async move {
            let outcome = read(&delivery, &sink, &claims, &settings, &watch).await;
            drop(sink);
            (delivery, outcome)
        });
        Ok(())
    }

    /// Notes what came of an object.
    fn take(&mut self, batch: &mut Batch, delivery: Box<Delivery>, outcome: Read) {
        match outcome {
            // Its turn comes when the other source is done with it.
            Read::Elsewhere => return self.deferred.push(delivery),
            Read::Whole {
                table,
                counts,
                coverage,
                identity,
            } => batch.add(delivery, table, counts, coverage, identity),
            Read::Known => {
                self.watch.known.fetch_add(1, Relaxed);
                batch.pass(delivery, Outcome::Taken);
            }
            Read::Twin { version } => {
                self.watch.known.fetch_add(1, Relaxed);
                batch.twin(delivery, version);
            }
            Read::Refused { reason } => {
                tracing::warn!(object = %delivery.name, reason, "skipped");
                self.watch.skip(&delivery.name, &reason);
                batch.pass(delivery, Outcome::Refused { reason });
            }
            Read::Gone { reason } => {
                tracing::warn!(object = %delivery.name, reason, "gone before it was read");
                self.watch.skip(&delivery.name, &reason);
                batch.pass(delivery, Outcome::Taken);
            }
            Read::Failed { reason, .. } => {
                self.fail(&delivery, &reason);
                batch.pass(delivery, Outcome::Failed { reason });
            }
        }
        batch.begin();
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
        let taken = batch.taken();
        // Earlier ones that still wait hold the position back as well.
        let waits = self.feed.has_returned() || !self.deferred.is_empty();
        let position = match self.held_back || waits {
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
                .flat_map(|receipt| {
                    receipt
                        .recent
                        .iter()
                        .map(|recent| (recent.key.clone(), recent.time))
                })
                .collect(),
            // What is remembered belongs to the position: one does not move without the other.
            forget_before: position
                .as_ref()
                .and_then(|_| taken.iter().filter_map(|receipt| receipt.forget_before).max()),
            position,
        };
        publish(self.lake, self.state, intent, tables, settlement).await?;
        self.watch.commit(&batch.counts);
        if let Some(delivered_at) = batch.delivered_last() {
            let lag = Utc::now().timestamp_micros().saturating_sub(delivered_at);
            self.watch.lag_ms.store(lag / 1000, Relaxed);
        }
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

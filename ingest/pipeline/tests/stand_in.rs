//! A source around another one, whose objects a test can tamper with; and a lake that can be held up.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use tokio::sync::watch;
use trailhound_ingest::error::{Error, ErrorKind};
use trailhound_sources::{Body, Outcome, Receipt, Source, Step};

/// Objects that are open at this moment, and the most that ever were.
#[derive(Debug, Default)]
pub struct Open {
    now: AtomicUsize,
    pub most: AtomicUsize,
}

struct Guard(Arc<Open>);

impl Guard {
    fn new(open: &Arc<Open>) -> Self {
        let now = open.now.fetch_add(1, SeqCst) + 1;
        open.most.fetch_max(now, SeqCst);
        Guard(Arc::clone(open))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
    }
}

/// Another source, watched and tampered with.
pub struct StandIn {
    inner: Arc<dyn Source>,
    pub handed_out: AtomicUsize,
    pub open: Arc<Open>,
    /// How often the bytes of an object break off, by the end of its name, and after how many.
    breaks: Mutex<HashMap<String, (usize, usize)>>,
    /// Reads by name.
    pub reads: Arc<Mutex<HashMap<String, usize>>>,
    /// What the pipeline said of each delivery.
    pub settled: Mutex<Vec<(String, Outcome)>>,
    names: Mutex<HashMap<u64, String>>,
}

impl StandIn {
    pub fn new(inner: Arc<dyn Source>) -> Arc<Self> {
        Arc::new(StandIn {
            inner,
            handed_out: AtomicUsize::new(0),
            open: Arc::default(),
            breaks: Mutex::default(),
            reads: Arc::default(),
            settled: Mutex::default(),
            names: Mutex::default(),
        })
    }

    /// The next `times` reads of the object break off after `bytes`.
    pub fn breaks(&self, name: &str, times: usize, bytes: usize) {
        self.breaks
            .lock()
            .unwrap()
            .insert(name.to_owned(), (times, bytes));
    }

    pub fn outcomes(&self, name: &str) -> Vec<Outcome> {
        let settled = self.settled.lock().unwrap();
        let of = settled.iter().filter(|(other, _)| other.ends_with(name));
        of.map(|(_, outcome)| outcome.clone()).collect()
    }

    fn tamper(self: &Arc<Self>, name: &str, body: Body) -> Body {
        let (stand_in, name) = (Arc::clone(self), name.to_owned());
        Arc::new(move || {
            let (stand_in, name, body) = (Arc::clone(&stand_in), name.clone(), Arc::clone(&body));
            Box::pin(async move {
                *stand_in.reads.lock().unwrap().entry(name.clone()).or_default() += 1;
                let guard = Guard::new(&stand_in.open);
                let bytes = body().await?;
                let mut breaks = stand_in.breaks.lock().unwrap();
                let broken = breaks
                    .iter_mut()
                    .find(|(end, (times, _))| name.ends_with(end.as_str()) && *times > 0);
                let Some((_, (times, length))) = broken else {
                    return Ok(guarded(bytes, guard));
                };
                *times -= 1;
                let mut left = *length;
                let kept = bytes.scan((), move |(), chunk| {
                    let chunk: Bytes = chunk.unwrap();
                    let chunk = chunk.slice(..chunk.len().min(left));
                    left -= chunk.len();
                    std::future::ready((!chunk.is_empty()).then_some(Ok(chunk)))
                });
                let cut = futures::stream::once(async {
                    Err(Error::new(ErrorKind::Unreachable, "the line is dead".to_owned()))
                });
                Ok(guarded(kept.chain(cut).boxed(), guard))
            })
        })
    }
}

fn guarded(
    bytes: BoxStream<'static, Result<Bytes, Error>>,
    guard: Guard,
) -> BoxStream<'static, Result<Bytes, Error>> {
    bytes
        .map(move |chunk| {
            let _open = &guard;
            chunk
        })
        .boxed()
}

/// The source as the pipeline sees it.
pub struct AsSource(pub Arc<StandIn>);

#[async_trait]
impl Source for AsSource {
    fn name(&self) -> &str {
        self.0.inner.name()
    }

    async fn next(&self) -> Result<Step, Error> {
        let mut step = self.0.inner.next().await?;
        if let Step::Delivery(delivery) = &mut step {
            self.0.handed_out.fetch_add(1, SeqCst);
            let name = delivery.name.to_string();
            self.0
                .names
                .lock()
                .unwrap()
                .insert(delivery.receipt.number, name.clone());
            delivery.body = self.0.tamper(&name, Arc::clone(&delivery.body));
        }
        Ok(step)
    }

    async fn settle(&self, outcomes: Vec<(Receipt, Outcome)>) -> Result<(), Error> {
        for (receipt, outcome) in &outcomes {
            let name = self.0.names.lock().unwrap()[&receipt.number].clone();
            self.0.settled.lock().unwrap().push((name, outcome.clone()));
        }
        self.0.inner.settle(outcomes).await
    }
}

/// A store whose writes of data files wait until a gate opens.
#[derive(Debug)]
pub struct Gated {
    inner: Arc<dyn ObjectStore>,
    gate: watch::Receiver<bool>,
}

impl Gated {
    pub fn new(inner: Arc<dyn ObjectStore>, gate: watch::Receiver<bool>) -> Self {
        Gated { inner, gate }
    }

    async fn pass(&self, location: &Path) {
        if location.as_ref().ends_with(".parquet") {
            self.gate.clone().wait_for(|is_open| *is_open).await.unwrap();
        }
    }
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gated({})", self.inner)
    }
}

type Answer<T> = object_store::Result<T>;

#[async_trait]
impl ObjectStore for Gated {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Answer<PutResult> {
        self.pass(location).await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Answer<Box<dyn MultipartUpload>> {
        self.pass(location).await;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Answer<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Answer<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Answer<Path>>) -> BoxStream<'static, Answer<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Answer<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Answer<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Answer<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

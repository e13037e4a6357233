//! What the tests of sources share: buckets in a folder, and a reader of everything.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt;
use trailhound_ingest::error::Error;
use trailhound_sources::{Delivery, Outcome, Receipt, Resume, Source, SourceOptions, Step, is_gone, open};

/// Options for tests: quick, and at the servers of the test.
pub fn options(url: &str) -> SourceOptions {
    trailhound_test_aws::credentials();
    SourceOptions {
        endpoint_url: Some(url.to_owned()),
        poll: Duration::from_millis(50),
        patience: Duration::from_secs(20),
        wait: Duration::from_secs(1),
        ..SourceOptions::default()
    }
}

/// Writes an object as nobody would see it half-written.
pub fn put(root: &Path, bucket: &str, key: &str, text: &str) {
    let path = root.join(bucket).join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let other = root.join("put.in-progress");
    std::fs::write(&other, text).unwrap();
    std::fs::rename(other, path).unwrap();
}

/// The source of an address, from its start.
pub async fn opened(address: &str, options: &SourceOptions) -> Box<dyn Source> {
    open(address, options, Resume::default()).await.unwrap()
}

/// The next delivery; none at the end. Idle steps are passed over.
pub async fn next(source: &dyn Source) -> Result<Option<Delivery>, Error> {
    loop {
        let step = tokio::time::timeout(Duration::from_secs(60), source.next()).await;
        match step.expect("a step within a minute")? {
            Step::Delivery(delivery) => return Ok(Some(*delivery)),
            Step::Idle => {}
            Step::End => return Ok(None),
        }
    }
}

/// The bytes of a delivery as text.
pub async fn text(delivery: &Delivery) -> Result<String, Error> {
    let pieces: Vec<bytes::Bytes> = (delivery.body)().await?.try_collect().await?;
    Ok(String::from_utf8(pieces.concat()).unwrap())
}

/// Reads a source to its end, settling each delivery at once. Names and texts; what
/// came more than once in the same version must be the same and counts once.
pub async fn all(source: &dyn Source) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    while let Some(delivery) = next(source).await? {
        let outcome = match text(&delivery).await {
            Ok(text) => {
                found.insert(delivery.name.to_string(), text);
                Outcome::Taken
            }
            Err(error) if is_gone(&error) => Outcome::Taken,
            Err(error) => Outcome::Failed {
                reason: error.to_string(),
            },
        };
        source.settle(vec![(delivery.receipt, outcome)]).await?;
    }
    Ok(found)
}

/// The names of all deliveries, none of them read.
pub async fn names(source: &dyn Source) -> Vec<(String, Receipt)> {
    let mut found = Vec::new();
    while let Some(delivery) = next(source).await.unwrap() {
        found.push((delivery.name.to_string(), delivery.receipt));
    }
    found
}

/// The error of a source that cannot be opened or listed.
pub async fn error(address: &str, options: &SourceOptions) -> Error {
    match open(address, options, Resume::default()).await {
        Err(error) => error,
        Ok(source) => source.next().await.err().expect("an error"),
    }
}

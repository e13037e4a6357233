//! The bytes of one object on S3, whole or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold};
use trailhound_ingest::error::{Error, ErrorKind};

use crate::calls::{Calls, s3_error};
use crate::keys::read_key;
use crate::source::{Delivery, ReadVersion, Receipt, gone};

/// What is known about an object before it is read.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its ETag, without quotes.
    pub tag: Option<String>,
    /// Its length.
    pub bytes: Option<u64>,
    /// Microseconds since the epoch.
    pub changed: Option<i64>,
}

/// The delivery of an object.
pub fn delivery(calls: &Arc<Calls>, found: Found, receipt: Receipt) -> Delivery {
    let name: Arc<str> = format!("s3://{}/{}", found.bucket, found.key).into();
    let read_version = ReadVersion::default();
    let (bytes, delivered_at, version) = (found.bytes, found.changed, found.tag.clone());
    let table = read_key(&found.key).table();
    let object = Arc::new(Object {
        calls: calls.clone(),
        name: name.clone(),
        found,
        said: read_version.clone(),
    });
    Delivery {
        name,
        version,
        read_version,
        table,
        options: BTreeMap::new(),
        lines_before: 0,
        bytes,
        delivered_at,
        body: Arc::new(move || {
            let object = object.clone();
            Box::pin(async move { object.read().await })
        }),
        receipt,
    }
}

/// ETags stand in quotes.
pub fn unquoted(tag: &str) -> String {
    tag.trim_matches('"').to_owned()
}

struct Object {
    calls: Arc<Calls>,
    name: Arc<str>,
    found: Found,
    said: ReadVersion,
}

/// An answer to a read: the version, the whole length, and the bytes from where it was asked.
struct Part {
    tag: String,
    length: u64,
    body: ByteStream,
}

/// Between two pieces.
struct Reading {
    object: Arc<Object>,
    part: Part,
    read: u64,
    began: Instant,
    tries: u32,
}

impl Object {
    async fn read(self: Arc<Self>) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let mut wanted = self.found.tag.clone();
        let part = loop {
            match self.part(wanted.as_deref(), 0).await? {
                Some(part) => break part,
                // Another content lies there by now. It is read, and says so.
                None => wanted = None,
            }
        };
        self.said
            .set((self.found.tag.as_ref() != Some(&part.tag)).then(|| part.tag.clone()));
        let reading = Reading {
            object: self,
            part,
            read: 0,
            began: Instant::now(),
            tries: 0,
        };
        Ok(try_unfold(reading, Reading::next).boxed())
    }

    /// The object from byte `from` on; none if its tag is not `wanted`.
    async fn part(&self, wanted: Option<&str>, from: u64) -> Result<Option<Part>, Error> {
        let Found { bucket, key, .. } = &self.found;
        let answer = self
            .calls
            .send("GetObject", |clients| {
                let mut request = clients.s3.get_object().bucket(bucket).key(key);
                if let Some(tag) = wanted {
                    request = request.if_match(format!("\"{tag}\""));
                }
                if from > 0 {
                    request = request.range(format!("bytes={from}-"));
                }
                request.send()
            })
            .await;
        match answer {
            Ok(output) => Ok(Some(Part {
                tag: unquoted(output.e_tag().unwrap_or_default()),
                length: from + output.content_length().unwrap_or(0).max(0) as u64,
                body: output.body,
            })),
            Err(refused) if refused.status == 412 => Ok(None),
            Err(refused) if refused.code == "NoSuchKey" => Err(gone(&self.name)),
            Err(refused) => {
                let region = self.calls.clients().await.region;
                Err(s3_error(&self.name, bucket, &region, &refused))
            }
        }
    }
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        loop {
            let reason = match self.part.body.next().await {
                Some(Ok(bytes)) => {
                    self.read += bytes.len() as u64;
                    (self.tries, self.began) = (0, Instant::now());
                    return Ok(Some((bytes, self)));
                }
                None if self.read >= self.part.length => return Ok(None),
                None => "it ended too early".to_owned(),
                Some(Err(error)) => trailhound_aws::chain_of(&error),
            };
            // A checksum that fails at the very end is no cut: the bytes are wrong.
            if self.read >= self.part.length && self.part.length > 0 {
                return Err(Error::new(
                    ErrorKind::Failed,
                    format!("{} came damaged: {reason}", self.object.name),
                ));
            }
            self.tries += 1;
            let Some(pause) = self.object.calls.pause_until(self.began, self.tries) else {
                return Err(Error::new(
                    ErrorKind::Unreachable,
                    format!(
                        "{} could not be read past byte {}: {reason}",
                        self.object.name, self.read
                    ),
                ));
            };
            tracing::debug!(
                object = &*self.object.name,
                at = self.read,
                reason,
                "reads the rest"
            );
            tokio::time::sleep(pause).await;
            let tag = self.part.tag.clone();
            match self.object.part(Some(&tag), self.read).await? {
                Some(part) => self.part = part,
                None => {
                    return Err(Error::new(
                        ErrorKind::Failed,
                        format!("{} was replaced while it was read", self.object.name),
                    ));
                }
            }
        }
    }
}

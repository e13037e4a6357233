//! Standard input: one delivery that lasts until its end.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, unfold};
use tokio::sync::mpsc;
use trailhound_ingest::error::{Error, ErrorKind};

use crate::source::{Delivery, Outcome, ReadVersion, Receipt, Source, Step};

/// Most bytes of one piece.
const PIECE_BYTES: usize = 256 << 10;

/// Standard input as a source.
#[derive(Debug, Default)]
pub struct Stdin {
    is_given: AtomicBool,
}

impl Stdin {
    /// Standard input. Nothing is read yet.
    pub fn open() -> Self {
        Stdin::default()
    }
}

#[async_trait]
impl Source for Stdin {
    fn name(&self) -> &str {
        "-"
    }

    async fn next(&self) -> Result<Step, Error> {
        if self.is_given.swap(true, Ordering::Relaxed) {
            return Ok(Step::End);
        }
        let is_open = Arc::new(AtomicBool::new(false));
        Ok(Step::Delivery(Box::new(Delivery {
            name: "stdin".into(),
            version: None,
            read_version: ReadVersion::default(),
            table: None,
            options: BTreeMap::new(),
            lines_before: 0,
            bytes: None,
            delivered_at: None,
            body: Arc::new(move || {
                let is_again = is_open.swap(true, Ordering::Relaxed);
                Box::pin(async move {
                    if is_again {
                        return Err(Error::new(
                            ErrorKind::Failed,
                            "standard input cannot be read a second time",
                        ));
                    }
                    Ok(pieces(std::io::stdin()))
                })
            }),
            receipt: Receipt {
                number: 1,
                ..Receipt::default()
            },
        })))
    }

    async fn settle(&self, _: Vec<(Receipt, Outcome)>) -> Result<(), Error> {
        Ok(())
    }
}

/// What a reader gives, as it comes: a piece is not held back until it is full.
fn pieces(mut input: impl Read + Send + 'static) -> BoxStream<'static, Result<Bytes, Error>> {
    let (sender, receiver) = mpsc::channel(2);
    // A thread of its own: nobody waits for it at the end, should it read for ever.
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = match input.read(&mut piece) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&piece[..length])),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(Error::new(
                    ErrorKind::Failed,
                    format!("cannot read standard input: {error}"),
                )),
            };
            let is_last = read.is_err();
            if sender.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use std::io::Write;

    #[tokio::test]
    async fn pieces_come_as_they_are_written() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut stream = pieces(reader);
        for text in ["one\n", "two\n"] {
            writer.write_all(text.as_bytes()).unwrap();
            assert_eq!(stream.try_next().await.unwrap().unwrap(), text);
        }
        drop(writer);
        assert_eq!(stream.try_next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn it_is_given_once() {
        let source = Stdin::open();
        let Step::Delivery(delivery) = source.next().await.unwrap() else {
            panic!()
        };
        assert_eq!(&*delivery.name, "stdin");
        assert!(matches!(source.next().await.unwrap(), Step::End));
    }
}

//! Reads and hashes objects piece by piece, in bounded memory.

use std::sync::Arc;

use futures::StreamExt;
use object_store::path::Path;
use object_store::{Attribute, Attributes, GetOptions, ObjectStore};
use trailhound_ingest::decode::{Decoder, HEAD_BYTES};

/// Buffer for decompressed bytes.
const PIECE_BYTES: usize = 256 << 10;

/// An object that could not be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is not there (any more).
    Missing,
    /// Why it could not be read.
    Unreadable(String),
}

/// What is known of an object once it was read.
pub(crate) struct Content {
    /// Hex SHA-256 of the uncompressed bytes.
    pub hash: String,
    /// How many these are.
    pub bytes: u64,
    /// The bytes themselves, if they were asked for.
    pub kept: Vec<u8>,
    attributes: Attributes,
}

impl Content {
    /// A value of the object's metadata (`x-amz-meta-NAME`).
    pub fn metadata(&self, name: &'static str) -> Option<&str> {
        let value = self.attributes.get(&Attribute::Metadata(name.into()))?;
        Some(value.as_ref())
    }
}

/// Reads `path` to its end. More than `bytes_max` uncompressed is refused: an
/// object can grow without end while it is inflated.
pub(crate) async fn read(
    store: Arc<dyn ObjectStore>,
    path: Path,
    keep: bool,
    bytes_max: u64,
) -> Result<Content, Unread> {
    let unreadable = |error: object_store::Error| match error {
        object_store::Error::NotFound { .. } => Unread::Missing,
        error => Unread::Unreadable(error.to_string()),
    };
    let result = store
        .get_opts(&path, GetOptions::default())
        .await
        .map_err(unreadable)?;
    let attributes = result.attributes.clone();
    let mut stream = result.into_stream();
    let mut sink = Sink {
        context: ring::digest::Context::new(&ring::digest::SHA256),
        bytes: 0,
        bytes_max,
        kept: keep.then(Vec::new),
        out: Vec::with_capacity(PIECE_BYTES),
    };
    let mut head: Vec<u8> = Vec::new();
    let mut decoder = None;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(unreadable)?;
        let decoder = match &mut decoder {
            Some(decoder) => decoder,
            None => {
                head.extend_from_slice(&piece);
                if head.len() < HEAD_BYTES {
                    continue;
                }
                let decoder = decoder.insert(new_decoder(&head)?);
                sink.push(decoder, &head)?;
                continue;
            }
        };
        sink.push(decoder, &piece)?;
    }
    let mut decoder = match decoder {
        Some(decoder) => decoder,
        None => {
            let mut decoder = new_decoder(&head)?;
            sink.push(&mut decoder, &head)?;
            decoder
        }
    };
    loop {
        let more = decoder
            .finish(&mut sink.out)
            .map_err(|damage| Unread::Unreadable(damage.0))?;
        sink.flush()?;
        if !more {
            break;
        }
    }
    Ok(Content {
        hash: hex(sink.context.finish().as_ref()),
        bytes: sink.bytes,
        kept: sink.kept.unwrap_or_default(),
        attributes,
    })
}

fn new_decoder(head: &[u8]) -> Result<Decoder, Unread> {
    Decoder::new(head).map_err(|damage| Unread::Unreadable(damage.0))
}

struct Sink {
    context: ring::digest::Context,
    bytes: u64,
    bytes_max: u64,
    kept: Option<Vec<u8>>,
    out: Vec<u8>,
}

impl Sink {
    fn push(&mut self, decoder: &mut Decoder, mut piece: &[u8]) -> Result<(), Unread> {
        while !piece.is_empty() {
            let taken = decoder
                .decode(piece, &mut self.out)
                .map_err(|damage| Unread::Unreadable(damage.0))?;
            piece = &piece[taken..];
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Unread> {
        self.bytes += self.out.len() as u64;
        if self.bytes > self.bytes_max {
            let reason = format!("more than {} bytes uncompressed", self.bytes_max);
            return Err(Unread::Unreadable(reason));
        }
        self.context.update(&self.out);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&self.out);
        }
        self.out.clear();
        Ok(())
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Bytes from hex; none if it is not.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let text = text.as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

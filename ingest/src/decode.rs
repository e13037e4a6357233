//! Compressed bytes to plain ones, told by the first bytes and never by the name.
//!
//! [`Decoder`] works on whatever pieces arrive, in bounded memory. [`inflate_whole`]
//! takes a complete gzip object at nearly twice the speed, where it fits the cap.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip, RFC 1952; one member or several.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
    /// Not compressed.
    Plain,
}

impl Compression {
    /// Tells the compression from the first bytes of an object.
    pub fn of(head: &[u8]) -> Self {
        if head.starts_with(&[0x1f, 0x8b]) {
            Compression::Gzip
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Compression::Zstd
        } else {
            Compression::Plain
        }
    }
}

/// Bytes needed before the compression can be told.
pub const HEAD_BYTES: usize = 4;

/// The compressed bytes are broken: nothing after them can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damage(pub String);

/// Decompresses one object piece by piece.
pub struct Decoder(State);

enum State {
    Gzip {
        inflate: Decompress,
        between_members: bool,
    },
    Zstd {
        decoder: zstd::stream::raw::Decoder<'static>,
        between_frames: bool,
    },
    Plain,
}

impl Decoder {
    /// A decoder for an object that begins with `head` (at least [`HEAD_BYTES`],
    /// or all there is).
    ///
    /// # Errors
    /// When the decompressor cannot be set up.
    pub fn new(head: &[u8]) -> Result<Self, Damage> {
        Ok(Decoder(match Compression::of(head) {
            Compression::Gzip => State::Gzip {
                inflate: Decompress::new_gzip(15),
                between_members: true,
            },
            Compression::Zstd => State::Zstd {
                decoder: zstd::stream::raw::Decoder::new()
                    .map_err(|error| Damage(format!("zstd: {error}")))?,
                between_frames: true,
            },
            Compression::Plain => State::Plain,
        }))
    }

    /// Decodes from `input` to the end of `out`, within `out`'s spare capacity.
    /// Returns how many bytes of `input` were taken.
    ///
    /// # Errors
    /// The bytes are damaged. What was decoded before the damage is in `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Damage> {
        let mut taken = 0;
        while taken < input.len() && out.len() < out.capacity() {
            let rest = &input[taken..];
            let step = match &mut self.0 {
                State::Plain => {
                    let length = rest.len().min(out.capacity() - out.len());
                    out.extend_from_slice(&rest[..length]);
                    length
                }
                State::Gzip {
                    inflate,
                    between_members,
                } => {
                    if *between_members {
                        if rest.iter().all(|&byte| byte == 0) {
                            return Ok(input.len()); // Padding, as tapes and some tools add it.
                        }
                        if inflate.total_out() > 0 || inflate.total_in() > 0 {
                            // `Decompress::reset` knows zlib and raw streams only.
                            *inflate = Decompress::new_gzip(15);
                        }
                        *between_members = false;
                    }
                    let (read, written) = (inflate.total_in(), inflate.total_out());
                    let status = inflate
                        .decompress_vec(rest, out, FlushDecompress::None)
                        .map_err(|error| Damage(format!("gzip data is damaged: {error}")))?;
                    if status == Status::StreamEnd {
                        *between_members = true;
                    }
                    let step = (inflate.total_in() - read) as usize;
                    if step == 0 && inflate.total_out() == written && status != Status::StreamEnd {
                        return Err(Damage("gzip data is damaged: no progress".to_owned()));
                    }
                    step
                }
                State::Zstd {
                    decoder,
                    between_frames,
                } => {
                    let start = out.len();
                    let spare = (out.capacity() - start).min(rest.len().saturating_mul(64).max(1 << 16));
                    out.resize(start + spare, 0);
                    let mut source = InBuffer::around(rest);
                    let mut target = OutBuffer::around(&mut out[start..]);
                    let result = decoder.run(&mut source, &mut target);
                    let (step, written) = (source.pos(), target.pos());
                    out.truncate(start + written);
                    let hint = result.map_err(|error| Damage(format!("zstd data is damaged: {error}")))?;
                    *between_frames = hint == 0;
                    if step == 0 && written == 0 {
                        return Err(Damage("zstd data is damaged: no progress".to_owned()));
                    }
                    step
                }
            };
            taken += step;
        }
        Ok(taken)
    }

    /// Decodes what the decompressor still holds after its input ended.
    /// Returns whether more may follow.
    ///
    /// # Errors
    /// The object ends in the middle of its compressed data.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<bool, Damage> {
        let before = out.len();
        match &mut self.0 {
            State::Plain => Ok(false),
            State::Gzip {
                between_members: true,
                ..
            }
            | State::Zstd {
                between_frames: true, ..
            } => Ok(false),
            State::Gzip {
                inflate,
                between_members,
            } => {
                let status = inflate.decompress_vec(&[], out, FlushDecompress::None);
                *between_members = matches!(status, Ok(Status::StreamEnd));
                match (out.len() > before, *between_members) {
                    (true, _) => Ok(true),
                    (false, true) => Ok(false),
                    (false, false) => Err(Damage("gzip data is cut off".to_owned())),
                }
            }
            State::Zstd {
                decoder,
                between_frames,
            } => {
                let capacity = out.capacity();
                out.resize(capacity, 0);
                let mut source = InBuffer::around(&[]);
                let mut target = OutBuffer::around(&mut out[before..]);
                let result = decoder.run(&mut source, &mut target);
                let written = target.pos();
                out.truncate(before + written);
                match result {
                    Ok(0) => *between_frames = true,
                    Ok(_) => {}
                    Err(error) => return Err(Damage(format!("zstd data is damaged: {error}"))),
                }
                match (written > 0, *between_frames) {
                    (true, _) => Ok(true),
                    (false, true) => Ok(false),
                    (false, false) => Err(Damage("zstd data is cut off".to_owned())),
                }
            }
        }
    }
}

/// Buffers above this are worth a system call.
#[cfg(target_os = "linux")]
const HUGE_PAGES_FROM_BYTES: usize = 4 << 20;

/// Asks for large pages for a buffer that is about to be filled once from end to
/// end: a fault for every 4 KiB would cost a third of the time that inflating takes.
#[cfg(target_os = "linux")]
fn advise_huge_pages(buffer: &mut Vec<u8>) {
    const PAGE_BYTES: usize = 4096;
    if buffer.capacity() < HUGE_PAGES_FROM_BYTES {
        return;
    }
    let spare = buffer.spare_capacity_mut();
    let skip = spare.as_ptr().align_offset(PAGE_BYTES);
    let length = (spare.len() - skip) / PAGE_BYTES * PAGE_BYTES;
    // SAFETY: the range lies inside of the buffer's own allocation, and the advice changes
    // how its memory is backed, never what it holds. A refusal is as good as no advice.
    unsafe {
        libc::madvise(spare.as_mut_ptr().add(skip).cast(), length, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_buffer: &mut Vec<u8>) {}

/// Deflate never expands more than this, so a size in a trailer above it is a lie.
const INFLATE_RATIO_MAX: usize = 1032;

/// Inflates a complete gzip object of a single member in one go.
///
/// `None` when it is something else, larger than `bytes_max`, or damaged: the
/// streaming [`Decoder`] then says what is wrong and saves what can be read.
pub fn inflate_whole(input: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    if Compression::of(input) != Compression::Gzip || input.len() < 18 {
        return None;
    }
    // RFC 1952: the last four bytes are the size modulo 2^32.
    let trailer: [u8; 4] = input[input.len() - 4..].try_into().ok()?;
    let size = u32::from_le_bytes(trailer) as usize;
    if size > bytes_max || size > input.len().saturating_mul(INFLATE_RATIO_MAX) {
        return None;
    }
    let mut out: Vec<u8> = Vec::with_capacity(size);
    advise_huge_pages(&mut out);
    let (mut read, mut written) = (0usize, 0usize);
    // SAFETY: the pointers and lengths describe `input` and the spare capacity of
    // `out`; the decompressor is freed once, after its last use.
    let result = unsafe {
        let decompressor = libdeflate_sys::libdeflate_alloc_decompressor();
        if decompressor.is_null() {
            return None;
        }
        let result = libdeflate_sys::libdeflate_gzip_decompress_ex(
            decompressor,
            input.as_ptr().cast(),
            input.len(),
            out.as_mut_ptr().cast(),
            size,
            &mut read,
            &mut written,
        );
        libdeflate_sys::libdeflate_free_decompressor(decompressor);
        result
    };
    if result != libdeflate_sys::libdeflate_result_LIBDEFLATE_SUCCESS || read != input.len() {
        return None; // Several members, trailing bytes, or damage.
    }
    // SAFETY: libdeflate has written `written` bytes, at most the capacity.
    unsafe { out.set_len(written) };
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Decodes `input` given in pieces of `step` bytes into buffers of `room` bytes.
    fn decode(input: &[u8], step: usize, room: usize) -> (Vec<u8>, Option<Damage>) {
        let mut decoder = Decoder::new(input).unwrap();
        let mut all = Vec::new();
        for piece in input.chunks(step) {
            let mut piece = piece;
            while !piece.is_empty() {
                let mut out = Vec::with_capacity(room);
                let result = decoder.decode(piece, &mut out);
                all.extend_from_slice(&out);
                match result {
                    Ok(taken) => piece = &piece[taken..],
                    Err(damage) => return (all, Some(damage)),
                }
            }
        }
        loop {
            let mut out = Vec::with_capacity(room);
            let result = decoder.finish(&mut out);
            all.extend_from_slice(&out);
            match result {
                Ok(true) => {}
                Ok(false) => return (all, None),
                Err(damage) => return (all, Some(damage)),
            }
        }
    }

    fn sample() -> Vec<u8> {
        (0..20_000u32)
            .flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes())
            .collect()
    }

    #[test]
    fn every_compression_in_any_pieces() {
        let text = sample();
        let members = [gzip(&text), gzip(b""), gzip(&text)].concat();
        let frames = [
            zstd::encode_all(&text[..], 1).unwrap(),
            zstd::encode_all(&text[..], 3).unwrap(),
        ]
        .concat();
        let doubled = [text.clone(), text.clone()].concat();
        for step in [1, 7, 1000, 1 << 20] {
            for room in [64, 4096, 1 << 20] {
                assert_eq!(
                    decode(&gzip(&text), step, room),
                    (text.clone(), None),
                    "gzip {step} {room}"
                );
                assert_eq!(
                    decode(&members, step, room),
                    (doubled.clone(), None),
                    "members {step} {room}"
                );
                assert_eq!(
                    decode(&frames, step, room),
                    (doubled.clone(), None),
                    "zstd {step} {room}"
                );
                assert_eq!(
                    decode(&text, step, room),
                    (text.clone(), None),
                    "plain {step} {room}"
                );
            }
        }
    }

    #[test]
    fn a_cut_gives_what_came_before_it() {
        // Enough for many zstd blocks, none a copy of another: a cut in the first gives nothing.
        let text: Vec<u8> = (0..400_000u32)
            .flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes())
            .collect();
        for compressed in [gzip(&text), zstd::encode_all(&text[..], 1).unwrap()] {
            let (out, damage) = decode(&compressed[..compressed.len() / 2], 4096, 4096);
            assert!(damage.expect("the cut is noticed").0.contains("cut off"));
            assert!(!out.is_empty() && text.starts_with(&out));
        }
        let mut broken = gzip(&text);
        let middle = broken.len() / 2;
        broken[middle..middle + 40].fill(0xff);
        assert!(decode(&broken, 4096, 4096).1.is_some());
    }

    #[test]
    fn whole_objects_inflate_in_one_go_or_not_at_all() {
        let text = sample();
        let one = gzip(&text);
        assert_eq!(inflate_whole(&one, 1 << 20), Some(text.clone()));
        assert_eq!(inflate_whole(&one, text.len() - 1), None, "over the cap");
        assert_eq!(
            inflate_whole(&[one.clone(), one.clone()].concat(), 1 << 20),
            None,
            "two members"
        );
        assert_eq!(inflate_whole(&one[..one.len() - 9], 1 << 20), None, "cut off");
        assert_eq!(inflate_whole(b"plain text, not gzip", 1 << 20), None);
    }
}

//! Any bytes as gzip, zstd or plain: the fast way and the streaming way agree.
#![no_main]

use trailhound_ingest::decode::{Decoder, inflate_whole};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(mut decoder) = Decoder::new(data) else { return };
    let (mut rest, mut all, mut sound) = (data, Vec::new(), true);
    while !rest.is_empty() && all.len() < 1 << 22 {
        let mut out = Vec::with_capacity(997);
        match decoder.decode(rest, &mut out) {
            Ok(taken) => rest = &rest[taken..],
            Err(_) => sound = false,
        }
        all.extend_from_slice(&out);
        if !sound {
            break;
        }
    }
    if let Some(whole) = inflate_whole(data, 1 << 22) {
        assert!(sound);
        let mut out = Vec::with_capacity(1 << 22);
        let _ = decoder.finish(&mut out);
        all.extend_from_slice(&out);
        assert_eq!(all, whole);
    }
});

//! Any bytes as `xray_segments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trailhound_ingest_fuzz::check_format("xray_segments", data));

//! Any bytes as `security_hub`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trailhound_ingest_fuzz::check_format("security_hub", data));

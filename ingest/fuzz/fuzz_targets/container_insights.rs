//! Any bytes as `container_insights`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trailhound_ingest_fuzz::check_format("container_insights", data));

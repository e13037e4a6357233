//! Any bytes as `ecs_events`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trailhound_ingest_fuzz::check_format("ecs_events", data));

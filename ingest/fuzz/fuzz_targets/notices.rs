//! Any bytes as a notification.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = trailhound_ingest::notices::notices(data);
});

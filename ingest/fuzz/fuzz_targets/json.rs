//! The JSON walker takes what serde_json takes, and refuses what it refuses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Deeper than the walker goes, on purpose; the reference has another limit.
    if data.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 100 {
        return;
    }
    let ours = std::str::from_utf8(data).is_ok() && trailhound_ingest::json::whole_value(data).is_ok();
    let theirs = serde_json::from_slice::<serde_json::Value>(data);
    // Numbers too large for a double are numbers in a log all the same.
    let only_range = theirs.as_ref().is_err_and(|error| error.to_string().contains("number out of range"));
    // Lone surrogates are replaced, not refused: the record around them is sound.
    let only_surrogate = theirs.as_ref().is_err_and(|error| {
        let text = error.to_string();
        text.contains("surrogate") || text.contains("unexpected end of hex escape")
    });
    if !only_range && !only_surrogate {
        assert_eq!(ours, theirs.is_ok(), "{:?} {:?}", String::from_utf8_lossy(data), theirs.err());
    }
});

//! The list of ids that `honker_ack_batch` takes is a JSON array of 64-bit integers, and nothing else is.

#![no_main]

use std::collections::BTreeSet;

use honker_core::queue::parse_ids;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let expected = serde_json::from_str::<Vec<i64>>(text);
    match (parse_ids(text), expected) {
        (Ok(ids), Ok(expected)) => {
            let distinct: BTreeSet<i64> = ids.iter().copied().collect();
            assert_eq!(distinct.len(), ids.len(), "{text:?}: an id twice in {ids:?}");
            assert_eq!(distinct, expected.iter().copied().collect(), "{text:?}");
            // In the order in which they first occur.
            let mut rest = expected.iter();
            assert!(ids.iter().all(|id| rest.any(|other| other == id)), "{text:?}: order of {ids:?}");
        }
        (Err(_), Err(_)) => {}
        (ours, expected) => panic!("{text:?}: got {ours:?}, JSON says {expected:?}"),
    }
});

//! Whatever parses as a schedule has boundaries in order, wherever one asks, and nothing panics.

#![no_main]

use honker_core::schedule::Expression;
use libfuzzer_sys::fuzz_target;

/// The ends of the integers and of the calendar, the epoch, and instants around clock changes.
const INSTANTS: &[i64] = &[
    i64::MIN,
    -377_705_023_201, // the first instant of the calendar
    -377_705_000_000,
    -3_225_223_800, // Alaska changes sides of the date line and repeats a day
    -1,
    0,
    1_325_239_199, // Samoa skips a day
    1_772_953_199, // New York skips an hour
    1_793_511_000, // and repeats one: first pass
    1_793_514_600, // and second pass
    1_775_314_800, // Lord Howe repeats half an hour
    253_402_200_000,
    253_402_207_200, // the last instant of the calendar
    i64::MAX,
];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(expression) = Expression::parse(text) else { return };
    for &from in INSTANTS {
        let Ok(next) = expression.next_after(from) else { continue };
        assert!(next > from, "{text:?}: {next} is not after {from}");
        assert_eq!(expression.first_after(from, from), Ok(next), "{text:?}: the series from {from}");
        if let Ok(following) = expression.next_after(next) {
            assert!(following > next, "{text:?}: {following} is not after {next}");
        }
        // No boundary lies between `from` and `next`. An interval counts from wherever it is asked.
        let between = if text.contains("@every") { from } else { from + (next - from) / 2 };
        assert_eq!(expression.first_after(from, between), Ok(next), "{text:?}: from {from}, {between}");
        assert_eq!(
            expression.first_after(from, next - 1),
            Ok(next),
            "{text:?}: from {from}, just before {next}"
        );
    }
});

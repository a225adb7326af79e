//! Where boundaries fall while the clock runs on.

use super::*;

#[test]
fn in_plain_time() {
    check_table(
        "UTC",
        "0 * * * *           | 2026-05-05T10:00:00Z    | 2026-05-05T11:00:00Z, 2026-05-05T12:00:00Z
         0 * * * *           | 2026-05-05T09:59:59Z    | 2026-05-05T10:00:00Z
         0 * * * *           | 2026-05-05T10:00:01Z    | 2026-05-05T11:00:00Z
         * * * * *           | 2026-05-05T10:00:30Z    | 2026-05-05T10:01:00Z
         * * * * * *         | 2026-12-31T23:59:59Z    | 2027-01-01T00:00:00Z, 2027-01-01T00:00:01Z
         59 23 * * *         | 2026-05-05T23:59:00Z    | 2026-05-06T23:59:00Z
         30 10 * * *         | 2026-05-05T10:29:59Z    | 2026-05-05T10:30:00Z, 2026-05-06T10:30:00Z
         5 10 * * *          | 2026-05-31T10:06:00Z    | 2026-06-01T10:05:00Z
         0 0 1 * *           | 2026-11-30T12:00:00Z    | 2026-12-01T00:00:00Z, 2027-01-01T00:00:00Z
         0 0 31 * *          | 2026-01-31T00:00:00Z    | 2026-03-31T00:00:00Z, 2026-05-31T00:00:00Z
         15,45 30 12 * * *   | 2026-05-05T12:30:15Z    | 2026-05-05T12:30:45Z, 2026-05-06T12:30:15Z
         30 5 * * * *        | 2026-05-05T12:05:31Z    | 2026-05-05T13:05:30Z
         0 0 29 2 *          | 2026-01-01T00:00:00Z    | 2028-02-29T00:00:00Z, 2032-02-29T00:00:00Z
         0 0 29 2 *          | 2096-02-29T00:00:00Z    | 2104-02-29T00:00:00Z
         0 0 29 2 MON        | 2072-03-01T00:00:00Z    | 2112-02-29T00:00:00Z
         0 12 13 * FRI       | 2026-01-01T00:00:00Z    | 2026-02-13T12:00:00Z, 2026-03-13T12:00:00Z
         0 0 1-7 * 1         | 2026-05-05T00:00:00Z    | 2026-06-01T00:00:00Z, 2026-07-06T00:00:00Z
         0 0 1 1 *           | 1969-06-01T00:00:00Z    | 1970-01-01T00:00:00Z
         0 0 1 1 *           | -000001-06-01T00:00:00Z | 0000-01-01T00:00:00Z
         59 59 23 30 12 *    | 9997-12-30T23:59:59Z    | 9998-12-30T23:59:59Z",
    );
}

#[test]
fn of_an_interval() {
    let every = parse("@every 90s");
    assert_eq!(every.next_after(7).unwrap(), 97);
    assert_eq!(every.next_after(-100).unwrap(), -10);
    // The series is 7, 97, 187, 277.
    assert_eq!(every.first_after(7, 7).unwrap(), 97);
    assert_eq!(every.first_after(7, 96).unwrap(), 97);
    assert_eq!(every.first_after(7, 97).unwrap(), 187);
    assert_eq!(every.first_after(7, 200).unwrap(), 277);
    assert_eq!(every.first_after(7 - 90_000_000, 50).unwrap(), 97);
}

#[test]
fn after_skipping_are_those_of_the_calendar() {
    let hourly = parse("CRON_TZ=UTC 0 * * * *");
    assert_eq!(hourly.first_after(3600, 9000).unwrap(), 10800);
    assert_eq!(hourly.first_after(3600, 10800).unwrap(), 14400);
}

#[test]
fn that_do_not_exist() {
    let started = Instant::now();
    for text in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "* * * 31 FEB MON"] {
        let why = parse(&format!("CRON_TZ=UTC {text}")).next_after(0).unwrap_err().to_string();
        assert!(why.contains("no schedule match") && why.contains(text), "{why}");
    }
    assert!(started.elapsed() < Duration::from_secs(1), "took {:?}", started.elapsed());
}

#[test]
fn beyond_the_calendar_or_the_integers() {
    let last = "9999-12-30T22:00:00Z";
    for (text, from, part) in [
        ("CRON_TZ=UTC * * * * *", i64::MAX, "out of range"),
        ("CRON_TZ=UTC * * * * *", i64::MIN, "out of range"),
        ("CRON_TZ=UTC * * * * * *", unix(last), "out of range"),
        ("CRON_TZ=UTC 0 0 31 12 *", unix(last), "out of range"),
        ("CRON_TZ=UTC 0 0 30 2 *", unix(last), "out of range"),
        ("CRON_TZ=Pacific/Apia * * * * * *", unix(last), "out of range"),
        ("@every 1s", i64::MAX, "overflow"),
        ("@every 9223372036854775807s", 1, "overflow"),
    ] {
        let why = parse(text).next_after(from).unwrap_err().to_string();
        assert!(why.contains(part), "'{text}' after {from}: {why}");
    }
    let longest = parse("@every 9223372036854775807s");
    assert_eq!(longest.next_after(0).unwrap(), i64::MAX);
    assert_eq!(longest.first_after(i64::MIN, -2).unwrap(), -1);
    assert_eq!(longest.first_after(i64::MIN, i64::MAX - 2).unwrap(), i64::MAX - 1);
    assert!(longest.first_after(2, 2).unwrap_err().to_string().contains("overflow"));
    assert!(parse("@every 1s").first_after(0, i64::MAX).unwrap_err().to_string().contains("overflow"));
    assert!(parse("CRON_TZ=UTC * * * * *").next_after(unix("-009999-01-03T00:00:00Z")).is_ok());
}

#[test]
fn increase() {
    for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"] {
        for text in
            ["* * * * * *", "*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "0 0 * * SUN", "15 1-3 */9 * *"]
        {
            let expression = parse(&format!("CRON_TZ={zone} {text}"));
            let mut now = unix("2011-12-29T00:00:00Z");
            for _ in 0..1000 {
                let next = expression.next_after(now).unwrap();
                assert!(next > now, "'{text}' in {zone}: {next} is not after {now}");
                now = next;
            }
        }
    }
}

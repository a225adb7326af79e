//! What the grammar accepts and what it refuses, with which words.

use super::*;

#[test]
fn forms_that_mean_the_same() {
    for (text, other) in [
        ("5 4 * * *", "0 5 4 * * *"),
        ("  5\t4 *\n*  * ", "5 4 * * *"),
        ("05 004 * * *", "5 4 * * *"),
        ("5/15 * * * *", "5 * * * *"),
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("*/100 * * * *", "0 * * * *"),
        ("10-30/10 * * * *", "10,20,30 * * * *"),
        ("11-30/10 * * * *", "11,21 * * * *"),
        ("50-59/5,1-3,1-3,7 * * * *", "1,2,3,7,50,55 * * * *"),
        ("*,5 * * * *", "* * * * *"),
        ("*/7 1 * * * *", "0,7,14,21,28,35,42,49,56 1 * * * *"),
        ("0 0 */10 * *", "0 0 1,11,21,31 * *"),
        ("0 0 1 */5 *", "0 0 1 1,6,11 *"),
        ("0 0 1 jan,Feb,MAR *", "0 0 1 1-3 *"),
        ("0 0 1 apr,may,jun,jul,aug,sep,oct,nov,dec *", "0 0 1 4-12 *"),
        ("0 0 1 OCT-12 *", "0 0 1 10,11,12 *"),
        ("0 0 * * MON-FRI", "0 0 * * 1-5"),
        ("0 0 * * sun,mon,tue,wed,thu,fri,sat", "0 0 * * *"),
        ("0 0 * * MON-SAT/2", "0 0 * * 1,3,5"),
        ("0 0 * * 7", "0 0 * * SUN"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * FRI-7", "0 0 * * 0,5,6"),
        ("0 0 * * 1-7/2", "0 0 * * 0,1,3,5"),
        ("0 0 * * 0-7", "0 0 * * *"),
        ("0 0 * * */2", "0 0 * * 0,2,4,6"),
        ("0 0 * * */3", "0 0 * * 0,3,6"),
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        (" @weekly ", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ] {
        check_same(&format!("CRON_TZ=UTC {text}"), &format!("TZ=UTC   {other}"));
    }
    check_same("@every5m", "@every 300s");
    check_same("  @every \t 2h ", "@every 120m");
    check_same("@every 1d", "@every 0086400s");
    check_same("CRON_TZ=Europe/Berlin @every 90s", "@every 90s");
}

#[test]
fn refusals_name_the_field_and_the_piece() {
    for (text, parts) in [
        // The number of fields.
        ("", &["5 or 6 cron fields"][..]),
        ("* * * *", &["5 or 6 cron fields", "'* * * *'", "4"]),
        ("* * * * * * *", &["5 or 6 cron fields"]),
        ("CRON_TZ=UTC", &["5 or 6 cron fields"]),
        ("@reboot", &["5 or 6 cron fields", "'@reboot'"]),
        ("@Daily", &["'@Daily'"]),
        ("@daily 1", &["'@daily 1'"]),
        ("@EVERY 5m", &["'@EVERY 5m'"]),
        ("0 0 * * * CRON_TZ=UTC", &["day-of-week field", "'CRON_TZ=UTC' is not an integer"]),
        // Ranges.
        ("60 * * * * *", &["second field '60': 60 is out of range 0-59"]),
        ("61 * * * *", &["minute field '61': 61 is out of range 0-59"]),
        ("1,2,61 * * * *", &["minute field '1,2,61': 61 is out of range 0-59"]),
        ("* 24 * * *", &["hour field '24': 24 is out of range 0-23"]),
        ("* * 0 * *", &["day-of-month field '0': 0 is out of range 1-31"]),
        ("* * 32 * *", &["day-of-month field '32': 32 is out of range 1-31"]),
        ("* * * 0 *", &["month field '0': 0 is out of range 1-12"]),
        ("* * * 13 *", &["month field '13': 13 is out of range 1-12"]),
        ("* * * * 8", &["day-of-week field '8': 8 is out of range 0-7"]),
        ("99999999999999999999 * * * *", &["minute field", "99999999999999999999", "out of range"]),
        ("4294967295 * * * *", &["minute field", "out of range"]),
        ("* 22-2 * * *", &["hour field '22-2': range '22-2' is out of range 0-23 or inverted"]),
        ("* 22-24 * * *", &["range '22-24' is out of range 0-23 or inverted"]),
        ("* 1-99999999999999999999 * * *", &["hour field", "out of range 0-23 or inverted"]),
        ("* * 0-5 * *", &["day-of-month field", "range '0-5' is out of range 1-31 or inverted"]),
        ("* * * * FRI-SUN", &["day-of-week field", "range 'FRI-SUN'", "or inverted"]),
        ("* * * * 6-8", &["range '6-8' is out of range 0-7 or inverted"]),
        ("* * * DEC-JAN *", &["month field", "range 'DEC-JAN'", "or inverted"]),
        // Steps.
        ("*/0 * * * *", &["minute field '*/0'", "step '0' must be positive"]),
        ("5/0 * * * *", &["minute field '5/0'", "must be positive"]),
        ("1-5/000 * * * *", &["must be positive"]),
        ("*/x * * * *", &["minute field '*/x'", "step 'x' is not an integer"]),
        ("*/ * * * *", &["step '' is not an integer"]),
        ("*/-1 * * * *", &["step '-1' is not an integer"]),
        ("*/2/3 * * * *", &["step '2/3' is not an integer"]),
        ("*/99999999999999999999 * * * *", &["step '99999999999999999999' is out of range"]),
        ("* * * * */MON", &["step 'MON' is not an integer"]),
        // Numbers.
        ("0 0 * * MONDAY", &["'MONDAY' is not an integer, nor a name from SUN to SAT"]),
        ("a * * * *", &["minute field 'a': 'a' is not an integer"]),
        ("+5 * * * *", &["'+5' is not an integer"]),
        ("-5 * * * *", &["'' is not an integer"]),
        ("5- * * * *", &["'' is not an integer"]),
        ("1-2-3 * * * *", &["'2-3' is not an integer"]),
        ("*-5 * * * *", &["'*' is not an integer"]),
        ("** * * * *", &["'**' is not an integer"]),
        ("/5 * * * *", &["'' is not an integer"]),
        ("1.5 * * * *", &["'1.5' is not an integer"]),
        ("0x1 * * * *", &["'0x1' is not an integer"]),
        ("\u{0665} * * * *", &["'\u{0665}' is not an integer"]),
        ("1,,2 * * * *", &["minute field '1,,2': '' is not an integer"]),
        ("1, * * * *", &["'' is not an integer"]),
        // Names elsewhere, and the letters of other dialects.
        ("MON * * * *", &["minute field", "'MON' is not an integer"]),
        ("* * * MON *", &["month field", "'MON' is not an integer"]),
        ("* * * * JAN", &["day-of-week field", "'JAN' is not an integer"]),
        ("* * * * MONDAY", &["'MONDAY' is not an integer"]),
        ("* * * * MO", &["'MO' is not an integer"]),
        ("* * ? * *", &["day-of-month field", "'?' is not an integer"]),
        ("* * L * *", &["'L' is not an integer"]),
        ("* * 15W * *", &["'15W' is not an integer"]),
        ("* * * * 5#3", &["'5#3' is not an integer"]),
        ("* * * * 5L", &["'5L' is not an integer"]),
        // Intervals.
        ("@every", &["interval", "'@every'"]),
        ("@every s", &["interval"]),
        ("@every 5", &["interval", "'@every 5'", "unit"]),
        ("@every 0s", &["interval", "must be positive"]),
        ("@every 0", &["interval"]),
        ("@every 5 m", &["interval"]),
        ("@every 5ms", &["interval"]),
        ("@every 5w", &["interval"]),
        ("@every 5M", &["interval"]),
        ("@every -5s", &["interval"]),
        ("@every +5s", &["interval"]),
        ("@every 1.5h", &["interval"]),
        ("@every 1h30m", &["interval"]),
        ("@every \u{0665}s", &["interval"]),
        ("@every 9223372036854775808s", &["interval", "overflows"]),
        ("@every 9223372036854775807m", &["interval", "overflows"]),
        // Zones.
        ("CRON_TZ=Mars/Olympus 0 * * * *", &["unknown time zone 'Mars/Olympus'"]),
        ("TZ=Mars/Olympus @every 5s", &["unknown time zone 'Mars/Olympus'"]),
        ("CRON_TZ= 0 * * * *", &["unknown time zone ''"]),
        ("CRON_TZ=Etc/Unknown 0 * * * *", &["unknown time zone 'Etc/Unknown'"]),
        ("CRON_TZ=EST5EDT,M3.2.0,M11.1.0 0 * * * *", &["unknown time zone 'EST5EDT,M3.2.0,M11.1.0'"]),
    ] {
        let refusal = refusal(text);
        for part in parts {
            assert!(refusal.contains(part), "'{text}': \"{refusal}\" lacks \"{part}\"");
        }
    }
}

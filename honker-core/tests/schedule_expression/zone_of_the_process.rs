//! The zone of the process. The environment of a process is fixed before it starts, so each case is a child that runs
//! the test `probe` of this same program.

use super::*;

const REQUEST: &str = "HONKER_SCHEDULE_PROBE";

#[test]
fn probe() {
    let Ok(request) = std::env::var(REQUEST) else { return };
    let (from, text) = request.split_once(' ').unwrap();
    let answer = parse(text).next_after(unix(from));
    println!("answer={}", answer.map_or_else(|why| why.to_string(), |next| next.to_string()));
}

/// What a process with this `TZ` answers to `text` after `from`.
fn ask(tz: &str, from: &str, text: &str) -> String {
    ask_with("TZ", tz, from, text)
}

fn ask_with(variable: &str, value: &str, from: &str, text: &str) -> String {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["zone_of_the_process::probe", "--exact", "--nocapture"])
        .env(variable, value)
        .env(REQUEST, format!("{from} {text}"))
        .output()
        .unwrap();
    let output = String::from_utf8(child.stdout).unwrap();
    let answer = output.split_once("answer=").unwrap_or_else(|| panic!("no answer: {output}")).1;
    answer.lines().next().unwrap().to_owned()
}

#[test]
fn is_that_of_tz() {
    for (tz, noon) in [
        ("Australia/Lord_Howe", "2026-01-15T12:00:00+11:00"),
        (":Australia/Lord_Howe", "2026-01-15T12:00:00+11:00"),
        ("Europe/Berlin", "2026-01-15T12:00:00+01:00"),
        ("posix/Europe/Berlin", "2026-01-15T12:00:00+01:00"),
        (":posix/Europe/Berlin", "2026-01-15T12:00:00+01:00"),
        ("EST5EDT", "2026-01-15T12:00:00-05:00"),
        ("EST5EDT,M3.2.0,M11.1.0", "2026-01-15T12:00:00-05:00"),
        ("<+0330>-3:30", "2026-01-15T12:00:00+03:30"),
        ("UTC0", "2026-01-15T12:00:00Z"),
        ("UTC", "2026-01-15T12:00:00Z"),
        ("", "2026-01-15T12:00:00Z"),
    ] {
        let answer = ask(tz, "2026-01-15T00:59:00Z", "0 12 * * *");
        assert_eq!(answer, unix(noon).to_string(), "TZ={tz}");
    }
}

#[test]
fn changes_clocks_as_tz_says() {
    for tz in ["America/New_York", "EST5EDT,M3.2.0,M11.1.0"] {
        let answer = ask(tz, "2026-03-08T01:59:59-05:00", "0 * * * * *");
        assert_eq!(answer, unix("2026-03-08T03:00:00-04:00").to_string(), "TZ={tz}");
        let answer = ask(tz, "2026-11-01T01:10:00-05:00", "30 1 * * *");
        assert_eq!(answer, unix("2026-11-02T01:30:00-05:00").to_string(), "TZ={tz}");
    }
}

#[test]
#[cfg(unix)]
fn may_be_a_file() {
    let database = std::path::Path::new("/usr/share/zoneinfo/Asia/Kathmandu");
    if !database.exists() {
        return;
    }
    // Through a link of no telling name, so that it is the file that counts.
    let link = std::env::temp_dir().join(format!("honker-zone-{}", std::process::id()));
    std::os::unix::fs::symlink(database, &link).unwrap();
    for path in [database, &link] {
        for tz in [path.display().to_string(), format!(":{}", path.display())] {
            let answer = ask(&tz, "2026-01-15T00:00:00Z", "0 12 * * *");
            assert_eq!(answer, unix("2026-01-15T12:00:00+05:45").to_string(), "TZ={tz}");
        }
    }
    std::fs::remove_file(&link).unwrap();
}

/// Distributions leave out names such as US/Eastern. Here the system knows a single one.
#[test]
fn may_be_one_the_system_does_not_know() {
    let Ok(any_zone) = std::fs::read("/usr/share/zoneinfo/Asia/Kathmandu") else { return };
    let database = std::env::temp_dir().join(format!("honker-zones-{}", std::process::id()));
    std::fs::create_dir_all(&database).unwrap();
    std::fs::write(database.join("Sparse"), any_zone).unwrap();
    for (text, noon) in [
        ("CRON_TZ=Sparse 0 12 * * *", "2026-01-15T12:00:00+05:45"),
        ("CRON_TZ=US/Eastern 0 12 * * *", "2026-01-15T12:00:00-05:00"),
    ] {
        let answer = ask_with("TZDIR", database.to_str().unwrap(), "2026-01-15T00:00:00Z", text);
        assert_eq!(answer, unix(noon).to_string(), "{text}");
    }
    std::fs::remove_dir_all(&database).unwrap();
}

#[test]
fn that_cannot_be_used_is_an_error() {
    for tz in
        ["Mars/Olympus", "EST5EDT,nonsense", "/nowhere/zone", "Etc/Unknown", "/etc/passwd", "/", "posix/Mars"]
    {
        let answer = ask(tz, "2026-01-15T00:00:00Z", "0 12 * * *");
        assert!(answer.contains("TZ") && answer.contains(tz), "TZ={tz}: {answer}");
    }
}

#[test]
fn gives_way_to_that_of_the_expression() {
    for tz in ["Australia/Lord_Howe", "Mars/Olympus"] {
        let answer = ask(tz, "2026-01-15T00:00:00Z", "CRON_TZ=Europe/Berlin 0 12 * * *");
        assert_eq!(answer, unix("2026-01-15T12:00:00+01:00").to_string(), "TZ={tz}");
        assert_eq!(ask(tz, "1970-01-01T00:00:10Z", "@every 5s"), "15");
    }
}

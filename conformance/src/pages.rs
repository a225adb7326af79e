//! The pages of the report: `report.md` to read, `junit.xml` for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::engine::Kind;
use crate::report::{Counts, Record};
use crate::run::Verdict;

/// A table for each area: a row for each testee as the first actor, a column for each as the second, one for the cases
/// that it does alone; then the failures.
pub fn markdown(records: &[Record], engine: Kind, counts: Counts, seconds: f64) -> String {
    let mut page = format!(
        "# Conformance ({})\n\n{} passed, {} failed, {} skipped, in {seconds:.1} s. Cells: passed / failed / skipped. \
         A row is the first actor, a column the second.\n",
        engine.name(),
        counts.passed,
        counts.failed,
        counts.skipped
    );
    let testees: BTreeSet<&str> =
        records.iter().flat_map(|record| record.testees.iter().map(String::as_str)).collect();
    let mut cells: BTreeMap<&str, BTreeMap<(&str, Option<&str>), Counts>> = BTreeMap::new();
    for record in records {
        let cell = (record.testees[0].as_str(), record.testees.get(1).map(String::as_str));
        cells.entry(&record.area).or_default().entry(cell).or_default().add(&record.verdict);
    }
    for (area, cells) in cells {
        let _ = write!(page, "\n## {area}\n\n| | alone |");
        for name in &testees {
            let _ = write!(page, " {name} |");
        }
        let _ = write!(page, "\n| --- | --- |{}\n", " --- |".repeat(testees.len()));
        for first in &testees {
            let _ = write!(page, "| {first} |");
            for second in std::iter::once(None).chain(testees.iter().copied().map(Some)) {
                let _ = match cells.get(&(*first, second)) {
                    Some(Counts { passed, failed: 0, skipped }) => {
                        write!(page, " {passed} / 0 / {skipped} |")
                    }
                    Some(Counts { passed, failed, skipped }) => {
                        write!(page, " {passed} / **{failed}** / {skipped} |")
                    }
                    None => write!(page, " |"),
                };
            }
            page.push('\n');
        }
    }
    page.push_str(&skipped(records));
    let failures: Vec<&Record> =
        records.iter().filter(|record| matches!(record.verdict, Verdict::Failed(_))).collect();
    if !failures.is_empty() {
        page.push_str("\n## Failures\n");
    }
    for record in failures {
        let Verdict::Failed(message) = &record.verdict else { continue };
        let _ = write!(page, "\n### {} ({})\n\n", record.id, record.testees.join(", "));
        let _ = write!(page, "```\n{message}\n```\n\n    {}\n", record.command(engine));
        if let Some(dir) = &record.artifacts {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let _ = write!(page, "\nIts files: [failures/{name}](failures/{name})\n");
        }
    }
    page
}

/// How many were not run, and why; alone and as the first actor.
fn skipped(records: &[Record]) -> String {
    let mut reasons: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for record in records {
        if let Verdict::Skipped(reason) = &record.verdict {
            *reasons.entry(reason).or_default().entry(record.testees[0].as_str()).or_default() += 1;
        }
    }
    if reasons.is_empty() {
        return String::new();
    }
    let mut page = "\n## Skipped\n\n| reason | times | of |\n| --- | --- | --- |\n".to_owned();
    for (reason, testees) in reasons {
        let each: Vec<String> = testees.iter().map(|(testee, times)| format!("{testee} {times}")).collect();
        let _ = writeln!(page, "| {reason} | {} | {} |", testees.values().sum::<usize>(), each.join(", "));
    }
    page
}

pub fn junit(records: &[Record]) -> String {
    let mut suites: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        suites.entry(record.testees.join(",")).or_default().push(record);
    }
    let mut page = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for (testees, records) in suites {
        let count =
            |wanted: fn(&Verdict) -> bool| records.iter().filter(|record| wanted(&record.verdict)).count();
        let failures = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
        let _ = writeln!(
            page,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\">",
            escaped(&testees),
            records.len()
        );
        for record in records {
            let (name, time) = (escaped(&record.id), record.seconds);
            let _ = write!(
                page,
                "<testcase classname=\"{}\" name=\"{name}\" time=\"{time:.3}\">",
                escaped(&testees)
            );
            let _ = match &record.verdict {
                Verdict::Passed => Ok(()),
                Verdict::Failed(message) => write!(page, "<failure message=\"{}\"/>", escaped(message)),
                Verdict::Skipped(reason) => write!(page, "<skipped message=\"{}\"/>", escaped(reason)),
            };
            page.push_str("</testcase>\n");
        }
        page.push_str("</testsuite>\n");
    }
    page + "</testsuites>\n"
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            // XML has no way to write most control characters.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

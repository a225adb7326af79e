//! The suite's own tests: cases that have to pass, to fail for the reason that their name says behind an arrow, or to
//! be refused for it, on a testee that does what the case tells it to (`tests/fake`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn conform(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conform")).args(arguments).output().expect("conform runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A run of `cases` on a testee, with its report; more arguments may follow.
struct Run {
    output: Output,
    report: tempfile::TempDir,
}

impl Run {
    fn new(testee: &Path, cases: &Path, more: &[&str]) -> Run {
        let report = tempfile::tempdir().expect("a directory");
        // The fake loads nothing, but `run` wants to see that there is something.
        let any = here().join("Cargo.toml").display().to_string();
        let testee = format!("{}/", testee.display());
        let (cases, dir) = (cases.display().to_string(), report.path().display().to_string());
        let mut arguments = vec!["run", "--testee", &testee, "--cases", &cases, "--report", &dir];
        arguments.extend(["--library", &any, "--extension", &any]);
        arguments.extend(more);
        Run { output: conform(&arguments), report }
    }

    fn said(&self) -> String {
        said(&self.output)
    }

    fn last_line(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).lines().last().unwrap_or_default().to_owned()
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.report.path().join(name)).expect(name)
    }

    /// Id, verdict and message of each case.
    fn results(&self) -> Vec<(String, String, String)> {
        let lines: Vec<Value> =
            self.file("report.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = |number: &Value| {
            let case = lines.iter().find(|line| line["kind"] == "case" && line["number"] == *number);
            text(&case.expect("a result has a case")["id"])
        };
        let results = lines.iter().filter(|line| line["kind"] == "result");
        results.map(|line| (id(&line["number"]), text(&line["verdict"]), text(&line["message"]))).collect()
    }
}

fn fake() -> PathBuf {
    here().join("tests/fake")
}

/// A testee that is the fake with these arguments, and what else is in its `testee.toml`.
fn variant(dir: &Path, arguments: &str, more: &str) -> PathBuf {
    let program = fake().join("testee.py").display().to_string();
    let text = format!(
        "name = 'fake'\nrun = ['python3', {program:?}, {arguments:?}]\n{more}\n[lacks]\nfork = 'x'\nby_id = 'x'\n"
    );
    std::fs::write(dir.join("testee.toml"), text).expect("written");
    dir.to_owned()
}

fn one_case(dir: &Path, steps: &str) -> PathBuf {
    let cases = dir.join("cases");
    std::fs::create_dir_all(cases.join("area")).expect("made");
    let text = format!("version: 1\ncases:\n- name: it\n  steps:\n{steps}\n");
    std::fs::write(cases.join("area/topic.yaml"), text).expect("written");
    cases
}

const RIGHT: &str = "  - {a: queue.enqueue, on: q, payload: 1}";
const WRONG: &str = "  - {a: queue.enqueue, on: q, payload: 1, gives: {id: 2}}";

#[test]
fn cases_that_pass() {
    let run = Run::new(&fake(), &here().join("tests/meta/pass"), &[]);
    assert_eq!(run.last_line(), "14 passed, 0 failed, 3 skipped", "{}", run.said());
    assert!(run.output.status.success());
    assert!(run.said().contains("skipped 2: fake lacks by_id: it knows no jobs"), "{}", run.said());
    assert!(run.said().contains("skipped 1: on Postgres alone: there is no server"), "{}", run.said());
}

#[test]
fn cases_that_fail() {
    let run = Run::new(&fake(), &here().join("tests/meta/fail"), &[]);
    assert_eq!(run.output.status.code(), Some(1), "{}", run.said());
    let results = run.results();
    assert_eq!(results.len(), 40, "{}", run.said());
    for (id, verdict, message) in results {
        let (_, words) = id.split_once(" -> ").expect("the name says why it fails");
        assert_eq!(verdict, "failed", "{id}");
        assert!(message.contains(words), "{id}: {message}");
    }
}

#[test]
fn cases_that_are_refused() {
    let dir = here().join("tests/meta/invalid");
    let output = conform(&["check", "--cases", &dir.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    for entry in std::fs::read_dir(dir).expect("there").flatten() {
        let file = entry.path();
        let text = std::fs::read_to_string(&file).expect("text");
        let prefix = format!("{}: ", file.display());
        if let Some(words) = text.lines().next().and_then(|line| line.strip_prefix("# says: ")) {
            let found = said.lines().any(|line| line.starts_with(&prefix) && line.contains(words));
            assert!(found, "{}: {words}\n{said}", file.display());
            continue;
        }
        for name in text.lines().filter_map(|line| line.strip_prefix("- name: ")) {
            let quoted = name.strip_prefix('\'').and_then(|name| name.strip_suffix('\''));
            let name = quoted.map_or_else(|| name.to_owned(), |name| name.replace("''", "'"));
            let (_, words) = name.split_once(" -> ").expect("the name says why it is refused");
            let prefix = format!("{prefix}{name}: ");
            let found =
                said.lines().any(|line| line.strip_prefix(&prefix).is_some_and(|why| why.contains(words)));
            assert!(found, "{name}\n{said}");
        }
    }
}

#[test]
fn a_failure_comes_with_everything_about_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = Run::new(&fake(), &one_case(dir.path(), WRONG), &[]);
    assert_eq!(run.last_line(), "0 passed, 1 failed, 0 skipped", "{}", run.said());
    assert!(run.said().contains("conformance/run --testee fake --case 'area/topic: it'"), "{}", run.said());
    assert!(run.file("report.md").contains("| fake | 0 / **1** / 0 |"), "{}", run.file("report.md"));
    assert!(
        run.file("junit.xml").contains("<failure message=\"step 1: a queue.enqueue: id is 1, expected 2")
    );
    let kept = run.report.path().join("failures/1-area-topic--it");
    assert!(kept.join("app.db").exists(), "{}", run.said());
    let transcript = std::fs::read_to_string(kept.join("a-fake.transcript")).expect("a transcript");
    assert!(transcript.contains("> {") && transcript.contains("< {"), "{transcript}");
    assert!(kept.join("a-fake.stderr").exists());
}

#[test]
fn pairs_are_ordered_and_chosen() {
    let dir = tempfile::tempdir().expect("a directory");
    let cases = one_case(dir.path(), RIGHT);
    let text = std::fs::read_to_string(cases.join("area/topic.yaml")).expect("text");
    let both = text.replace("- name: it", "- name: both\n  actors: [a, b]");
    std::fs::write(cases.join("area/pairs.yaml"), both).expect("written");
    let other = dir.path().join("other");
    std::fs::create_dir(&other).expect("made");
    variant(&other, "good", "");
    let toml = std::fs::read_to_string(other.join("testee.toml")).expect("text");
    std::fs::write(other.join("testee.toml"), toml.replace("'fake'", "'other'")).expect("written");
    let other = format!("{}/", other.display());
    let run = Run::new(&fake(), &cases, &["--testee", &other, "--keep"]);
    assert_eq!(run.last_line(), "6 passed, 0 failed, 0 skipped", "{}", run.said());
    let run = Run::new(&fake(), &cases, &["--testee", &other, "--pair", "other,fake"]);
    assert_eq!(run.last_line(), "1 passed, 0 failed, 0 skipped", "{}", run.said());
    let run = Run::new(&fake(), &cases, &["--testee", &other, "--case", "area/topic"]);
    assert_eq!(run.last_line(), "2 passed, 0 failed, 0 skipped", "{}", run.said());
}

#[test]
fn testees_that_cannot_be_relied_on() {
    for (arguments, more, words) in [
        ("talks", "", "broke the protocol: expected value"),
        ("forgets-a-feature", "", "hello does not have the feature queue"),
        ("stays", "", "bye: no answer within 10000 ms"),
        ("exits-with-3", "", "bye: exit code 3"),
        ("good", "build = \"missing\"", "missing: No such file"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let cases = one_case(dir.path(), RIGHT);
        let run = Run::new(&variant(dir.path(), arguments, more), &cases, &[]);
        assert_eq!(run.output.status.code(), Some(1), "{arguments}: {}", run.said());
        assert!(run.said().contains(words), "{arguments}: {}", run.said());
    }
}

#[test]
fn threads_of_a_runtime_may_stay_but_none_of_ours() {
    for (thread, last) in
        [("pool", "1 passed, 0 failed, 0 skipped"), ("honker-x", "0 passed, 1 failed, 0 skipped")]
    {
        let dir = tempfile::tempdir().expect("a directory");
        let steps = "  - {a: queue.enqueue, on: q, payload: {do: [{leak: THREAD}, {answer: {ok: {id: 1}}}]}}";
        let cases = one_case(dir.path(), &steps.replace("THREAD", thread));
        let run = Run::new(&variant(dir.path(), "good", "threads = \"own\""), &cases, &[]);
        assert_eq!(run.last_line(), last, "{}", run.said());
    }
}

#[test]
fn a_testee_whose_tools_are_missing_is_skipped() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let cases = one_case(dir.path(), RIGHT);
    let testee = variant(dir.path(), "good", "build = \"build\"");
    let build = testee.join("build");
    std::fs::write(&build, "#!/bin/sh\necho 'SKIPPED fake: there is no compiler'\nexit 77\n")
        .expect("written");
    std::fs::set_permissions(&build, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let run = Run::new(&testee, &cases, &[]);
    assert!(run.said().contains("SKIPPED fake: there is no compiler"), "{}", run.said());
    assert_eq!(run.last_line(), "0 passed, 0 failed, 0 skipped", "{}", run.said());
}

#[test]
fn known_failures_are_skipped_and_may_not_pass() {
    let known = |steps: &str, line: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        let cases = one_case(dir.path(), steps);
        std::fs::create_dir(dir.path().join("known")).expect("made");
        std::fs::write(dir.path().join("known/fake.txt"), line).expect("written");
        let run = Run::new(&fake(), &cases, &[]);
        (run.last_line(), run.said())
    };
    let (last, said) = known(WRONG, "area/topic: it # step 1: a queue.enqueue: id is 1 # issue 7\n");
    assert_eq!(last, "0 passed, 0 failed, 1 skipped", "{said}");
    assert!(said.contains("skipped 1: known to fail: issue 7"), "{said}");
    let (last, said) = known(WRONG, "area/topic: it # something else # issue 7\n");
    assert_eq!(last, "0 passed, 1 failed, 0 skipped", "{said}");
    let (last, said) = known(RIGHT, "area/topic: it # anything # issue 7\n");
    assert_eq!(last, "1 passed, 1 failed, 0 skipped", "{said}");
    let (_, said) = known(RIGHT, "area/topic: it\n");
    assert!(said.contains("fake.txt:1: it takes a case"), "{said}");
}

//! The examples run, and the README shows nothing that is not part of one, or of a recipe.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs an example in a folder of its own; what it says.
fn run(name: &str) -> String {
    // Cargo has built it, beside this test.
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(&example).current_dir(folder.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn first_queue() {
    assert_eq!(run("first_queue"), "hello, \"world\"!\n");
}

#[test]
fn atomic_enqueue() {
    assert_eq!(run("atomic_enqueue"), "1 order, 1 job\n");
}

#[test]
fn worker() {
    let said = run("worker");
    assert!(said.contains("to alice, attempt 1 of 10\n") && said.contains("2026-01: 42\n"), "{said}");
}

#[cfg(feature = "tokio")]
#[test]
fn async_worker() {
    assert_eq!(run("async_worker"), "sent to \"alice\"\n");
}

#[test]
fn features() {
    let said = run("features");
    assert!(said.contains("alice is reminded already, by job 1\n"), "{said}");
    assert!(said.contains("2 of 2 done\n") && said.ends_with("cancelled: 2\n"), "{said}");
}

#[test]
fn streams() {
    let said = run("streams");
    assert!(said.contains("order 42\nnews: \"hello\"\nbackup is locked\nallowed: true\n"), "{said}");
    assert!(said.contains("POST https://example.com/hook\nschedules: 1\n"), "{said}");
}

/// The lines of a text without their common indentation.
fn dedented(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_readme_shows_what_is_tested() {
    let mut sources = Vec::new();
    let mut folders = vec![here().join("examples"), here().join("recipes")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name() != Some("target".as_ref()) {
                folders.push(path);
            } else if path.extension() == Some("rs".as_ref()) {
                sources.push(dedented(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let readme = fs::read_to_string(here().join("README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 7, "{} blocks", blocks.len());
    for block in blocks {
        let lines = dedented(block);
        let is_in = |source: &Vec<String>| {
            // Imports stand among others.
            if lines.iter().all(|line| line.starts_with("use ")) {
                return lines.iter().all(|line| source.contains(line));
            }
            source.windows(lines.len()).any(|window| window == lines)
        };
        assert!(sources.iter().any(is_in), "not in any example:\n{block}");
    }
}

/// What users of the published crate were shown.
#[test]
fn the_published_snippets_are_in_the_examples() {
    let published: [(&str, &str); 2] = [
        (
            "first_queue.rs",
            r#"let db = Database::open("app.db")?;
let q = db.queue("greetings", QueueOpts::default());
q.enqueue(&json!({"name": "world"}), EnqueueOpts::default())?;
if let Some(job) = q.claim_one("worker-1")? {
    let payload: serde_json::Value = serde_json::from_slice(&job.payload)?;
    println!("hello, {}!", payload["name"]);
    job.ack()?;
}"#,
        ),
        (
            "atomic_enqueue.rs",
            r#"let tx = db.transaction()?;
tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", honker::params![42, 99])?;
q.enqueue_tx(&tx, &json!({"to": "alice@example.com"}), EnqueueOpts::default())?;
tx.commit()?;"#,
        ),
    ];
    for (example, snippet) in published {
        let source =
            dedented(&fs::read_to_string(Path::new(&here()).join("examples").join(example)).unwrap());
        let lines = dedented(snippet);
        assert!(source.windows(lines.len()).any(|window| window == lines), "{example}");
    }
}

"""Rust: cargo, with a folder of crates in place of the registry. Debian's Rust is too old: this machine's is lent."""

import subprocess
from pathlib import Path

import repository
from proofs import Proof, readme
from readme import samples

MANIFEST = """[package]
name = "app"
version = "0.0.0"
edition = "2024"
[dependencies]
honker = "NUMBER"
serde_json = "1"
""".replace("NUMBER", repository.version())
CONFIG = """[source.crates-io]
replace-with = "dist"
[source.dist]
directory = "/dist/third-party/rust"
"""
USES, FIRST = samples(readme("rust"), "rust")[:2]
FIRST = f"{USES}\nfn main() -> Result<(), Box<dyn std::error::Error>> {{\n{FIRST}Ok(())\n}}\n"
WORKER = """use honker::{Database, EnqueueOpts, QueueOpts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::open("/shared/app.db")?;
    let queue = db.queue("ping", QueueOpts::default());
    let mut jobs = queue.claim_waker()?;
    std::fs::write("/shared/waiting", "")?;
    let job = jobs.next("rust")?;
    let to: serde_json::Value = serde_json::from_slice(&job.payload)?;
    let answer = serde_json::json!({"to": to, "from": "rust"});
    db.queue("pong", QueueOpts::default()).enqueue(&answer, EnqueueOpts::default())?;
    job.ack()?;
    Ok(())
}
"""


def _toolchain() -> Path:
    said = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True)
    return Path(said.stdout.strip())


PROOF = Proof(
    name="rust",
    debian=["gcc", "libc6-dev"],
    compiles=True,
    brought={"Cargo.toml": MANIFEST, ".cargo/config.toml": CONFIG, "src/main.rs": FIRST, "src/bin/worker.rs": WORKER},
    install="cargo build --offline --quiet",
    example={},
    run_example="target/debug/app",
    says='hello, "world"!',
    run_worker="target/debug/worker",
    lends={"/usr/local/rust": _toolchain},
    path="/usr/local/rust/bin",
    files=["rust/*.crate"],
)

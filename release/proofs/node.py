"""Node: npm, from a registry on loopback."""

from pathlib import Path

from proofs import Proof, readme
from readme import samples

HERE = Path(__file__).resolve().parent
# Ends with the command that runs it: nothing is left over.
REGISTRY = """
rm -f /tmp/registry; {javascript} registry.mjs & trap "kill $!" EXIT
while [ ! -e /tmp/registry ]; do sleep 0.1; done
"""
INSTALL = f"""set -e
{REGISTRY.format(javascript="node")}
echo '{{"private": true}}' >package.json
npm install --registry=http://127.0.0.1:4873 --no-audit --no-fund @russellthehippo/honker-node
ls node_modules/@russellthehippo
test "$(ls node_modules/@russellthehippo)" = "honker-node
honker-node-linux-x64-gnu"
"""

WORKER = """
import fs from "node:fs";
import { open } from "@russellthehippo/honker-node";

const db = open("/shared/app.db");
const jobs = db.queue("ping").claim("node");
fs.writeFileSync("/shared/waiting", "");
for await (const job of jobs) {
  db.queue("pong").enqueue({ to: job.payload, from: "node" });
  job.ack();
  break;
}
db.close();
"""

PARTNER_PROGRAM = """
import { open } from "@russellthehippo/honker-node";

const db = open("/shared/app.db");
db.queue("ping").enqueue({ ping: 1 });
for await (const job of db.queue("pong").claim("partner")) {
  if (JSON.stringify(job.payload.to) !== '{"ping":1}') throw new Error(JSON.stringify(job.payload));
  console.log("answered");
  job.ack();
  break;
}
db.close();
"""

DEBIAN = ["nodejs", "npm"]
BROUGHT = {"registry.mjs": (HERE / "registry.mjs").read_text()}
FILES = ["node/*-honker-node-[0-9]*.tgz", "node/*-honker-node-linux-x64-gnu-*.tgz"]
PROOF = Proof(
    name="node",
    debian=DEBIAN,
    brought=BROUGHT,
    install=INSTALL,
    example={"first.js": samples(readme("node"), "js")[0]},
    run_example="node first.js",
    says="hello, world!",
    worker={"worker.mjs": WORKER},
    run_worker="node worker.mjs",
    files=FILES,
)
PARTNER = Proof(
    name="node",
    debian=DEBIAN,
    brought=BROUGHT,
    install=INSTALL,
    example={"partner.mjs": PARTNER_PROGRAM},
    run_example="node partner.mjs",
    says="answered",
    files=FILES,
)

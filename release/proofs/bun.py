"""Bun: bun add, from the same registry as Node's. Bun itself is not in Debian: scripts/setup bun."""

import repository
from proofs import Proof, readme
from proofs.node import BROUGHT, REGISTRY, WORKER
from readme import samples

INSTALL = f"""set -e
{REGISTRY.format(javascript="bun")}
echo '{{"private": true}}' >package.json
printf '[install]\\nregistry = "http://127.0.0.1:4873"\\n' >bunfig.toml
bun add @russellthehippo/honker-bun
ls node_modules/@russellthehippo
test -e node_modules/@russellthehippo/honker-node-linux-x64-gnu/libhonker.so
"""


def _bun():
    found = sorted((repository.ROOT / "target/node/bun/node_modules/@oven").glob("bun-linux-x64*/bin"))
    return found[0] if found else None


PROOF = Proof(
    name="bun",
    debian=[],
    brought=BROUGHT,
    install=INSTALL,
    example={"first.ts": samples(readme("bun"), "ts")[0]},
    run_example="bun first.ts",
    says="hello, world!",
    worker={"worker.mjs": WORKER.replace("honker-node", "honker-bun").replace('"node"', '"bun"')},
    run_worker="bun worker.mjs",
    lends={"/usr/local/bun": _bun},
    path="/usr/local/bun",
    files=["node/*-honker-bun-[0-9]*.tgz", "node/*-honker-node-linux-x64-gnu-*.tgz"],
)

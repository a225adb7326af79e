"""Elixir: mix, with the package unpacked as Hex does it, and its precompiled part from dist/. Neither make nor a C
compiler is there.
"""

import subprocess

from proofs import Proof, readme
from readme import samples

INSTALL = """set -e
mkdir -p app/lib app/deps/honker
tar -xf /dist/elixir/honker-*.tar contents.tar.gz CHECKSUM VERSION metadata.config
sum=$(cat VERSION metadata.config contents.tar.gz | sha256sum | cut -d ' ' -f 1 | tr a-f A-F)
test "$sum" = "$(cat CHECKSUM)"
tar -xzf contents.tar.gz -C app/deps/honker
cat >app/mix.exs <<'END'
defmodule App.MixProject do
  use Mix.Project
  def project, do: [app: :app, version: "0.1.0", deps: [{:honker, path: "deps/honker"}]]
  def application, do: [extra_applications: [:logger]]
end
END
cd app && HONKER_PRECOMPILED=/dist/elixir MIX_ENV=prod mix compile
test -e _build/prod/lib/honker/priv/honker_nif.so
test -e _build/prod/lib/honker/priv/libhonker.so
"""

WORKER = """
{:ok, db} = Honker.open("/shared/app.db")
script = self()

handler = fn job ->
  {:ok, _} = Honker.Queue.enqueue(db, "pong", %{to: job.payload, from: "elixir"})
  send(script, :answered)
end

{:ok, worker} = Honker.Worker.start_link(db: db, queue: "ping", handler: handler)
File.touch!("/shared/waiting")
receive do: (:answered -> :ok)
GenServer.stop(worker)
"""


def _unfit() -> str | None:
    script = 'System.halt(if Version.match?(System.version(), ">= 1.18.0"), do: 0, else: 1)'
    done = subprocess.run(["elixir", "-e", script], capture_output=True)
    return None if done.returncode == 0 else "Elixir is older than 1.18, which brings JSON"


FIRST = next(code for code in samples(readme("elixir"), "elixir") if "= Honker.open(" in code)
PROOF = Proof(
    name="elixir",
    debian=["elixir"],
    install=INSTALL,
    example={"app/first.exs": FIRST},
    run_example="cd app && MIX_ENV=prod mix run --no-compile first.exs",
    says="hello, world!",
    worker={"app/worker.exs": WORKER},
    run_worker="cd app && MIX_ENV=prod mix run --no-compile worker.exs",
    unfit=_unfit,
    files=["elixir/honker-[0-9]*.tar", "elixir/*-x86_64-linux-gnu.tar.gz"],
)

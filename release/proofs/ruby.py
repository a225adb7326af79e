"""Ruby: gem install, from files. The gem `ffi` that it needs is Debian's."""

import subprocess

from doors.ruby import RUBYGEMS
from proofs import Proof, readme
from readme import samples

# The platform's gem, as a user's `gem install honker` would choose it: from a folder with all of them.
INSTALL = """set -e
export GEM_HOME=$HOME/gems
cp /dist/ruby/*.gem .
gem install --local --no-document honker
gem list --local honker
test -e gems/gems/honker-*-linux-gnu/lib/honker/native/libhonker.so
"""

WORKER = """
require "honker"

db = Honker::Database.new("/shared/app.db")
File.write("/shared/waiting", "")
db.queue("ping").claim("ruby") do |job|
  db.queue("pong").enqueue({ to: job.payload, from: "ruby" })
  job.ack
  break
end
db.close
"""


def _unfit() -> str | None:
    script = f"exit Gem::Version.new(Gem::VERSION) >= Gem::Version.new('{RUBYGEMS}')"
    done = subprocess.run(["ruby", "-e", script], capture_output=True)
    return None if done.returncode == 0 else f"it takes RubyGems {RUBYGEMS} to tell glibc from musl"


PROOF = Proof(
    name="ruby",
    debian=["ruby", "ruby-ffi"],
    install=INSTALL,
    example={"first.rb": samples(readme("ruby"), "ruby")[0]},
    run_example="GEM_HOME=$HOME/gems ruby first.rb",
    says="hello, world!",
    worker={"worker.rb": WORKER},
    run_worker="GEM_HOME=$HOME/gems ruby worker.rb",
    unfit=_unfit,
    files=["ruby/*-x86_64-linux-gnu.gem"],
)

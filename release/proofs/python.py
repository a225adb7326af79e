"""Python: pip, in a venv."""

from proofs import Proof, readme
from readme import samples

INSTALL = """
python3 -m venv venv
venv/bin/pip install --quiet --no-index --find-links /dist/python honker
venv/bin/honker --version
"""

WORKER = """
import pathlib
import honker

with honker.open("/shared/app.db") as db:
    jobs = db.queue("ping").claim("python")
    pathlib.Path("/shared/waiting").touch()
    for job in jobs:
        db.queue("pong").enqueue({"to": job.payload, "from": "python"})
        job.ack()
        break
"""

# The other side of a pair.
PARTNER_PROGRAM = """
import honker

with honker.open("/shared/app.db") as db:
    db.queue("ping").enqueue({"ping": 1})
    for job in db.queue("pong").claim("partner"):
        assert job.payload["to"] == {"ping": 1}, job.payload
        print("answered")
        job.ack()
        break
"""

DEBIAN = ["python3", "python3-venv"]
FILES = ["python/*-manylinux_2_28_x86_64.whl"]
PROOF = Proof(
    name="python",
    debian=DEBIAN,
    install=INSTALL,
    example={"first.py": samples(readme("python"), "python")[0]},
    run_example="venv/bin/python first.py",
    says="hello, world!",
    worker={"worker.py": WORKER},
    run_worker="venv/bin/python worker.py",
    partner="node",
    files=FILES,
)
PARTNER = Proof(
    name="python",
    debian=DEBIAN,
    install=INSTALL,
    example={"partner.py": PARTNER_PROGRAM},
    run_example="venv/bin/python partner.py",
    says="answered",
    files=FILES,
)

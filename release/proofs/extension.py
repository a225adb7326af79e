"""The loadable extension: in Debian's sqlite3, with the SQL that README.md begins with. SQL cannot wait: a Python does,
for a job that comes from SQL, and its answer is found with SQL.
"""

import repository
from proofs import Proof
from readme import samples

INSTALL = """set -e
python3 -c 'import glob, zipfile; zipfile.ZipFile(*glob.glob("/dist/extension/*-linux-x64-gnu.zip")).extractall()'
ls libhonker_ext.so
"""
SQL = samples((repository.ROOT / "README.md").read_text(), "sql")
FIRST = (
    f".load ./libhonker_ext\n.mode list\nCREATE TABLE orders(id, total);\nSELECT honker_bootstrap();\n{SQL[0]}{SQL[1]}"
)
# Of three one is done.
COUNT = "SELECT 'jobs ' || count(*) FROM _honker_live WHERE queue = 'emails';\n"
ASK = """
ask() { sqlite3 -cmd '.timeout 10000' -cmd '.load ./libhonker_ext' /shared/app.db "$1"; }
ask "SELECT honker_enqueue('ping', '{\\"ping\\":1}')"
for _ in $(seq 3000); do
  case $(ask "SELECT payload ->> '$.to.ping' FROM (SELECT value ->> '$.payload' payload
              FROM json_each(honker_claim_batch('pong', 'partner', 1, 300)))") in
    1) echo answered && exit ;;
    '') sleep 0.1 ;;
    *) echo 'another answer' && exit 1 ;;
  esac
done
"""

PROOF = Proof(
    name="extension",
    debian=["sqlite3", "python3"],
    install=INSTALL,
    example={"first.sql": FIRST + COUNT},
    run_example="sqlite3 -bail app.db <first.sql",
    says="jobs 2",
    asks=ASK,
    files=["extension/*-linux-x64-gnu.zip"],
)

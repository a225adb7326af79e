"""What the compiler does not see: that the package agrees with itself.

Every C++ sample of the README stands in an example, which the tests run. Every function has both of its forms, the one
with std::nothrow is noexcept, and the tests of parity call it.
"""

import re
import sys
import textwrap
from pathlib import Path

package = Path(__file__).resolve().parent.parent
problems = []

readme = (package / "README.md").read_text()
headings = re.findall(r"^## (.*)$", readme, re.MULTILINE)
if ", ".join(headings) != "Install, First queue, Concepts, Queue features, On Postgres, Threads and shutdown, Versions":
    problems.append(f"README.md: the headings are {headings}")

examples = {path.name: path.read_text().splitlines() for path in (package / "examples").glob("*.cpp")}


def stands_in(sample, lines):
    """Whether the lines of the sample follow each other there, all indented by as much."""
    for start in range(len(lines) - len(sample) + 1):
        if textwrap.dedent("\n".join(lines[start : start + len(sample)])).splitlines() == sample:
            return True
    return False


samples = re.findall(r"^```cpp\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
if not samples:
    problems.append("README.md has no samples")
for sample in samples:
    if re.search(r"std::j?thread \w", sample):
        problems.append(f"README.md: what this thread throws ends the process:\n{sample}")
    if not any(stands_in(sample.splitlines(), lines) for lines in examples.values()):
        problems.append(f"README.md: no example has this sample:\n{sample}")
in_tables = [code for row in re.findall(r"^\|.*$", readme, re.MULTILINE) for code in re.findall(r"`([^`]+)`", row)]
for code in in_tables:
    if not code.isidentifier() and not code.endswith(";"):
        problems.append(f"README.md: this is no whole statement: {code}")
    if not code.isidentifier() and not any(code in line for lines in examples.values() for line in lines):
        problems.append(f"README.md: no example has this line of a table: {code}")

parity = (package / "tests" / "parity.cpp").read_text()
for header in sorted((package / "include" / "honker").glob("*.hpp")):
    text = re.sub(r"//.*", "", header.read_text())
    for match in re.finditer(r"(\w+)\(std::nothrow_t(.*?) \{(?: return|\n)", text, re.DOTALL):
        name, rest = match.groups()
        if "noexcept" not in rest.rsplit(")", 1)[-1]:
            problems.append(f"{header.name}: {name} with std::nothrow is not noexcept")
        if header.name in ("libpq.hpp", "sqlite3.hpp", "value.hpp") or name == "open":  # tested by hand
            continue
        if not re.search(rf"\b{name}\b", parity):
            problems.append(f"tests/parity.cpp does not call {name}")

for problem in problems:
    print(problem, file=sys.stderr)
print(f"{len(samples)} samples, {len(in_tables)} lines of tables, {len(problems)} problems")
sys.exit(bool(problems))

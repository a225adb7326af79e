"""What the compiler does not see.

Every Go sample of the README stands in an example or a test, which the tests run. Addresses become numbers in the
generated calls alone: kept over another call, such a number would be wrong as soon as the stack grows.
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

sources = [
    *(package / "examples").glob("*/main.go"),
    *(package / "tests" / "drivers").glob("*.go"),
    *(package / "tests" / "postgres").glob("*.go"),
    *package.glob("honker*/*.go"),
]
examples = [path.read_text() for path in sources]


def stands_in(sample, text):
    """Whether the lines of the sample stand there, all indented by as much."""
    return any(textwrap.indent(sample, "\t" * depth) in text for depth in range(6))


samples = re.findall(r"^```go\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
if not samples:
    problems.append("README.md has no samples")
for sample in samples:
    if sample.count("{") != sample.count("}"):
        problems.append(f"README.md: a sample ends before its blocks do:\n{sample}")
    if not any(stands_in(sample, text) for text in examples):
        problems.append(f"README.md: no example has this sample:\n{sample}")

for path in package.glob("*.go"):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        is_address = re.search(r"uintptr\((unsafe\.|slice\()", line)
        is_call = path.name == "abi.go" or path.name.endswith("_test.go")
        if is_address and not is_call and "unsafe.Pointer(cell)" not in line and "unsafe.Sizeof" not in line:
            problems.append(f"{path.name}:{number}: the address is a number: {line.strip()}")

for problem in problems:
    print(problem, file=sys.stderr)
print(f"{len(samples)} samples, {len(problems)} problems")
sys.exit(bool(problems))

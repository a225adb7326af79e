"""Every C# sample of the README stands in an example, which the tests run; it has the headings of all packages."""

import re
import sys
from pathlib import Path

package = Path(__file__).resolve().parent.parent
problems = []


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


readme = (package / "README.md").read_text()
headings = re.findall(r"^## (.*)$", readme, re.MULTILINE)
if ", ".join(headings) != "Install, First queue, Concepts, Queue features, On Postgres, Threads and shutdown, Versions":
    problems.append(f"README.md: the headings are {headings}")

examples = ["\n" + "\n".join(lines(path.read_text())) + "\n" for path in (package / "examples").rglob("*.cs")]
samples = re.findall(r"^```csharp\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
if not samples:
    problems.append("README.md has no samples")
for sample in samples:
    if not any("\n" + "\n".join(lines(sample)) + "\n" in text for text in examples):
        problems.append(f"README.md: no example has this sample:\n{sample}")

for problem in problems:
    print(problem, file=sys.stderr)
print(f"{len(samples)} samples, {len(problems)} problems")
sys.exit(bool(problems))

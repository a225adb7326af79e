"""What the compilers do not see: that the package agrees with itself.

The README has its headings, and each of its samples, and what its table of features has, stands in an example,
which the tests run. White space does not count: the formatters have their own ideas of it.
"""

import re
import sys
from pathlib import Path

package = Path(__file__).resolve().parent.parent
problems = []

readme = (package / "README.md").read_text()
headings = re.findall(r"^## (.*)$", readme, re.MULTILINE)
if ", ".join(headings) != "Install, First queue, Concepts, Queue features, On Postgres, Threads and shutdown, Versions":
    problems.append(f"README.md: the headings are {headings}")


def squeezed(text):
    return re.sub(r"\s+", "", text)


folders = [package / "examples" / "src" / "main", package / "honker-spring-boot-starter" / "src" / "test"]
sources = [path for folder in folders for path in folder.rglob("*.*")]
examples = [squeezed(path.read_text()) for path in sources if path.suffix in (".java", ".kt")]
samples = re.findall(r"^```(java|kotlin)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
for language, sample in samples:
    lines = "\n".join(line for line in sample.splitlines() if not line.startswith("import "))
    if language == "java" and not re.search(r"[;}]( *//.*)?$", lines.strip()):
        problems.append(f"README.md: this sample ends in the middle of a statement:\n{sample}")
    if not any(squeezed(lines) in example for example in examples):
        problems.append(f"README.md: no example has this sample:\n{sample}")
# What is called in the table of features; words alone name what is there.
features = readme.partition("## Queue features")[2].partition("\n\nSettings are in the file")[0]
rows = "\n".join(re.findall(r"^\|.*$", features, re.MULTILINE))
in_table = [code for code in re.findall(r"`([^`\n]+)`", rows) if "(" in code]
if len(in_table) < 30:
    problems.append(f"README.md: the table of features has {len(in_table)} pieces of code")
for code in in_table:
    if not any(squeezed(code) in example for example in examples):
        problems.append(f"README.md: no example has this of the table of features: {code}")

for problem in problems:
    print(problem, file=sys.stderr)
print(f"{len(samples)} samples, {len(in_table)} pieces of tables, {len(problems)} problems")
sys.exit(bool(problems))

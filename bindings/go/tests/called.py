"""Whether a test calls every function of the library that the package uses.

go tool cover -func=PROFILE | python3 tests/called.py
"""

import re
import sys
from pathlib import Path

package = Path(__file__).resolve().parent.parent
sources = "".join(path.read_text() for path in package.glob("*.go") if not path.name.endswith("_test.go"))
used = set(re.findall(r"(?:native\(\)|native|calls)\.(\w+)\b", sources))
covered = re.findall(r"/abi\.go:\d+:\s+(\w+)\s+(\S+)%$", sys.stdin.read(), re.MULTILINE)
calls = {name: share for name, share in covered if name in used}
missing = [name for name, share in calls.items() if float(share) == 0]
print(f"{len(calls)} functions are used, {len(missing)} not called: {' '.join(missing)}")
sys.exit(bool(missing) or not calls)

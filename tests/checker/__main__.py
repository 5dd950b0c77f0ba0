"""`python -m tests.checker FILE...` judges kept histories: exit code 1 where an invariant does not hold."""

import sys
from pathlib import Path

from tests.checker import judge, read_history

if __name__ == "__main__":
    report = judge(read_history(Path(name) for name in sys.argv[1:]))
    print(report)
    sys.exit(0 if report.ok else 1)

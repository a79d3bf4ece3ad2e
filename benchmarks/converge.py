"""Let 2 to 5 clients edit one document of lesson 15, with cuts and delays, in many sessions.

.venv/bin/python benchmarks/converge.py --sessions 10000
"""

import argparse
import runpy
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the sessions, and print the seed of the first that went wrong, if any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first session")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "solutions" / "15_editor"))
    probe = runpy.run_path(str(ROOT / "tests" / "probes" / "15_editor.py"))
    start = time.perf_counter()
    seed, fault = probe["converge"](options.seed, options.sessions)
    if fault:
        sys.exit(f"session {seed}: {fault}")
    seconds = time.perf_counter() - start
    print(
        f"{options.sessions} sessions in {seconds:.1f} s: all documents are equal to the server's"
    )


if __name__ == "__main__":
    main()

"""Mutate a package and count the mutants that its tests kill: mutmut's operators, a seeded sample, a fork for each.

mutmut's own runner draws no sample and leaves out what stands outside of functions or below a decorator. Here a parent
imports everything but `transfer`; each mutant is a fork of it in which one module has another source, and runs the
tests that reach the changed statement, quick ones first. tools/mutate.sh installs mutmut beside .venv and starts this.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tools.mutants.making import Mutant, Mutated, makers
from tools.mutants.reaching import Chosen, Reached, forked, measure, pytest_exit, tests_for

TESTS = {
    "transfer/checkpoints/keys": ["tests/checkpoints/keys"],
    "transfer/datasets": ["tests/datasets"],
    "transfer/metrics": ["tests/metrics"],
    "transfer/results": ["tests/results"],
}
CHECKS = ("annotations", "derived", "masks", "preflight", "problems", "voc_xml")
"""Modules of `datasets` that check data; the others find, open and draw them."""


KILLED = (1, 2, 4, None)
"""What pytest returns where a test failed, or its module or conftest cannot be imported; None: it took too long."""


def outcome(mutant: Mutant, reached: Reached, scratch: Path) -> str:
    """Return `killed`, `survived`, or `uncovered` where no test reaches the change."""
    tests = tests_for(mutant, reached)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))

    def work() -> int:
        sys.meta_path.insert(0, Mutated(mutant))
        return pytest_exit(files, Chosen(tests), scratch)

    if not tests:
        return "uncovered"
    limit = 20 + 4 * sum(reached.seconds.get(test, 0.0) for test in tests)
    return "killed" if forked(work, limit) in KILLED else "survived"


def main() -> None:
    """Print every survivor, and last how many were killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=TESTS)
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--sample", type=int, default=250, help="how many mutants (default: 250)")
    parser.add_argument("--numbers", type=int, nargs="+", help="only these mutants of the sample")
    options = parser.parse_args()
    paths = [p for p in sorted(Path(options.package).glob("*.py")) if "datasets" not in p.parts or p.stem in CHECKS]
    makes = [make for path in paths for make in makers(path)]
    chosen = random.Random(options.seed).sample(makes, min(options.sample, len(makes)))
    print(f"{options.package}: {len(chosen)} of {len(makes)} mutants, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        reached = measure(options.package, TESTS[options.package], Path(scratch))
        counts: Counter[str] = Counter()
        for number in options.numbers or range(len(chosen)):
            mutant = chosen[number]()
            found = outcome(mutant, reached, Path(scratch))
            counts[found] += 1
            if found != "killed":
                print(f"\n{number}: {found}: {mutant.path}\n{mutant.diff}", flush=True)
    total, killed = counts.total(), counts["killed"]
    print(f"\n{options.package}: {killed} of {total} mutants killed ({killed / total:.1%}), seed {options.seed}")


if __name__ == "__main__":
    main()

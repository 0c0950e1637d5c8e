#!/usr/bin/env python3
"""Checks the house rules over the whole tree: tests/tidy/tidy.py [--root DIR] [RULE...].

Without a RULE, all of them. The last line is "N passed, N failed", counting rules.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import alone
import checks
from tree import Tree

RULES = {rule.__name__: rule for rule in checks.ALL + [alone.headers_alone]}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("rules", nargs="*", choices=[[], *RULES], help="rules to check")
    chosen = parser.parse_args()

    tree = Tree(os.path.abspath(chosen.root))
    failed = 0
    names = chosen.rules or list(RULES)
    for name in names:
        findings = list(RULES[name](tree))
        failed += bool(findings)
        for path, line, what in findings:
            print(f"{path}:{line}: {name}: {what}")
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs all tests and prints one closing line: python3 -m tests"""
import os
import sys
import unittest

from . import shared

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    suite = unittest.defaultTestLoader.discover(here, top_level_dir=os.path.dirname(here))
    result = unittest.TextTestRunner(verbosity=0).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.skipped)
    if not failed:
        print(*shared.REPORTS, sep="\n")
    print("python: %d passed, %d failed" % (result.testsRun - failed, failed))
    sys.exit(1 if failed or not result.testsRun else 0)

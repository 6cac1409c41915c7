"""The oldest Python that the package promises."""
import ast
import glob
import os
import unittest

PACKAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "license_agent", "*.py")


class OldestPython(unittest.TestCase):
    def test_parses(self):
        files = glob.glob(PACKAGE)
        self.assertGreater(len(files), 10)
        for name in files:
            with open(name, encoding="utf-8") as f:
                ast.parse(f.read(), name, feature_version=(3, 9))
        with self.assertRaises(SyntaxError):  # the control: what came with 3.10
            ast.parse("match x:\n    case 1: pass", feature_version=(3, 9))

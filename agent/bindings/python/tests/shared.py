"""The shared test data, and one test method per case."""
import json
import os

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", ".."))


def load(path):
    with open(os.path.join(REPOSITORY, path), encoding="utf-8") as f:
        return json.load(f)


def cases(cls, prefix, items, run):
    """Adds one test method per item, so that each counts."""
    for i, item in enumerate(items):
        def method(self, item=item):
            run(self, item)
        method.__name__ = "test_%s_%04d" % (prefix, i)
        method.__doc__ = "%s: %s" % (prefix, item.get("name", str(item)[:60]))
        setattr(cls, method.__name__, method)
    return len(items)


REPORTS = []


def count(kind, number):
    """How many cases of a kind there are, for the table of README.md."""
    REPORTS.append("count %s %d" % (kind, number))


def report(promise, number, control):
    """A line of the table of promises; printed only when no test failed."""
    REPORTS.append("promise %s|%s|%s" % (promise, number, control))

"""A licensed program in miniature: example.py ANCHOR-FILE PRODUCT [SOCKET]"""
import sys

from license_agent import AgentError, Checker

anchor = open(sys.argv[1], "rb").read()  # a real product carries it inside
try:
    with Checker(anchor, socket="".join(sys.argv[3:])) as checker:
        verdict = checker.check(sys.argv[2])
except AgentError as e:
    sys.exit("not licensed: %s %s" % (e, e.hint))
if not verdict.runs:
    sys.exit("not licensed: %s %s" % (verdict.phase, verdict.reason))
print("licensed:", verdict.phase, "features", *verdict.features, "until", verdict.grace_until.date())

"""Against a real agent: live.py ANCHOR STRANGERS-ANCHOR SOCKET PRODUCT

Prints one line of passes and one of latencies.
"""
import base64
import json
import platform
import sys
import time

import cryptography

from license_agent import AgentError, Checker
from license_agent.transport import Transport


def main(anchor_file, stranger_file, socket, product):
    anchor, stranger = (open(f, "rb").read() for f in (anchor_file, stranger_file))
    results = []

    def case(name, ok):
        results.append(bool(ok))
        if not ok:
            print("FAILED live:", name)

    def code(a, p):
        try:
            with Checker(a, socket=socket) as k:
                return k.check(p).runs
        except AgentError as e:
            return e.code

    checker = Checker(anchor, socket=socket)
    verdict = checker.check(product)
    case("check", verdict.runs and verdict.phase == "active" and verdict.has("mesh"))
    case("unknown product", code(anchor, "no-such-product") == "not-activated")
    case("another vendor's anchor", code(stranger, product) == "agent-untrusted")
    files = Transport(socket).call("GET", "/v1/license?product=" + product)
    mirror = json.dumps({k: base64.b64decode(files[k]).decode() for k in ("license", "keyset")})
    case("files", checker.check_files(product, mirror).runs)
    case("files for another product", not_licensed(lambda: checker.check_files("other", mirror)))
    case("watch", isinstance(next(checker.watch())["serial"], int))

    seats(checker, product, verdict.seats, case)

    def measure(call, times):
        took = []
        for _ in range(times):
            start = time.perf_counter()
            call()
            took.append((time.perf_counter() - start) * 1e6)
        took.sort()
        return "p50 %d us, p99 %d us" % (took[len(took) // 2], took[len(took) * 99 // 100])

    def fresh():
        with Checker(anchor, socket=socket) as k:
            k.check(product)

    measure(lambda: checker.check(product), 200)
    cached = measure(lambda: checker.check(product), 2000)
    uncached = measure(fresh, 200)
    seat = measure(lambda: checker.seat(product, wait=2.0).close(), 200).split(",")[0]
    print("python live: %d passed, %d failed" % (sum(results), len(results) - sum(results)))
    print("python %s, cryptography %s: cached %s; uncached %s; seat %s" % (platform.python_version(), cryptography.__version__, cached, uncached, seat))
    return 0 if all(results) else 1


def seats(checker, product, number, case):
    def code(*args):
        try:
            with checker.seat(product, *args) as s:
                return s.held() and s.verdict.runs
        except AgentError as e:
            return e.code

    taken = [checker.seat(product, "user-%d" % i) for i in range(number)]
    case("seats: all taken", number > 1 and all(s.held() for s in taken))
    case("seats: one more", code("one-more") == "seats-taken")
    case("seats: the same user again", code("user-0") is True)
    taken[0].close()
    case("seats: given back and taken by another", code("other", 2.0) is True)
    for s in taken:
        s.close()


def not_licensed(call):
    try:
        call()
    except AgentError as e:
        return e.code == "agent-untrusted"
    return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Against real agents: live.py SCRIPT PLACES

SCRIPT is agent/bindings/testdata/live.txt, PLACES a folder with own.json,
stranger.json and mirror.json and the endpoints in places.txt. Prints one line of
passes and one of latencies. Or: live.py watch PLACES, which prints the phase at the
start and after each change, until the license does not run.
"""
import os
import platform
import sys
import time

import cryptography

from license_agent import AgentError, Checker


class Live:
    def __init__(self, places):
        self.where, self.taken, self.failed = places, {}, 0
        with open(os.path.join(places, "places.txt"), encoding="utf-8") as f:
            self.sockets = dict(line.split() for line in f)
        self.checker = self.make("own")

    def file(self, name):
        with open(os.path.join(self.where, name), "rb") as f:
            return f.read()

    def make(self, place, anchor="own"):
        at = {"instance": "no-such-instance"} if place == "instance" else {"socket": self.sockets[place]}
        return Checker(self.file(anchor + ".json"), **at)

    def check(self, place, anchor, product):
        with self.make(place, anchor) as k:
            return said(k.check(product))

    def files(self, product):
        return said(self.checker.check_files(product, self.file("mirror.json")))

    def watch(self):
        return "changed" if next(self.checker.watch())["serial"] >= 0 else "no"

    def seat(self, user, wait):
        seat = self.checker.seat("studio", user, int(wait) / 1000)
        self.taken.setdefault(user, []).append(seat)
        return said(seat.verdict) if seat.held() else "not held"

    def close(self, user):
        with self.make("own") as k:
            seat = k.seat("studio", user, 2.0)
        return "held" if seat.held() else "ended"

    def free(self, user):
        for seat in self.taken.pop(user):
            seat.close()

    def step(self, do, *args):
        """Says what came of a step; a typed error must have its sentences."""
        try:
            return getattr(self, do)(*args)
        except AgentError as e:
            code = e.code + "/" + e.cause if e.cause else e.code
            return code if e.message and e.hint else code + " without its sentences"


def said(verdict):
    return verdict.phase if verdict.runs else "no: " + verdict.phase


def watch_on(places):
    live = Live(places)
    for _ in live.checker.watch():
        verdict = live.checker.check("studio")
        print(verdict.phase, flush=True)
        if not verdict.runs:
            return 0
    return 1


def main(script, places):
    if script == "watch":
        return watch_on(places)
    live, steps = Live(places), 0
    with open(script, encoding="utf-8") as f:
        lines = [line.split() for line in f if line.strip() and not line.startswith("#")]
    for words in lines:
        want = None if words[0] == "free" else words.pop()
        got = live.step(*words)
        steps += 1
        if got != want:
            live.failed += 1
            print("FAILED live:", *words, "want", want, "got", got)

    def measure(call, times):
        took = []
        for _ in range(times):
            start = time.perf_counter()
            call()
            took.append((time.perf_counter() - start) * 1e6)
        took.sort()
        return "p50 %d us, p99 %d us" % (took[len(took) // 2], took[len(took) * 99 // 100])

    def fresh():
        with live.make("own") as k:
            k.check("studio")

    def warm():
        live.checker.check("studio")

    measure(warm, 3000)
    cached, uncached = measure(warm, 2000), measure(fresh, 200)
    seat = measure(lambda: live.checker.seat("studio", wait=2.0).close(), 200).split(",")[0]
    print("python live: %d passed, %d failed" % (steps - live.failed, live.failed))
    print("python %s, cryptography %s: cached %s; uncached %s; seat %s" % (platform.python_version(), cryptography.__version__, cached, uncached, seat))
    return 1 if live.failed or not steps else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

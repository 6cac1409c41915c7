"""Genuine and fake agents on a real Unix socket."""
import json
import os
import shutil
import socket
import tempfile
import threading
import time
import unittest
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from license_agent import AgentError, Checker
from license_agent.canonical import decode64, encode64, pae
from license_agent.keys import key_id
from license_agent.license import license_hash
from license_agent.transport import socket_path

from .shared import cases, count, load, report

TALK = load("agent/bindings/testdata/conversation.json")
DATA, START = TALK["data"], TALK["start"]
PROOF = "application/vnd.license-agent.proof.v1+json"


def seal_proof(p, nonce, reread):
    """The proof that a side in possession of the named key makes."""
    if not p:
        return ""
    if p.get("data"):
        return DATA[p["data"]]
    if p.get("flip"):
        nonce = bytes([nonce[0] ^ 1]) + nonce[1:]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(TALK["seeds"][p["key"]]))
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    missing = [] if p.get("late") and not reread else p.get("missing", [])
    payload = json.dumps({
        "v": 1, "nonce": encode64(nonce), "prod": p["product"], "sha": license_hash(DATA[p["license"]].encode()),
        "phase": p["phase"], "runs": p["runs"], "missing": missing, "time": p["time"], "boot": "boot-1",
    }, separators=(",", ":")).encode()
    name = key_id({"alg": "ed25519", "pub": encode64(public)})
    return '{"payloadType":"%s","payload":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}' % (
        PROOF, encode64(payload), name, encode64(key.sign(pae(PROOF, payload))))


def answer(c, request):
    """Status and body that the answering side of a case sends."""
    if c.get("raw"):
        return c.get("status", 200), c["raw"].encode()
    proof = seal_proof(c.get("proof"), decode64(request["nonce"]), request.get("reread"))
    body = {"license": DATA[c["license"]], "keyset": DATA[c["keyset"]], "proof": proof}
    body = {k: encode64(v.encode()) for k, v in body.items()}
    body["verdict"] = {"phase": "active", "runs": True, "message": "Said by the agent.", "flags": ["drift"]}
    return 200, json.dumps(body).encode()


class Agent:
    """Listens as the agent would, in a private directory. handle(target, body)
    returns (status, body), or bytes to be sent as they are."""

    def __init__(self, handle, hang=True):
        self.dir = tempfile.mkdtemp(prefix="agent")
        self.path = os.path.join(self.dir, "a.sock")
        self.handle, self.hang, self.connections, self.done = handle, hang, 0, threading.Event()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with conn, conn.makefile("rb") as f:
            try:
                while not self.done.is_set():
                    target = f.readline().split(b" ")
                    length = 0
                    while True:
                        line = f.readline()
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                        if line in (b"\r\n", b""):
                            break
                    if len(target) < 2:
                        return
                    said = self.handle(target[1].decode(), f.read(length))
                    if isinstance(said, bytes):
                        conn.sendall(said)
                        if self.hang:
                            self.done.wait(20)
                        return
                    conn.sendall(b"HTTP/1.1 %d Said\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (said[0], len(said[1])) + said[1])
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.done.set()
        self.listener.close()
        shutil.rmtree(self.dir)


class Clock:
    def __init__(self, late=0, age=0.0):
        self.wall, self.mono, self.age, self.calls = START + late, 100.0, age, 0

    def __call__(self):
        self.calls += 1
        if self.calls % 2 == 0:
            self.mono += self.age
        return self.wall, self.mono


def checker(path, c=None, **options):
    c = c or {}
    options.setdefault("clock", Clock(c.get("late", 0), c.get("age_ms", 0) / 1000))
    before = [c["before"]] if c.get("before") else []
    options.setdefault("observe", lambda: before.pop() if before else c.get("observe") or TALK["checks"][0]["observe"])
    return Checker(TALK["anchor"], socket=path, **options)


class Checks(unittest.TestCase):
    def check(self, c):
        seen = []

        def handle(target, body):
            seen.append((target, json.loads(body)))
            return answer(dict(c, keyset=c["first"]) if c.get("first") and len(seen) == 1 else c, seen[-1][1])

        with Agent(handle) as agent, checker(agent.path, c) as k:
            for i in range(2):  # the second time license and key set are remembered
                want = c["want_first"] if c.get("first") and i == 0 else c["want"]
                try:
                    v = k.check(TALK["product"])
                except AgentError as e:
                    self.assertEqual((e.code, e.cause if want.get("cause") else ""), (want.get("code"), want.get("cause", "")), str(e))
                    self.assertEqual(e.message, want.get("message", e.message))
                    self.assertTrue(e.message, "no sentence")
                    continue
                self.assertIsNone(want.get("code"), c["name"])
                self.assertEqual((v.runs, v.phase, v.reason, v.keyset), (want["runs"], want["phase"], want.get("reason", ""), want["keyset"]))
                self.assertEqual(v.device["outcome"], want["outcome"])
                if want.get("message"):
                    self.assertEqual((v.message, v.next_step), (want["message"], want["next_step"]))
        again = c.get("again", 0)
        self.assertEqual(sum(s[1].get("reread", False) for s in seen), again, "asked again")
        self.assertEqual([s[0] for s in seen], ["/v1/check"] * (2 + again))
        self.assertEqual({(s[1]["product"], s[1]["issuer"]) for s in seen}, {("studio", "acme")})
        self.assertEqual(len({s[1]["nonce"] for s in seen}), len(seen), "the nonce is not fresh")

    def files(self, c):
        want = c["want"]
        k = checker("/nowhere", c)
        try:
            v = k.check_files(c["product"], c["file"])
        except AgentError as e:
            self.assertEqual((e.code, e.cause if want.get("cause") else ""), (want.get("code"), want.get("cause", "")), str(e))
            self.assertEqual(e.message, want.get("message", e.message))
            return
        self.assertEqual((v.runs, v.phase, v.reason, v.keyset), (want["runs"], want["phase"], want.get("reason", ""), want["keyset"]))
        self.assertEqual((v.message, v.next_step), (want.get("message", ""), want.get("next_step", "")))

    def endpoint(self, c):
        said = c["say"].encode() + c.get("with", "x").encode() * c.get("fill", 0)
        with Agent(lambda *_: said, c["hang"]) as agent, checker(agent.path, timeout=0.4 if c["want"] == "agent-timeout" else 20) as k:
            with self.assertRaises(AgentError) as got:
                k.check("studio")
        self.assertEqual(got.exception.code, c["want"])
        self.assertTrue(got.exception.message and got.exception.hint, "no sentences")

    def slow(self, c):
        """The first answer takes most of the time that the whole call has."""
        said = next(k for k in TALK["checks"] if k["name"] == c["answer"])
        asked = []

        def handle(target, body):
            asked.append(target)
            if len(asked) > 1:
                return b""  # and then silence
            agent.done.wait(c["delay_ms"] / 1000)
            return answer(said, json.loads(body)) if target == "/v1/check" else (200, json.dumps(load("agent/api/testdata/seat-answer.json")).encode())

        with Agent(handle) as agent, checker(agent.path, said, timeout=c["timeout_ms"] / 1000) as k:
            began = time.monotonic()
            with self.assertRaises(AgentError) as got:
                k.check("studio") if c["call"] == "check" else k.seat("studio")
            took = time.monotonic() - began
        self.assertEqual((got.exception.code, len(asked)), (c["want"], 2))
        self.assertLess(took, c["at_most_ms"] / 1000)

    def test_control(self):
        """A program that believes the answer is fooled by at least ten fakes."""
        fooled = 0
        for c in TALK["checks"]:
            if c.get("fake"):
                _, body = answer(c, {"nonce": encode64(bytes(32))})
                try:
                    fooled += json.loads(body)["verdict"]["runs"]
                except ValueError:
                    pass
        self.assertGreaterEqual(fooled, 10)
        kinds = sum(1 for c in TALK["checks"] if c.get("fake"))
        count("fakes", kinds)
        count("endpoints", len(TALK["endpoints"]))
        report("P14", "Python: %d kinds of fake agent, 0 believed" % kinds, "a program that believes the answer is fooled by %d" % fooled)


cases(Checks, "check", TALK["checks"], Checks.check)
cases(Checks, "files", TALK["files"], Checks.files)
cases(Checks, "endpoint", TALK["endpoints"], Checks.endpoint)
cases(Checks, "slow", TALK["slow"], Checks.slow)


class Behaviour(unittest.TestCase):
    def genuine(self, target, body):
        return answer(TALK["checks"][0], json.loads(body))

    def test_verdict(self):
        with Agent(self.genuine) as agent, checker(agent.path) as k:
            v = k.check("studio")
        self.assertTrue(v.has("mesh") and not v.has("none"))
        self.assertEqual((v.edition, v.seats, v.limits, v.license), ("pro", 3, {"max-projects": 10}, "lic-desk"))
        self.assertEqual((v.message, v.flags), ("Said by the agent.", ["drift"]))
        self.assertEqual(v.expires.isoformat(), "2027-06-01T00:00:00+00:00")

    def test_one_connection_and_one_reading(self):
        reads = []
        clock = Clock()

        def observe():
            reads.append(1)
            return TALK["checks"][0]["observe"]

        with Agent(self.genuine) as agent, checker(agent.path, observe=observe, clock=clock) as k:
            for _ in range(5):
                k.check("studio")
            self.assertEqual((agent.connections, len(reads)), (1, 1))
            clock.mono += 3600
            k.check("studio")
            self.assertEqual(len(reads), 2)

    def test_agent_restarts(self):
        with Agent(self.genuine) as agent, checker(agent.path) as k:
            k.check("studio")
            for conn in list(k._transport._open):
                conn.sock.shutdown(socket.SHUT_RDWR)
            self.assertTrue(k.check("studio").runs)

    def test_not_running(self):
        with tempfile.TemporaryDirectory() as d:
            for path in (d + "/none.sock", d + "/no/such/dir.sock"):
                self.assertEqual(self.code(path), "agent-not-running")
            dead = socket.socket(socket.AF_UNIX)
            dead.bind(d + "/dead.sock")
            dead.close()
            self.assertEqual(self.code(d + "/dead.sock"), "agent-not-running")

    def test_wrong_owner(self):
        with Agent(self.genuine) as agent:
            plain = os.path.join(agent.dir, "file")
            open(plain, "w").close()
            self.assertEqual(self.code(plain), "agent-wrong-owner")
            os.chmod(agent.dir, 0o777)
            self.assertEqual(self.code(agent.path), "agent-wrong-owner")
            os.chmod(agent.dir, 0o700)
            link = os.path.join(agent.dir, "link")
            os.symlink(agent.dir, link)
            self.assertEqual(self.code(link + "/a.sock"), "")
            if os.geteuid() == 0:  # the runner is root, who can make it another user's
                os.chown(agent.path, 65534, 65534)
                self.assertEqual(self.code(agent.path), "agent-wrong-owner")
                self.assertEqual(self.code(agent.path, owners=[65534]), "")
                os.chown(agent.dir, 65534, 65534)
                self.assertEqual(self.code(agent.path), "agent-wrong-owner")

    def code(self, path, **options):
        try:
            with checker(path, **options) as k:
                k.check("studio")
            return ""
        except AgentError as e:
            self.assertTrue(e.message and (e.hint or not e.code.startswith("agent-")), "no sentences")
            return e.code

    def test_configuration(self):
        self.assertEqual(socket_path(), "/run/license-agent/agent.sock")
        self.assertEqual(socket_path("cad"), "/run/license-agent-cad/agent.sock")
        self.assertEqual(socket_path("cad", windows=True), "\\\\.\\pipe\\license-agent-cad")
        for options in ({"instance": "Bad Name"}, {"instance": "../x"}, {"socket": "relative"}, {"socket": "/" + "x" * 200}):
            with self.assertRaises(AgentError) as got:
                Checker(TALK["anchor"], **options)
            self.assertEqual(got.exception.code, "config-invalid")
        for anchor in ("", "{}", b"\xff", TALK["anchor"].replace("acme", "ACME")):
            with self.assertRaises(AgentError) as got:
                Checker(anchor, language="zh-CN")
            self.assertEqual(got.exception.code, "anchor")
            self.assertIn("信任锚", got.exception.message)

    def test_golden_answers(self):
        for name, want in (("check-answer", "agent-untrusted"), ("error", "merchant-refused")):
            body = json.dumps(load("agent/api/testdata/%s.json" % name)).encode()
            with Agent(lambda *_, b=body, n=name: (200 if n == "check-answer" else 422, b)) as agent:
                self.assertEqual(self.code(agent.path), want)

    def test_watch(self):
        golden = load("agent/api/testdata/events.json")
        answers = [{"serial": 5, "events": []}, {"serial": 5, "events": []}, golden, None, {"serial": 1, "events": []}]
        asked, seen, pauses = [], [], []

        def handle(target, body):
            asked.append(target)
            said = answers[len(asked) - 1]
            return (500, b"{}") if said is None else (200, json.dumps(said).encode())

        with Agent(handle) as agent, checker(agent.path) as k:
            for event in k.watch(pause=pauses.append):
                seen.append(event["serial"])
                if len(seen) == 3:
                    break
        self.assertEqual(seen, [5, golden["serial"], 1])
        self.assertEqual(asked, ["/v1/events?since=%s" % s for s in ("0&wait=0s", "5&wait=30s", "5&wait=30s", "7&wait=30s", "0&wait=0s")])
        self.assertEqual(pauses, [1.0])

    def test_close_ends_a_watch(self):
        asked = threading.Event()

        def handle(target, body):
            if "wait=0s" in target:
                return 200, b'{"serial":1,"events":[]}'
            asked.set()
            return b""  # and then silence

        with Agent(handle) as agent, checker(agent.path) as k:
            ended = threading.Thread(target=lambda: list(k.watch()))
            ended.start()
            self.assertTrue(asked.wait(10))
            k.close()
            ended.join(10)
            self.assertFalse(ended.is_alive())

    def test_close_ends_the_pause_of_a_watch(self):
        k = checker("/nonexistent/agent.sock")
        pause, closing = k._ended.wait, threading.Thread(target=k.close)
        k._ended.wait = lambda seconds: (closing.start(), pause(3600))
        self.assertEqual(list(k.watch()), [])
        closing.join()

    def test_drip_is_bounded(self):
        """One byte at a time keeps no program waiting past its deadline."""
        with Agent(self.genuine) as agent:
            drip = os.path.join(agent.dir, "drip")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(drip)
            listener.listen(1)

            def serve():
                conn, _ = listener.accept()
                try:
                    for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000:
                        conn.sendall(bytes([byte]))
                        agent.done.wait(0.01)
                except OSError:
                    pass

            threading.Thread(target=serve, daemon=True).start()
            self.assertEqual(self.code(drip, timeout=0.3), "agent-timeout")
            listener.close()


class Seats(unittest.TestCase):
    def setUp(self):
        self.total, self.busy, self.taken, self.case, self.asked = 3, 0, False, TALK["checks"][0], []

    def handle(self, target, body):
        if target == "/v1/check":
            return answer(self.case, json.loads(body))
        self.asked.append(json.loads(body))
        if self.busy:
            self.busy -= 1
            return 503, b'{"error":{"code":"busy","message":"Busy."}}'
        if self.taken:
            return 409, b'{"error":{"code":"seats-taken","message":"All seats are taken."}}'
        golden = load("agent/api/testdata/seat-answer.json")
        golden["count"]["total"] = self.total
        return 200, json.dumps(golden).encode()

    def code(self, call):
        try:
            call()
            return ""
        except AgentError as e:
            return e.code + "/" + e.cause if e.cause else e.code

    def test_taken_up_again_and_lost(self):
        self.busy = 1
        with Agent(self.handle) as agent, checker(agent.path) as k, k.seat("studio", "alice", 1.0) as seat:
            self.assertTrue(seat.held() and seat.verdict.runs)
            self.assertEqual([(a["user"], a["issuer"]) for a in self.asked], [("alice", "acme")] * 2)
            self.assertGreater(self.asked[0]["wait_ms"], 0)
            seat._held.sock.shutdown(socket.SHUT_RDWR)
            self.assertTrue(seat.held())
            self.assertEqual(len(self.asked), 3)
            self.taken = True
            seat._held.sock.shutdown(socket.SHUT_RDWR)
            self.assertEqual(self.code(seat.held), "seats-taken")
            self.assertFalse(seat.held())

    def test_ends_with_its_checker(self):
        with Agent(self.handle) as agent:
            k = checker(agent.path)
            seat, connections = k.seat("studio"), list(k._transport._open)
            self.assertTrue(seat.held() and len(connections) == 2)
            k.close()
            self.assertFalse(seat.held())
            self.assertEqual([c.sock.fileno() for c in connections], [-1, -1], "left open")
            self.assertEqual(self.code(lambda: k.check("studio")), "agent-bad-answer")
            self.assertEqual((len(self.asked), agent.connections), (1, 2))

    def test_closed_while_it_is_taken_up_again(self):
        with Agent(self.handle) as agent, checker(agent.path) as k, k.seat("studio") as seat:
            agent.handle = lambda target, body: (target == "/v1/seats" and seat.close(), self.handle(target, body))[1]
            seat._held.sock.shutdown(socket.SHUT_RDWR)
            self.assertFalse(seat.held())
            self.assertEqual((len(self.asked), seat._held), (2, None))
            self.assertEqual(k._transport._open, set(k._transport._idle), "the new seat is kept")
            self.assertFalse(seat.held())

    def test_taken_up_again_in_time(self):
        """An attempt gets what is left of the time for all of them."""
        with Agent(self.handle) as agent, checker(agent.path, timeout=60.0) as k, k.seat("studio") as seat:
            agent.handle = lambda *_: b""  # and then silence
            seat._held.sock.shutdown(socket.SHUT_RDWR)
            with mock.patch("license_agent.seat.RESUME", 0.5):
                began = time.monotonic()
                self.assertEqual(self.code(seat.held), "agent-timeout")
            self.assertLess(time.monotonic() - began, 30)

    def test_a_fork_has_connections_of_its_own(self):
        with Agent(self.handle) as agent, checker(agent.path) as k, k.seat("studio") as seat:
            child = os.fork()
            if child == 0:
                try:
                    ok = not seat.held() and k.check("studio").runs
                    seat.close()
                    k.close()
                    os._exit(0 if ok else 1)
                finally:
                    os._exit(2)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertTrue(seat.held() and k.check("studio").runs)
            self.assertEqual((len(self.asked), agent.connections), (1, 3))
            copy = seat._held.sock.dup()  # as a child has it
            copy.setblocking(False)
            seat.close()
            self.assertEqual(copy.recv(1), b"", "a seat that is given back ends though a child has its socket")
            copy.close()

    def test_refused(self):
        with Agent(self.handle) as agent, checker(agent.path) as k:
            self.total = 4
            self.assertEqual(self.code(lambda: k.seat("studio")), "agent-untrusted/seats")
            self.total, self.case = 3, next(c for c in TALK["checks"] if c["name"] == "frozen")
            self.assertEqual(self.code(lambda: k.seat("studio")), "not-licensed/agent-says-no")
            self.taken = True
            self.assertEqual(self.code(lambda: k.seat("studio")), "seats-taken")
            self.assertFalse([c for c in k._transport._open if c not in k._transport._idle])
            # The wait for a seat ends with the checker, and does not begin where nobody listens.
            self.asked.clear()
            agent.handle = lambda target, body: (self.asked.append(body), k.close(), b"")[2]
            self.assertEqual(self.code(lambda: k.seat("studio", wait=1.0)), "agent-bad-answer")
            self.assertEqual(len(self.asked), 1)
            began = time.monotonic()
            with checker(agent.path + "-nobody") as other:
                self.assertEqual(self.code(lambda: other.seat("studio", wait=60.0)), "agent-not-running")
            self.assertLess(time.monotonic() - began, 60)

"""The transport on named pipes: a real agent, and strangers' pipes. For Windows,
where nothing else of the client differs:

    python.exe pipes.py PLACES

PLACES is the folder of the live test. Verifying needs `cryptography`, which no
Windows here has, so the package is entered beside its front door.
"""
import _winapi
import base64
import os
import sys
import threading
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
package = types.ModuleType("license_agent")
package.__path__ = [os.path.join(HERE, "..", "license_agent")]
sys.modules["license_agent"] = package

from license_agent import pipe  # noqa: E402
from license_agent.errors import AgentError  # noqa: E402
from license_agent.transport import Transport, socket_path  # noqa: E402

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"
RESULTS = []


def case(name, got, want):
    RESULTS.append(got == want)
    if got != want:
        print("FAILED pipe:", name, got, "want", want)


def code(call, limit=5.0):
    began = time.monotonic()
    try:
        call()
        said = ""
    except AgentError as e:
        said = e.code if e.message and e.hint else e.code + " without its sentences"
    return said if time.monotonic() - began < limit else said + " too late"


def stranger(say, drip=False):
    """A pipe of a plain program, which says this to one caller and then no more."""
    name = "\\\\.\\pipe\\license-agent-test-%d" % len(RESULTS)
    handle = _winapi.CreateNamedPipe(name, 3, 0, 1, 1 << 16, 1 << 16, 0, 0)

    def serve():
        try:
            _winapi.ConnectNamedPipe(handle)
            _winapi.ReadFile(handle, 1 << 16)
            for part in [bytes([b]) for b in say] if drip else [say] if say else []:
                _winapi.WriteFile(handle, part)
                time.sleep(0.01 if drip else 0)
        except OSError:
            pass  # the program hung up

    threading.Thread(target=serve, daemon=True).start()
    return Transport(name)


def ask(transport, timeout=0.5):
    return lambda: transport.call("GET", "/v1/status", None, time.monotonic() + timeout)


def main(places):
    with open(os.path.join(places, "places.txt"), encoding="utf-8") as f:
        sockets = dict(line.split() for line in f)
    own, took = Transport(sockets["own"]), []
    request = {"product": "studio", "issuer": "acme"}
    for _ in range(1000):
        began = time.perf_counter()
        answer = own.call("POST", "/v1/check", dict(request, nonce=base64.b64encode(os.urandom(32)).decode()), time.monotonic() + 5)
        took.append((time.perf_counter() - began) * 1e6)
    took.sort()
    case("checks on one connection", (bool(answer["license"] and answer["proof"]), len(own._open)), (True, 1))

    c = pipe.Connection(sockets["own"], time.monotonic() + 5)
    owners = [c.owner, "S-1-5-18", pipe.service_sid("license-agent"), "S-1-5-21-1-2-3-1001", None]
    case("owners", [pipe.trusted(o, "\\\\.\\pipe\\license-agent") for o in owners], [True, True, True, False, False])
    c.close()
    case("instance", socket_path("cad"), "\\\\.\\pipe\\license-agent-cad")
    for path in ("/run/x", "\\\\server\\pipe\\x", "x"):
        case(path, code(lambda p=path: Transport(p)), "config-invalid")
    case("nobody", code(ask(Transport(sockets["nobody"]))), "agent-not-running")
    case("no such instance", code(ask(Transport("", "no-such-instance"))), "agent-not-running")

    def seat(user, wait=0):
        return own.call("POST", "/v1/seats", dict(request, user=user, wait_ms=wait), time.monotonic() + 5 + wait / 1000, own=True)[1]

    held = [seat("user-%d" % i) for i in range(3)]
    case("seats", [h.ended() for h in held], [False] * 3)
    case("one more", code(lambda: seat("one-more")), "seats-taken")
    own.drop(held.pop())
    case("given back and taken by another", seat("other", 2000).ended(), False)
    own.close()

    case("a stranger's pipe", code(ask(stranger(b""))), "agent-wrong-owner")
    pipe.trusted = lambda *_: True  # as if the owner had not been asked: the deadlines are next
    case("silence", code(ask(stranger(b"")), 2), "agent-timeout")
    case("half an answer", code(ask(stranger(HEAD)), 2), "agent-timeout")
    case("drip", code(ask(stranger(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500, drip=True)), 2), "agent-timeout")
    case("10 MiB", code(ask(stranger(HEAD.replace(b"1000", b"10485760") + b"x" * 60000)), 2), "agent-bad-answer")
    silent = stranger(b"")
    threading.Timer(0.2, silent.close).start()
    case("closed by another thread", code(ask(silent, 20), 10), "agent-bad-answer")
    print("python pipe: %d passed, %d failed" % (sum(RESULTS), len(RESULTS) - sum(RESULTS)))
    print("python %s: transport alone p50 %d us, p99 %d us" % (sys.version.split()[0], took[500], took[990]))
    sys.stdout.flush()
    os._exit(0 if all(RESULTS) else 1)  # not waiting for the strangers


if __name__ == "__main__":
    main(*sys.argv[1:])

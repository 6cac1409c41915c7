"""HTTP/1.1 over the agent's Unix socket or named pipe, with a deadline and limits.

http.client is not used: it bounds each read but not the whole answer, so an
agent that drips one byte at a time would hold the program for ever.
"""

import errno
import json
import os
import re
import select
import socket
import stat
import struct
import threading
import time

from .canonical import loads
from .errors import AgentError, failure

if os.name == "nt":
    from . import pipe

MAX_ANSWER, MAX_HEADER = 1 << 20, 16 << 10
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r\n")
_INSTANCE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


_PIPE = re.compile(r"\\\\\.\\pipe\\[^\\/]{1,240}")


def socket_path(instance="", windows=os.name == "nt"):
    """Where the agent of an instance listens; None for an impossible name."""
    if instance and not _INSTANCE.fullmatch(instance):
        return None
    name = "license-agent" + ("-" + instance if instance else "")
    return "\\\\.\\pipe\\" + name if windows else "/run/%s/agent.sock" % name


def _usable(path):
    if os.name == "nt":
        return bool(_PIPE.fullmatch(path))
    return os.path.isabs(path) and len(os.fsencode(path)) <= 107


class _Foreign(Exception):
    """Somebody else than the agent could have put the socket there."""


def _connect(path, expect, deadline):
    if os.name != "nt":
        return _Connection(path, expect, deadline)
    conn = pipe.Connection(path, deadline)
    if not pipe.trusted(conn.owner, path):
        conn.close()
        raise _Foreign("%s belongs to %s" % (path, conn.owner))
    return conn


def _owners(path, expect):
    """Judges the way to the socket and returns the user ids that may listen.

    Each directory must be root's or our own and closed to others; a sticky one
    like /tmp may stand on the way, but then root is not the only one who could
    have made what lies in it. Who could change a directory could put another
    socket there.
    """
    me = os.geteuid()
    here, todo, root_only, links = "/", [p for p in path.split("/") if p], True, 0
    name = todo.pop()
    while todo:
        st = os.stat(here)
        if st.st_uid != 0:
            root_only = False
            if st.st_uid != me and st.st_uid not in expect:
                raise _Foreign("%s belongs to uid %d" % (here, st.st_uid))
        if st.st_mode & 0o022:
            root_only = False
            if not st.st_mode & stat.S_ISVTX:
                raise _Foreign("%s has mode %#o" % (here, st.st_mode & 0o7777))
        step = todo.pop(0)
        if step == "..":
            here = os.path.dirname(here)
            continue
        here = os.path.join(here, step)
        st = os.lstat(here)
        if stat.S_ISLNK(st.st_mode):
            links += 1
            if links > 40 or st.st_uid not in (0, me):
                raise _Foreign("the link %s was made by uid %d" % (here, st.st_uid))
            target = os.readlink(here)
            todo = [p for p in target.split("/") if p and p != "."] + todo
            here = "/" if target.startswith("/") else os.path.dirname(here)
        elif not stat.S_ISDIR(st.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a directory", here)
    st = os.stat(here)
    owners = {0, *expect}
    if not expect:
        owners.add(me)
        if root_only:
            owners.add(st.st_uid)  # only root could make it, so its owner is root's choice
    if st.st_uid not in owners or st.st_mode & 0o022:
        raise _Foreign("%s belongs to uid %d with mode %#o" % (here, st.st_uid, st.st_mode & 0o7777))
    st = os.lstat(os.path.join(here, name))
    if not stat.S_ISSOCK(st.st_mode) or st.st_uid not in owners:
        raise _Foreign("%s is not the agent's socket" % path)
    return owners


class _Connection:
    def __init__(self, path, expect, deadline):
        owners = _owners(path, expect)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            while True:
                self._arm(deadline)
                try:
                    self.sock.connect(path)
                    break
                except BlockingIOError:  # the queue of callers is full
                    time.sleep(0.005)
            pid, uid, gid = struct.unpack("3I", self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid not in owners:
                raise _Foreign("the process behind %s runs as uid %d" % (path, uid))
        except BaseException:
            self.sock.close()
            raise
        self.used = False
        self.received = False

    def _arm(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("deadline")
        self.sock.settimeout(left)

    def send(self, data, deadline):
        self._arm(deadline)
        self.sock.sendall(data)

    def ended(self):
        """Says whether the other side has ended a connection on which it says nothing."""
        try:
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):  # closed here
            return True

    def abort(self):
        """Ends it for all who have it: another thread that waits, a fork."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.sock.close()

    def receive(self, deadline):
        self._arm(deadline)
        data = self.sock.recv(64 << 10)
        self.received = self.received or bool(data)
        return data


class _BadAnswer(Exception):
    pass


def _read_answer(conn, deadline):
    """Returns (status, body, keep): one answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > MAX_HEADER or not data.startswith(b"HTTP/1."[: len(data)]):
            raise _BadAnswer("not an HTTP answer")
        more = conn.receive(deadline)
        if not more:
            raise _BadAnswer("connection ended within the header")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    head += b"\r\n"
    status = _STATUS.match(head)
    if not status or len(head) > MAX_HEADER:
        raise _BadAnswer("not an HTTP answer")
    fields = {}
    for line in head[status.end() :].split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name and fields.setdefault(name, value.strip()) != value.strip():
            raise _BadAnswer("a header twice")
    length = fields.get(b"content-length", b"")
    if not re.fullmatch(rb"[0-9]{1,9}", length) or b"transfer-encoding" in fields:
        raise _BadAnswer("an answer without Content-Length")
    length = int(length)
    if length > MAX_ANSWER:
        raise _BadAnswer("an answer of %d bytes" % length)
    body = bytearray(body)
    while len(body) < length:
        more = conn.receive(deadline)
        if not more:
            raise _BadAnswer("connection ended within the answer")
        body += more
    keep = len(body) == length and fields.get(b"connection", b"").lower() != b"close"
    return int(status.group(1)), bytes(body[:length]), keep


class Transport:
    """Asks one instance of the agent. Safe for concurrent use."""

    def __init__(self, socket="", instance="", owners=(), language="en"):
        self.language = language
        self.path = socket or socket_path(instance)
        self._expect = tuple(owners)
        # All connections; those that a thread is using; those that nobody uses.
        self._open, self._busy, self._idle = set(), set(), []
        self._lock, self._pid, self.closed = threading.Lock(), os.getpid(), False
        if not self.path or not _usable(self.path):
            raise failure("config-invalid", language, detail="socket %r, instance %r" % (socket, instance))

    def close(self):
        """Ends all connections, also those that wait for an answer."""
        self._after_fork()
        with self._lock:
            self.closed = True
            for conn in self._open:
                conn.abort()  # also where a fork has a copy of it
                if conn not in self._busy:
                    conn.close()  # else its thread does
            self._idle, self._open = [], set(self._busy)

    def _after_fork(self):
        """A connection belongs to the process that made it: two that used it would
        read each other's answers. It is closed here and not shut down, so that the
        other process, whose seat it may be, keeps it."""
        if self._pid == os.getpid():
            return
        theirs, self._pid, self._lock = self._open, os.getpid(), threading.Lock()
        self._open, self._busy, self._idle = set(), set(), []
        for conn in theirs:
            conn.close()

    def _take(self, deadline):
        with self._lock:
            if self._idle:
                self._busy.add(self._idle[-1])
                return self._idle.pop()
        return self._dial(deadline)

    def _dial(self, deadline):
        conn = None if self.closed else _connect(self.path, self._expect, deadline)
        with self._lock:
            if not self.closed:
                self._open.add(conn)
                self._busy.add(conn)
                return conn
        if conn:
            conn.close()
        raise _BadAnswer("closed")

    def _done(self, conn, keep):
        """Ends the use of a connection, and the connection unless keep."""
        with self._lock:
            keep = keep and not self.closed
            self._busy.discard(conn)
            if not keep:
                self._open.discard(conn)
        if not keep:
            conn.abort()
            conn.close()
        return keep

    def drop(self, conn):
        """Ends one connection."""
        self._after_fork()
        self._done(conn, False)

    def _alone(self, request, deadline):
        conn = self._dial(deadline)
        try:
            conn.send(request, deadline)
            status, body, keep = _read_answer(conn, deadline)
            if not keep and status == 200:
                raise _BadAnswer("more than the answer, or the end")
        except BaseException:
            self.drop(conn)
            raise
        if not self._done(conn, True):
            raise _BadAnswer("closed")
        return status, body, conn

    def _exchange(self, request, deadline):
        conn = self._take(deadline)
        try:
            try:
                conn.received = False
                conn.send(request, deadline)
                status, body, keep = _read_answer(conn, deadline)
            except (ConnectionError, _BadAnswer):
                if not conn.used or conn.received or self.closed:
                    raise
                # The agent closed a kept connection, as after a restart.
                self.drop(conn)
                conn = self._dial(deadline)
                conn.send(request, deadline)
                status, body, keep = _read_answer(conn, deadline)
        except BaseException:
            self.drop(conn)
            raise
        conn.used = True
        with self._lock:
            if keep and not self.closed:
                self._busy.discard(conn)
                self._idle.append(conn)
                return status, body
        self.drop(conn)
        return status, body

    def call(self, method, target, body, deadline, own=False):
        """Sends one request and returns the parsed answer, until deadline by
        time.monotonic. Raises AgentError. With own, on a connection of its own,
        which stays open: (answer, connection)."""
        self._after_fork()
        data = b"" if body is None else json.dumps(body).encode()
        head = "%s %s HTTP/1.1\r\nHost: license-agent\r\nAccept-Language: %s\r\n" % (method, target, self.language)
        if body is not None:
            head += "Content-Type: application/json\r\nContent-Length: %d\r\n" % len(data)
        try:
            request, held = head.encode("ascii") + b"\r\n" + data, None
            if own:
                status, answer, held = self._alone(request, deadline)
            else:
                status, answer = self._exchange(request, deadline)
        except socket.timeout as e:
            raise self.fail("agent-timeout", e) from None
        except _Foreign as e:
            raise self.fail("agent-wrong-owner", e) from None
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as e:
            raise self.fail("agent-not-running", e) from None
        except PermissionError as e:
            raise self.fail("agent-no-access", e) from None
        except (OSError, _BadAnswer) as e:
            raise self.fail("agent-bad-answer", e) from None
        try:
            return self._value(status, answer, held)
        except BaseException:
            if held:
                self.drop(held)
            raise

    def _value(self, status, answer, held):
        try:
            value = loads(answer)
            if not isinstance(value, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as e:
            raise self.fail("agent-bad-answer", type(e).__name__) from None
        if status == 200:
            return (value, held) if held else value
        error = value.get("error")
        if not isinstance(error, dict) or not isinstance(error.get("code"), str) or not error["code"]:
            raise self.fail("agent-bad-answer", "status %d without an error" % status)
        texts = [error.get(k) if isinstance(error.get(k), str) else "" for k in ("code", "cause", "message", "hint", "request_id")]
        raise AgentError(*texts)

    def fail(self, code, detail="", cause=""):
        """An error of this side."""
        return failure(code, self.language, cause, str(detail))

"""The agent's named pipe on Windows, with deadlines.

open() and the C library ask for a right that the agent gives to nobody: to create
instances of its pipe. So the pipe is opened with exactly the rights that users have
(platform/ipc/sddl.go), by the functions that multiprocessing uses.
"""

import ctypes
import hashlib
import socket
import time

import _winapi
from ctypes import wintypes

_ACCESS = 0x12019B
_FLAGS = _winapi.FILE_FLAG_OVERLAPPED | 0x110000  # the server may identify us, not act as us
_BUSY, _PENDING, _SYSTEM, _ADMINISTRATORS = 231, 997, "S-1-5-18", "S-1-5-32-544"


class Connection:
    """One connection. owner is the account that the pipe belongs to, asked through the
    connection itself; None when Windows does not say."""

    def __init__(self, path, deadline):
        while True:
            try:
                self.handle = _winapi.CreateFile(path, _ACCESS, 0, _winapi.NULL, _winapi.OPEN_EXISTING, _FLAGS, _winapi.NULL)
                break
            except OSError as e:
                if e.winerror != _BUSY:
                    raise
            _left(deadline)
            time.sleep(0.005)  # every instance is taken just now
        self.owner = _owner(self.handle)
        self.used = self.received = self.aborted = False
        self._pending = None

    def _finish(self, overlapped, error, deadline):
        self._pending = overlapped
        try:
            if error == _PENDING and not self.aborted:
                wait = max(int(_left(deadline) * 1000), 1)
                if _winapi.WaitForMultipleObjects([overlapped.event], False, wait) == _winapi.WAIT_TIMEOUT:
                    raise socket.timeout("deadline")
            if self.aborted:
                raise ConnectionAbortedError("closed")
            return overlapped.GetOverlappedResult(True)[0]
        except BaseException:
            overlapped.cancel()
            raise
        finally:
            self._pending = None

    def send(self, data, deadline):
        while data:
            _left(deadline)
            data = data[self._finish(*_winapi.WriteFile(self.handle, data, overlapped=True), deadline) :]

    def receive(self, deadline):
        _left(deadline)
        try:
            overlapped, error = _winapi.ReadFile(self.handle, 64 << 10, overlapped=True)
            n = self._finish(overlapped, error, deadline)
        except BrokenPipeError:  # the agent has hung up
            return b""
        self.received = self.received or n > 0
        return bytes(overlapped.getbuffer()[:n])

    def ended(self):
        """Says whether the other side has ended a connection on which it says nothing."""
        try:
            return self.handle is None or _winapi.PeekNamedPipe(self.handle, 0)[0] > 0
        except OSError:
            return True

    def abort(self):
        """Ends what another thread waits for."""
        self.aborted = True
        pending = self._pending
        if pending is not None:
            pending.cancel()

    def close(self):
        if self.handle is not None:
            _winapi.CloseHandle(self.handle)
        self.handle = None


def _left(deadline):
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("deadline")
    return left


def _text(sid):
    """S-1-... of a SID, None when it is none."""
    advapi, out = ctypes.WinDLL("advapi32"), wintypes.LPWSTR()
    advapi.ConvertSidToStringSidW.argtypes = [ctypes.c_void_p, ctypes.POINTER(wintypes.LPWSTR)]
    if not sid or not advapi.ConvertSidToStringSidW(sid, ctypes.byref(out)):
        return None
    text = out.value
    _free(out)
    return text


def _free(pointer):
    free = ctypes.WinDLL("kernel32").LocalFree
    free.argtypes = [ctypes.c_void_p]
    free(ctypes.cast(pointer, ctypes.c_void_p))


def _owner(handle):
    get = ctypes.WinDLL("advapi32").GetSecurityInfo
    get.argtypes = [wintypes.HANDLE, ctypes.c_int, wintypes.DWORD] + [ctypes.POINTER(ctypes.c_void_p)] * 5
    sid, descriptor = ctypes.c_void_p(), ctypes.c_void_p()
    if get(handle, 6, 1, ctypes.byref(sid), None, None, None, ctypes.byref(descriptor)) != 0:
        return None
    text = _text(sid)
    _free(descriptor)
    return text


def _self():
    """The account of this process."""
    advapi, kernel = ctypes.WinDLL("advapi32"), ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    advapi.OpenProcessToken.argtypes = [wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE)]
    advapi.GetTokenInformation.argtypes = [wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD, ctypes.POINTER(wintypes.DWORD)]
    token, size, user = wintypes.HANDLE(), wintypes.DWORD(), (ctypes.c_void_p * 64)()
    if not advapi.OpenProcessToken(kernel.GetCurrentProcess(), 8, ctypes.byref(token)):
        return None
    done = advapi.GetTokenInformation(token, 1, user, ctypes.sizeof(user), ctypes.byref(size))
    _winapi.CloseHandle(token.value)
    return _text(user[0]) if done else None


def service_sid(name):
    """The account NT SERVICE\\name, as Windows derives it from the name."""
    digest = hashlib.sha1(name.upper().encode("utf-16-le")).digest()
    return "S-1-5-80-" + "-".join(str(int.from_bytes(digest[i : i + 4], "little")) for i in range(0, 20, 4))


def trusted(owner, path):
    """Whether a pipe of this owner may be the agent's: the system's, the service's that it is
    named after, or our own (a demonstration)."""
    name = path.rsplit("\\", 1)[1]
    return owner is not None and owner in (_SYSTEM, _ADMINISTRATORS, service_sid(name), _self())

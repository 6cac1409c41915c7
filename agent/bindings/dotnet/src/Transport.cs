using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.IO.Pipes;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using Microsoft.Win32.SafeHandles;
using Members = System.Collections.Generic.Dictionary<string, object>;

namespace Example.LicenseAgent
{
    /// <summary>HTTP/1.1 over the agent's Unix socket or named pipe, with a deadline over
    /// the whole answer and limits. Safe for concurrent use.</summary>
    internal sealed class Transport
    {
        const int MaxAnswer = 1 << 20, MaxHeader = 16 << 10;
        static readonly Regex Status = new Regex("\\AHTTP/1\\.[01] ([0-9]{3})(?: [^\\r\\n]*)?\\z"), Instance = new Regex("\\A[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\\z");

        readonly string path, language;
        readonly HashSet<uint> expect;
        readonly Stack<Connection> idle = new Stack<Connection>();
        readonly HashSet<Connection> open = new HashSet<Connection>();
        bool closed;

        internal Transport(string socket, string instance, IEnumerable<uint> owners, string language)
        {
            this.language = language;
            expect = new HashSet<uint>(owners ?? new uint[0]);
            bool ok = string.IsNullOrEmpty(instance) || Instance.IsMatch(instance);
            string name = "license-agent" + (string.IsNullOrEmpty(instance) ? "" : "-" + instance);
            path = !string.IsNullOrEmpty(socket) ? socket : Native.Windows ? "\\\\.\\pipe\\" + name : "/run/" + name + "/agent.sock";
            ok &= Native.Windows ? path.StartsWith("\\\\.\\pipe\\", StringComparison.Ordinal) && path.Length > 9 && path.IndexOf('\\', 9) < 0 : path[0] == '/' && Encoding.UTF8.GetByteCount(path) <= 107;
            if (!ok) { throw Fail("config-invalid", "socket or instance"); }
        }

        /// <summary>Milliseconds of a clock that nobody sets; deadlines are told by it. Divided
        /// first, or the product would be too large after some months.</summary>
        internal static long Now()
        {
            long ticks = Stopwatch.GetTimestamp();
            return ticks / Stopwatch.Frequency * 1000 + ticks % Stopwatch.Frequency * 1000 / Stopwatch.Frequency;
        }

        /// <summary>The deadline of a call that may take so long.</summary>
        internal static long After(TimeSpan time) { return Now() + (long)time.TotalMilliseconds; }

        /// <summary>An error of this side.</summary>
        internal AgentException Fail(string code, string detail = "", string cause = "") { return AgentException.Of(code, language, cause, detail); }

        /// <summary>Ends all connections, also those that wait for an answer.</summary>
        internal void Close()
        {
            lock (open)
            {
                closed = true;
                idle.Clear();
                foreach (Connection c in open) { c.Dispose(); }
            }
        }

        sealed class Foreign : Exception { internal Foreign(string detail) : base(detail) { } }

        sealed class NotThere : Exception { internal NotThere(string detail) : base(detail) { } }

        sealed class Barred : Exception { internal Barred(string detail) : base(detail) { } }

        sealed class Late : Exception { }

        sealed class Bad : Exception { internal Bad(string detail) : base(detail) { } }

        /// <summary>The address of a Unix socket; older frameworks have no class for it.</summary>
        internal sealed class UnixAddress : EndPoint
        {
            readonly byte[] name;

            internal UnixAddress(string path) { name = Encoding.UTF8.GetBytes(path); }

            public override AddressFamily AddressFamily { get { return AddressFamily.Unix; } }

            public override SocketAddress Serialize()
            {
                var a = new SocketAddress(AddressFamily.Unix, name.Length + 3);
                for (int i = 0; i < name.Length; i++) { a[i + 2] = name[i]; }
                return a;
            }

            public override EndPoint Create(SocketAddress a) { return this; }
        }

        /// <summary>One connection. Exactly one of socket and pipe is set.</summary>
        internal sealed class Connection : IDisposable
        {
            readonly Socket socket;
            readonly NamedPipeClientStream pipe;
            internal bool Used, Received;

            internal Connection(string path, HashSet<uint> expect, long deadline)
            {
                if (Native.Windows)
                {
                    SafePipeHandle handle = Open(path, deadline);
                    string owner = PipeOwner.Of(handle);
                    if (!PipeOwner.Trusted(owner, path, PipeOwner.Self()))
                    {
                        handle.Dispose();
                        throw new Foreign("the pipe belongs to " + owner);
                    }
                    pipe = new NamedPipeClientStream(PipeDirection.InOut, true, true, handle);
                    return;
                }
                uint? byRoot;
                Judge(path, expect, out byRoot);
                socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { Blocking = false };
                try
                {
                    for (;;)
                    {
                        try
                        {
                            socket.Connect(new UnixAddress(path));
                            break;
                        }
                        catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock || e.ErrorCode == 11)
                        {
                            Left(deadline);
                            Thread.Sleep(5); // the queue of callers is full
                        }
                        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused || e.ErrorCode == 2 || e.SocketErrorCode == SocketError.AddressNotAvailable) { throw new NotThere(e.Message); }
                        catch (SocketException e) when (e.SocketErrorCode == SocketError.AccessDenied) { throw new Barred(e.Message); }
                    }
                    uint? uid = Native.Peer(socket);
                    if (uid == null || !Allowed(uid.Value, expect, byRoot)) { throw new Foreign("the listener runs as uid " + uid); }
                }
                catch
                {
                    socket.Close();
                    throw;
                }
            }

            static SafePipeHandle Open(string path, long deadline)
            {
                for (;;)
                {
                    int error;
                    SafePipeHandle pipe = Native.OpenPipe(path, out error);
                    if (pipe != null) { return pipe; }
                    if (error == Native.FileNotFound || error == Native.PathNotFound) { throw new NotThere("no pipe"); }
                    if (error == Native.AccessDenied) { throw new Barred("the pipe is not for this account"); }
                    if (error != Native.PipeBusy) { throw new IOException("Windows says " + error); }
                    Left(deadline);
                    Thread.Sleep(5); // the queue of callers is full
                }
            }

            static int Left(long deadline)
            {
                long ms = deadline - Now();
                if (ms <= 0) { throw new Late(); }
                return (int)Math.Min(ms + 1, 1 << 30);
            }

            internal void Send(byte[] data, long deadline)
            {
                if (pipe != null)
                {
                    IAsyncResult r = pipe.BeginWrite(data, 0, data.Length, null, null);
                    Wait(r, deadline);
                    pipe.EndWrite(r);
                    return;
                }
                for (int at = 0; at < data.Length;)
                {
                    SocketError e;
                    int n = socket.Send(data, at, data.Length - at, SocketFlags.None, out e);
                    if (n > 0) { at += n; }
                    else if (e == SocketError.WouldBlock || e == SocketError.TryAgain) { socket.Poll((int)Math.Min(Left(deadline) * 1000L, 1000000), SelectMode.SelectWrite); }
                    else { throw new IOException(e.ToString()); }
                }
            }

            void Wait(IAsyncResult r, long deadline)
            {
                if (r.IsCompleted || r.AsyncWaitHandle.WaitOne(Left(deadline))) { return; }
                pipe.Dispose(); // ends the operation
                throw new Late();
            }

            /// <summary>Zero at the end.</summary>
            internal int Receive(byte[] data, long deadline)
            {
                int n;
                if (pipe != null)
                {
                    IAsyncResult r = pipe.BeginRead(data, 0, data.Length, null, null);
                    Wait(r, deadline);
                    n = pipe.EndRead(r);
                }
                else
                {
                    for (;;)
                    {
                        SocketError e;
                        n = socket.Receive(data, 0, data.Length, SocketFlags.None, out e);
                        if (e == SocketError.Success) { break; }
                        if (e != SocketError.WouldBlock && e != SocketError.TryAgain) { throw new IOException(e.ToString()); }
                        socket.Poll((int)Math.Min(Left(deadline) * 1000L, 1000000), SelectMode.SelectRead);
                    }
                }
                Left(deadline);
                Received |= n > 0;
                return n;
            }

            /// <summary>Says whether the other side has ended a connection on which it says nothing.</summary>
            internal bool Ended
            {
                get
                {
                    if (pipe != null)
                    {
                        try
                        {
                            if (watching == null) { watching = pipe.BeginRead(new byte[1], 0, 1, null, null); }
                            return watching.IsCompleted;
                        }
                        catch (InvalidOperationException) { return true; } // closed here
                    }
                    try { return socket.Poll(0, SelectMode.SelectRead); }
                    catch (ObjectDisposedException) { return true; } // closed here
                }
            }

            IAsyncResult watching;

            public void Dispose()
            {
                if (pipe != null) { pipe.Dispose(); } else { socket.Close(); }
            }
        }

        static bool Allowed(uint uid, HashSet<uint> expect, uint? byRoot)
        {
            return uid == 0 || expect.Contains(uid) || expect.Count == 0 && (uid == Native.geteuid() || uid == byRoot);
        }

        // Judges the way to the socket: who could change a directory could put another
        // socket there. Each must be root's or our own and closed to others; a sticky
        // one like /tmp may stand on the way. byRoot becomes the owner of a last
        // directory that only root could have made, and so chose.
        static void Judge(string path, HashSet<uint> expect, out uint? byRoot)
        {
            uint me = Native.geteuid();
            var todo = new List<string>(path.Split(new[] { '/' }, StringSplitOptions.RemoveEmptyEntries));
            string here = "/", name = todo[todo.Count - 1];
            todo.RemoveAt(todo.Count - 1);
            bool rootOnly = true;
            int links = 0;
            while (todo.Count > 0)
            {
                Native.Status st = At(here, true);
                if (st.Uid != 0)
                {
                    rootOnly = false;
                    if (st.Uid != me && !expect.Contains(st.Uid)) { throw new Foreign(here + " belongs to uid " + st.Uid); }
                }
                if ((st.Mode & 18) != 0)
                {
                    rootOnly = false;
                    if ((st.Mode & 512) == 0) { throw new Foreign(here + " is open to others"); }
                }
                string step = todo[0];
                todo.RemoveAt(0);
                if (step == ".") { continue; }
                string above = here;
                here = step == ".." ? Path.GetDirectoryName(here) ?? "/" : here.TrimEnd('/') + "/" + step;
                if (step == "..") { continue; }
                st = At(here, false);
                if ((st.Mode & Native.TypeMask) == Native.Link)
                {
                    string target = Native.ReadLink(here);
                    if (target == null || ++links > 40 || st.Uid != 0 && st.Uid != me) { throw new Foreign("the link " + here); }
                    todo.InsertRange(0, target.Split(new[] { '/' }, StringSplitOptions.RemoveEmptyEntries));
                    here = target[0] == '/' ? "/" : above;
                }
                else if ((st.Mode & Native.TypeMask) != Native.Directory) { throw new NotThere(here + " is no directory"); }
            }
            Native.Status last = At(here, true);
            byRoot = expect.Count == 0 && rootOnly ? last.Uid : (uint?)null;
            if (!Allowed(last.Uid, expect, byRoot) || (last.Mode & 18) != 0) { throw new Foreign(here); }
            Native.Status end = At(here.TrimEnd('/') + "/" + name, false);
            if ((end.Mode & Native.TypeMask) != Native.Socket || !Allowed(end.Uid, expect, byRoot)) { throw new Foreign(path + " is not the agent's socket"); }
        }

        static Native.Status At(string path, bool follow)
        {
            Native.Status? st = Native.Stat(path, follow);
            int error = Marshal.GetLastWin32Error();
            if (st == null && (error == Native.Eacces || error == Native.Eperm)) { throw new Barred(path); }
            if (st == null) { throw new NotThere(path); }
            return st.Value;
        }

        sealed class Answer
        {
            internal int Status;
            internal string Body;
            internal bool Keep;
        }

        static Answer Read(Connection c, long deadline)
        {
            var buffer = new byte[64 << 10];
            var all = new MemoryStream();
            int end = -1, length = 0, n;
            var a = new Answer { Keep = true };
            while (end < 0 || all.Length < end + length)
            {
                if ((n = c.Receive(buffer, deadline)) == 0) { throw new Bad("the connection ended within the answer"); }
                all.Write(buffer, 0, n);
                if (end >= 0) { continue; }
                string head = Text.Bytes(all.ToArray()), begin = "HTTP/1.";
                if (string.CompareOrdinal(head, 0, begin, 0, Math.Min(head.Length, begin.Length)) != 0) { throw new Bad("not HTTP"); }
                int at = head.IndexOf("\r\n\r\n", StringComparison.Ordinal);
                if (at < 0 && head.Length > MaxHeader || at > MaxHeader) { throw new Bad("an endless header"); }
                if (at < 0) { continue; }
                end = at + 4;
                length = Head(head.Substring(0, at), a);
            }
            a.Keep &= all.Length == end + length;
            try { a.Body = new UTF8Encoding(false, true).GetString(all.ToArray(), end, length); }
            catch (ArgumentException) { throw new Bad("not UTF-8"); }
            return a;
        }

        static int Head(string head, Answer a)
        {
            string[] lines = head.Split(new[] { "\r\n" }, StringSplitOptions.None);
            Match status = Status.Match(lines[0]);
            string length = null;
            if (!status.Success) { throw new Bad("no status"); }
            for (int i = 1; i < lines.Length; i++)
            {
                int colon = lines[i].IndexOf(':');
                if (colon < 0) { throw new Bad("a header without a colon"); }
                string name = lines[i].Substring(0, colon).Trim().ToLowerInvariant(), value = lines[i].Substring(colon + 1).Trim();
                if (name == "transfer-encoding" || name == "content-length" && length != null) { throw new Bad(name); }
                if (name == "content-length") { length = value; }
                if (name == "connection" && value.ToLowerInvariant() == "close") { a.Keep = false; }
            }
            if (length == null || !Regex.IsMatch(length, "\\A[0-9]{1,9}\\z") || int.Parse(length) > MaxAnswer) { throw new Bad("no Content-Length that fits"); }
            a.Status = int.Parse(status.Groups[1].Value);
            return int.Parse(length);
        }

        Connection Dial(long deadline)
        {
            var c = new Connection(path, expect, deadline);
            lock (open)
            {
                if (closed)
                {
                    c.Dispose();
                    throw new Bad("closed");
                }
                open.Add(c);
            }
            return c;
        }

        internal void Drop(Connection c)
        {
            lock (open) { open.Remove(c); }
            c.Dispose();
        }

        Answer Exchange(byte[] request, long deadline, bool own, out Connection held)
        {
            Connection c = null;
            held = null;
            lock (open)
            {
                if (!own && idle.Count > 0) { c = idle.Pop(); }
            }
            if (c == null) { c = Dial(deadline); }
            try
            {
                Answer a;
                c.Received = false;
                try
                {
                    c.Send(request, deadline);
                    a = Read(c, deadline);
                }
                catch (Exception e) when ((e is IOException || e is Bad) && c.Used && !c.Received && !closed)
                {
                    Drop(c); // the agent closed a kept connection, as after a restart
                    c = Dial(deadline);
                    c.Send(request, deadline);
                    a = Read(c, deadline);
                }
                c.Used = true;
                if (own && a.Status == 200 && a.Keep) { held = c; }
                else
                {
                    lock (open)
                    {
                        if (!own && a.Keep && !closed)
                        {
                            idle.Push(c);
                            return a;
                        }
                    }
                    Drop(c);
                }
                return a;
            }
            catch
            {
                Drop(c);
                throw;
            }
        }

        /// <summary>Sends one request and returns the answer's object, until deadline by Now. With own, on a
        /// connection of its own that stays open in held when the status is 200.</summary>
        internal Members Call(string method, string target, string body, long deadline, bool own, out Connection held)
        {
            byte[] data = body == null ? new byte[0] : Encoding.UTF8.GetBytes(body);
            string head = method + " " + target + " HTTP/1.1\r\nHost: license-agent\r\nAccept-Language: " + language + "\r\n" + (body == null ? "" : "Content-Type: application/json\r\nContent-Length: " + data.Length + "\r\n") + "\r\n";
            Answer a;
            try { a = Exchange(Text.Raw(head + Text.Bytes(data)), deadline, own, out held); }
            catch (Late) { throw Fail("agent-timeout"); }
            catch (Foreign e) { throw Fail("agent-wrong-owner", e.Message); }
            catch (Barred e) { throw Fail("agent-no-access", e.Message); }
            catch (NotThere e) { throw Fail("agent-not-running", e.Message); }
            catch (Exception e) when (e is Bad || e is IOException || e is SocketException || e is ObjectDisposedException || e is InvalidOperationException) { throw Fail("agent-bad-answer", e.Message); }
            var value = Text.Json(a.Body) as Members;
            if (value != null && a.Status == 200) { return value; }
            if (held != null) { Drop(held); }
            object o;
            Members error = value != null && value.TryGetValue("error", out o) ? o as Members : null;
            if (error == null || Checker.String(error, "code") == "") { throw Fail("agent-bad-answer", "status " + a.Status); }
            throw new AgentException(Checker.String(error, "code"), Checker.String(error, "cause"), Checker.String(error, "message"), Checker.String(error, "hint"), Checker.String(error, "request_id"));
        }
    }
}

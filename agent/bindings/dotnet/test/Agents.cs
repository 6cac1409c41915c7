using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading;
using Members = System.Collections.Generic.Dictionary<string, object>;

namespace Example.LicenseAgent.Tests
{
    /// <summary>Listens as the agent would, in a private directory. Answer returns what is
    /// sent: a whole answer, then the connection goes on, or, with a null status, bytes
    /// as they are, then silence (Hang) or the end.</summary>
    internal sealed class Fake : IDisposable
    {
        internal sealed class Reply
        {
            internal int? Status;
            internal byte[] Body;
            internal bool EndAfter;
        }

        readonly Socket listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        readonly List<Socket> connections = new List<Socket>();
        internal readonly string Folder = Path.Combine(Path.GetTempPath(), "la" + Guid.NewGuid().ToString("N").Substring(0, 12)), SocketPath;
        internal readonly List<KeyValuePair<string, string>> Seen = new List<KeyValuePair<string, string>>();
        internal Func<string, string, Reply> Answer;
        internal bool Hang = true, Drip;

        [System.Runtime.InteropServices.DllImport("libc")]
        internal static extern int chmod(string path, int mode);

        [System.Runtime.InteropServices.DllImport("libc")]
        internal static extern int chown(string path, int user, int group);

        internal int Connections { get { lock (connections) { return connections.Count; } } }

        internal Fake(Func<string, string, Reply> answer)
        {
            Answer = answer;
            Directory.CreateDirectory(Folder);
            chmod(Folder, 448);
            SocketPath = Folder + "/a.sock";
            listener.Bind(new Transport.UnixAddress(SocketPath));
            listener.Listen(16);
            new Thread(Accept) { IsBackground = true }.Start();
        }

        void Accept()
        {
            try
            {
                for (;;)
                {
                    Socket s = listener.Accept();
                    lock (connections) { connections.Add(s); }
                    new Thread(() => Serve(s)) { IsBackground = true }.Start();
                }
            }
            catch (SocketException) { }
            catch (ObjectDisposedException) { }
        }

        void Serve(Socket s)
        {
            var b = new byte[1 << 16];
            try
            {
                for (;;)
                {
                    string text = "";
                    int end, length = 0;
                    while ((end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal)) < 0 || text.Length < end + 4 + length)
                    {
                        int n = s.Receive(b);
                        if (n == 0) { return; }
                        text += Text.Bytes(b.Take(n).ToArray());
                        int at = text.IndexOf("Content-Length: ", StringComparison.Ordinal);
                        if (at >= 0 && text.IndexOf('\r', at) > 0) { length = int.Parse(text.Substring(at + 16, text.IndexOf('\r', at) - at - 16)); }
                    }
                    string target = text.Split(' ')[1], body = text.Substring(end + 4);
                    lock (Seen) { Seen.Add(new KeyValuePair<string, string>(target, body)); }
                    Reply r = Answer(target, body);
                    if (r.Status != null)
                    {
                        s.Send(Text.Raw("HTTP/1.1 " + r.Status + " Said\r\nContent-Length: " + r.Body.Length + "\r\n\r\n").Concat(r.Body).ToArray());
                        if (!r.EndAfter) { continue; }
                        return;
                    }
                    for (int at = 0; Drip && at < r.Body.Length; at++)
                    {
                        s.Send(r.Body, at, 1, SocketFlags.None);
                        Thread.Sleep(10);
                    }
                    if (!Drip) { s.Send(r.Body); }
                    while (Hang && s.Receive(b) > 0) { } // until the program hangs up
                    return;
                }
            }
            catch (SocketException) { }
            catch (ObjectDisposedException) { }
            finally { s.Close(); }
        }

        internal void EndAll()
        {
            lock (connections)
            {
                foreach (Socket s in connections) { s.Close(); }
            }
        }

        public void Dispose()
        {
            listener.Close();
            EndAll();
            System.Diagnostics.Process.Start("rm", "-rf " + Folder).WaitForExit();
        }
    }

    /// <summary>Genuine and fake agents on a real socket.</summary>
    internal static class Agents
    {
        static Members talk, data, first;
        static long start;

        static string Seal(Members p, byte[] nonce, bool reread)
        {
            const string type = "application/vnd.license-agent.proof.v1+json";
            if (p == null) { return ""; }
            if (Shared.S(p, "data") != "") { return (string)data[Shared.S(p, "data")]; }
            if (Shared.B(p, "flip")) { nonce = nonce.Select((b, i) => i == 0 ? (byte)(b ^ 1) : b).ToArray(); }
            object kinds;
            var missing = p.TryGetValue("missing", out kinds) && (reread || !Shared.B(p, "late")) ? ((List<object>)kinds).Select(k => "\"" + k + "\"") : new string[0];
            string payload = "{\"v\":1,\"nonce\":\"" + Convert.ToBase64String(nonce) + "\",\"prod\":\"" + Shared.S(p, "product") + "\",\"sha\":\"" + Key.ToHex(Key.Sha256(Shared.Utf8((string)data[Shared.S(p, "license")])))
                + "\",\"phase\":\"" + Shared.S(p, "phase") + "\",\"runs\":" + (Shared.B(p, "runs") ? "true" : "false") + ",\"missing\":[" + string.Join(",", missing) + "],\"time\":" + Shared.N(p, "time") + ",\"boot\":\"boot-1\"}";
            byte[] pub, sig = Shared.Sign(Shared.Unhex(Shared.S(Shared.M(talk, "seeds"), Shared.S(p, "key"))), Shared.Utf8("DSSEv1 " + type.Length + " " + type + " " + payload.Length + " " + payload), out pub);
            return "{\"payloadType\":\"" + type + "\",\"payload\":\"" + Encode(payload) + "\",\"signatures\":[{\"keyid\":\"sha256:" + Key.Read("ed25519", Convert.ToBase64String(pub)).Digits + "\",\"sig\":\"" + Convert.ToBase64String(sig) + "\"}]}";
        }

        static string Encode(string s) { return Convert.ToBase64String(Shared.Utf8(s)); }

        static Fake.Reply Reply(Members c, string request, string keySet = "keyset")
        {
            int status = Shared.N(c, "status") == 0 ? 200 : (int)Shared.N(c, "status");
            if (Shared.S(c, "raw") != "") { return new Fake.Reply { Status = status, Body = Shared.Utf8(Shared.S(c, "raw")) }; }
            var asked = (Members)Text.Json(request);
            string nonce = Shared.S(asked, "nonce");
            return new Fake.Reply
            {
                Status = status,
                Body = Shared.Utf8("{\"license\":\"" + Encode((string)data[Shared.S(c, "license")]) + "\",\"keyset\":\"" + Encode((string)data[Shared.S(c, keySet)]) + "\",\"proof\":\"" + Encode(Seal(Shared.M(c, "proof"), Convert.FromBase64String(nonce), Shared.B(asked, "reread")))
                    + "\",\"verdict\":{\"phase\":\"active\",\"runs\":true,\"message\":\"Said by the agent.\",\"flags\":[\"drift\"]}}"),
            };
        }

        static Options World(Members c, string socket, Action<Options> more = null)
        {
            long mono = 100000, age = Shared.N(c, "age_ms"), wall = start + Shared.N(c, "late");
            int calls = 0, reads = 0;
            var o = new Options
            {
                Socket = socket,
                Observe = () => Shared.DeviceOf((reads++ == 0 ? Shared.M(c, "before") : null) ?? Shared.M(c, "observe") ?? Shared.M(first, "observe")),
                Clock = () =>
                {
                    if (++calls % 2 == 0) { mono += age; }
                    return new KeyValuePair<long, long>(wall, mono);
                },
            };
            if (more != null) { more(o); }
            return o;
        }

        static byte[] Anchor { get { return Shared.Utf8(Shared.S(talk, "anchor")); } }

        static bool CheckCase(Members c)
        {
            Members want = Shared.M(c, "want");
            string name = Shared.S(c, "name");
            bool fooled = false;
            int answered = 0;
            using (var agent = new Fake((t, b) => Reply(c, b, answered++ == 0 && Shared.S(c, "first") != "" ? "first" : "keyset")))
            using (var k = new Checker(Anchor, World(c, agent.SocketPath)))
            {
                for (int i = 0; i < 2; i++) // the second time license and key set are remembered
                {
                    bool before = i == 0 && Shared.S(c, "first") != "";
                    want = Shared.M(c, before ? "want_first" : "want");
                    try
                    {
                        Verdict v = k.Check(Shared.S(talk, "product"));
                        fooled |= v.Runs && !before;
                        Shared.Result(Shared.S(want, "code") == "" && v.Runs == Shared.B(want, "runs") && v.Phase == Shared.S(want, "phase") && v.Reason == Shared.S(want, "reason") && v.KeySet == Shared.N(want, "keyset") && v.Device.Outcome == Shared.S(want, "outcome") && (Shared.S(want, "message") == "" || v.Message == Shared.S(want, "message") && v.NextStep == Shared.S(want, "next_step")), "check", name, v.Phase + " " + v.Reason);
                    }
                    catch (AgentException e) { Shared.Result(e.Code == Shared.S(want, "code") && (Shared.S(want, "cause") == "" || e.Cause == Shared.S(want, "cause")) && Says(e, want), "check", name, e.Message); }
                }
                lock (agent.Seen) { Shared.Result(agent.Seen.Count == 2 + Shared.N(c, "again") && agent.Seen.All(s => s.Key == "/v1/check") && agent.Seen.Select(s => Shared.S((Members)Text.Json(s.Value), "nonce")).Distinct().Count() == agent.Seen.Count && agent.Seen.Count(s => Shared.B((Members)Text.Json(s.Value), "reread")) == Shared.N(c, "again"), "asked", name, "something else"); }
            }
            return fooled;
        }

        static void FileCase(Members c)
        {
            Members want = Shared.M(c, "want");
            using (var k = new Checker(Anchor, World(c, "/nowhere")))
            {
                try
                {
                    Verdict v = k.CheckFiles(Shared.S(c, "product"), Shared.S(c, "file"));
                    Shared.Result(Shared.S(want, "code") == "" && v.Runs == Shared.B(want, "runs") && v.Phase == Shared.S(want, "phase") && v.Reason == Shared.S(want, "reason") && v.KeySet == Shared.N(want, "keyset") && v.Message == Shared.S(want, "message") && v.NextStep == Shared.S(want, "next_step"), "file", Shared.S(c, "name"), v.Phase);
                }
                catch (AgentException e) { Shared.Result(e.Code == Shared.S(want, "code") && (Shared.S(want, "cause") == "" || e.Cause == Shared.S(want, "cause")) && Says(e, want), "file", Shared.S(c, "name"), e.Message); }
            }
        }

        static string Code(string socket, Action<Options> more = null)
        {
            try
            {
                using (var k = new Checker(Anchor, World(first, socket, more))) { k.Check("studio"); }
                return "";
            }
            catch (AgentException e) { return Sentences(e) ? e.Code : "no sentences"; }
        }

        /// <summary>What a support engineer needs: a sentence always, the next step when this side found the error.</summary>
        static bool Sentences(AgentException e) { return !string.IsNullOrEmpty(e.Sentence) && (!string.IsNullOrEmpty(e.Hint) || !e.Code.StartsWith("agent-", StringComparison.Ordinal)); }

        /// <summary>The sentences, and the very one of this cause.</summary>
        static bool Says(AgentException e, Members want) { return Sentences(e) && (Shared.S(want, "message") == "" || e.Sentence == Shared.S(want, "message")); }

        static void Gives(string name, string have, string want) { Shared.Result(have == want, "behaviour", name, have); }

        static void EndpointCase(Members c)
        {
            string with = Shared.S(c, "with") == "" ? "x" : Shared.S(c, "with");
            byte[] all = Shared.Utf8(Shared.S(c, "say")).Concat(Enumerable.Repeat((byte)with[0], (int)Shared.N(c, "fill"))).ToArray();
            using (var agent = new Fake((t, b) => new Fake.Reply { Body = all }) { Hang = Shared.B(c, "hang") })
            {
                string got = Code(agent.SocketPath, o => o.Timeout = TimeSpan.FromSeconds(Shared.S(c, "want") == "agent-timeout" ? 0.5 : 20));
                Shared.Result(got == Shared.S(c, "want"), "endpoint", Shared.S(c, "name"), got);
            }
        }

        /// <summary>The first answer takes most of the time that the whole call has.</summary>
        static void SlowCase(Members c)
        {
            Members said = Shared.L(talk, "checks").Cast<Members>().First(k => Shared.S(k, "name") == Shared.S(c, "answer"));
            byte[] seat = File.ReadAllBytes(Path.Combine(Shared.Repository, "agent/api/testdata/seat-answer.json"));
            int asked = 0;
            string code = "";
            Func<string, string, Fake.Reply> answer = (t, b) =>
            {
                if (Interlocked.Increment(ref asked) > 1) { return new Fake.Reply { Body = new byte[0] }; } // silence
                Thread.Sleep((int)Shared.N(c, "delay_ms"));
                return t == "/v1/check" ? Reply(said, b) : new Fake.Reply { Status = 200, Body = seat };
            };
            using (var agent = new Fake(answer))
            using (var k = new Checker(Anchor, World(said, agent.SocketPath, o => o.Timeout = TimeSpan.FromMilliseconds(Shared.N(c, "timeout_ms")))))
            {
                var took = System.Diagnostics.Stopwatch.StartNew();
                try
                {
                    if (Shared.S(c, "call") == "check") { k.Check("studio"); } else { k.Seat("studio"); }
                }
                catch (AgentException e) { code = e.Code; }
                Shared.Result(code == Shared.S(c, "want") && asked == 2 && took.ElapsedMilliseconds < Shared.N(c, "at_most_ms"), "slow", Shared.S(c, "name"), code + " after " + asked + " questions and " + took.ElapsedMilliseconds + " ms");
            }
        }

        static void PipeOwners()
        {
            const string path = "\\\\.\\pipe\\TrustedInstaller", me = "S-1-5-21-1-2-3-1001";
            string installer = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"; // NT SERVICE\TrustedInstaller
            foreach (string owner in new[] { "S-1-5-18", "S-1-5-32-544", installer, me }) { Shared.Result(PipeOwner.Trusted(owner, path, me), "pipe", owner, "refused"); }
            foreach (string owner in new[] { null, "", "S-1-5-21-1-2-3-1002", "S-1-5-80-1-2-3-4-5", "S-1-5-32-545" }) { Shared.Result(!PipeOwner.Trusted(owner, path, me), "pipe", owner, "trusted"); }
            Shared.Result(!PipeOwner.Trusted(null, path, null), "pipe", "nobody knows who", "trusted");
        }

        static void Behaviour()
        {
            using (var agent = new Fake((t, b) => Reply(first, b)))
            {
                int reads = 0;
                long mono = 0;
                Func<Device> observe = null;
                using (var k = new Checker(Anchor, World(first, agent.SocketPath, o =>
                {
                    observe = o.Observe;
                    o.Observe = () => { reads++; return observe(); };
                    o.Clock = () => new KeyValuePair<long, long>(start, mono);
                })))
                {
                    Verdict v = null;
                    for (int i = 0; i < 5; i++) { v = k.Check("studio"); }
                    Shared.Result(agent.Connections == 1 && reads == 1, "behaviour", "one connection and one reading", agent.Connections + " " + reads);
                    Shared.Result(v.Has("mesh") && !v.Has("none") && v.Edition == "pro" && v.Seats == 3 && v.Limits["max-projects"] == 10 && v.License == "lic-desk" && v.Message == "Said by the agent." && v.Flags.Single() == "drift" && v.Expires == new DateTime(2027, 6, 1, 0, 0, 0, DateTimeKind.Utc), "behaviour", "verdict", "another");
                    mono += 3600 * 1000;
                    k.Check("studio");
                    Shared.Result(reads == 2, "behaviour", "read again after an hour", "" + reads);
                    agent.EndAll();
                    Shared.Result(k.Check("studio").Runs, "behaviour", "the agent restarts", "no");
                }
                Gives("nobody there", Code(agent.Folder + "/none.sock"), "agent-not-running");
                Gives("no directory", Code(agent.Folder + "/no/dir.sock"), "agent-not-running");
                File.WriteAllText(agent.Folder + "/file", "");
                Gives("a plain file", Code(agent.Folder + "/file"), "agent-wrong-owner");
                Fake.chmod(agent.Folder, 511);
                Gives("a directory for everybody", Code(agent.SocketPath), "agent-wrong-owner");
                Fake.chmod(agent.Folder, 448);
                Vectors.symlink(agent.Folder, agent.Folder + "/link");
                Gives("over a link", Code(agent.Folder + "/link/a.sock"), "");
                if (Native.geteuid() == 0)
                {
                    Fake.chown(agent.SocketPath, 65534, 65534);
                    Gives("another user's socket", Code(agent.SocketPath), "agent-wrong-owner");
                    Gives("an expected user's socket", Code(agent.SocketPath, o => o.Owners = new uint[] { 65534 }), "");
                    Fake.chown(agent.Folder, 65534, 65534);
                    Gives("another user's directory", Code(agent.SocketPath), "agent-wrong-owner");
                }
            }
            string folder = Path.Combine(Path.GetTempPath(), "la" + Guid.NewGuid().ToString("N").Substring(0, 12)), dead = folder + "/dead.sock";
            Directory.CreateDirectory(folder);
            Fake.chmod(folder, 448);
            using (var s = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)) { s.Bind(new Transport.UnixAddress(dead)); }
            Gives("nobody listens", Code(dead), "agent-not-running");
            Directory.Delete(folder, true);
            foreach (string instance in new[] { "Bad Name", "../x", "-a", "a-" }) { Gives("instance", Code("", o => o.Instance = instance), "config-invalid"); }
            Gives("a relative path", Code("relative"), "config-invalid");
            Gives("a long path", Code("/" + new string('x', 200)), "config-invalid");
            foreach (string a in new[] { "", "{}", Shared.S(talk, "anchor").Replace("acme", "ACME") })
            {
                try
                {
                    new Checker(Shared.Utf8(a), new Options { Language = "zh-CN" });
                    Gives("anchor", "accepted", "anchor");
                }
                catch (AgentException e) { Gives("anchor", e.Sentence.Contains("信任锚") ? e.Code : e.Sentence, "anchor"); }
            }
            foreach (var g in new[] { new { File = "check-answer", Status = 200, Want = "agent-untrusted" }, new { File = "error", Status = 422, Want = "merchant-refused" } })
            {
                byte[] body = File.ReadAllBytes(Path.Combine(Shared.Repository, "agent/api/testdata/" + g.File + ".json"));
                using (var agent = new Fake((t, b) => new Fake.Reply { Status = g.Status, Body = body })) { Gives("golden " + g.File, Code(agent.SocketPath), g.Want); }
            }
            byte[] drip = Shared.Utf8("HTTP/1.1 200 OK\r\n" + string.Concat(Enumerable.Repeat("X: y\r\n", 2000)));
            using (var agent = new Fake((t, b) => new Fake.Reply { Body = drip }) { Drip = true }) { Gives("one byte at a time", Code(agent.SocketPath, o => o.Timeout = TimeSpan.FromSeconds(0.3)), "agent-timeout"); }
        }

        static void Watching()
        {
            string golden = File.ReadAllText(Path.Combine(Shared.Repository, "agent/api/testdata/events.json"));
            string[] said = { "{\"serial\":5,\"events\":[]}", "{\"serial\":5,\"events\":[]}", golden, null, "{\"serial\":1,\"events\":[]}" };
            int asked = 0;
            var pauses = new List<TimeSpan>();
            using (var agent = new Fake((t, b) => said[asked] == null ? new Fake.Reply { Status = asked++ >= 0 ? 500 : 0, Body = Shared.Utf8("{}") } : new Fake.Reply { Status = 200, Body = Shared.Utf8(said[asked++]) }))
            using (var k = new Checker(Anchor, World(first, agent.SocketPath)))
            {
                List<long> seen = k.Watch(30, pauses.Add).Take(3).ToList();
                Shared.Result(seen.SequenceEqual(new long[] { 5, 7, 1 }) && pauses.Count == 1, "watch", "changes", string.Join(",", seen));
                string[] want = { "/v1/events?since=0&wait=0s", "/v1/events?since=5&wait=30s", "/v1/events?since=5&wait=30s", "/v1/events?since=7&wait=30s", "/v1/events?since=0&wait=0s" };
                lock (agent.Seen) { Shared.Result(agent.Seen.Select(s => s.Key).SequenceEqual(want), "watch", "requests", string.Join(" ", agent.Seen.Select(s => s.Key))); }
            }
        }

        static void Seats()
        {
            string seat = File.ReadAllText(Path.Combine(Shared.Repository, "agent/api/testdata/seat-answer.json"));
            int busy = 1, total = 3;
            Func<string, string, Fake.Reply> answer = (t, b) =>
            {
                if (t == "/v1/check") { return Reply(first, b); }
                if (busy-- > 0) { return new Fake.Reply { Status = 503, Body = Shared.Utf8("{\"error\":{\"code\":\"busy\",\"message\":\"Busy.\"}}"), EndAfter = true }; }
                return new Fake.Reply { Status = 200, Body = Shared.Utf8(seat.Replace("\"total\": 2", "\"total\": " + total)) };
            };
            using (var agent = new Fake(answer))
            using (var k = new Checker(Anchor, World(first, agent.SocketPath)))
            {
                Seat s = k.Seat("studio", "alice", TimeSpan.FromSeconds(1));
                Shared.Result(s.Held && s.Verdict.Runs, "seat", "taken and held", "no");
                lock (agent.Seen)
                {
                    Members q = (Members)Text.Json(agent.Seen[1].Value);
                    Shared.Result(agent.Seen[1].Key == "/v1/seats" && Shared.S(q, "user") == "alice" && Shared.S(q, "issuer") == "acme" && Shared.N(q, "wait_ms") > 0 && agent.Seen[2].Key == "/v1/check", "seat", "busy, then asked again", agent.Seen[1].Value);
                }
                agent.EndAll();
                Shared.Result(SpinWait.SpinUntil(() => s.Held, 5000) && agent.Connections >= 4, "seat", "taken up again after a restart", "no");
                busy = 0;
                agent.Answer = (t, b) => new Fake.Reply { Status = 409, Body = Shared.Utf8("{\"error\":{\"code\":\"seats-taken\",\"message\":\"All seats are taken.\"}}") };
                agent.EndAll();
                try { Gives("a lost seat", SpinWait.SpinUntil(() => !s.Held, 5000) ? "false" : "held", "seats-taken"); }
                catch (AgentException e) { Gives("a lost seat", e.Code, "seats-taken"); }
                Gives("a lost seat stays lost", s.Held ? "held" : "", "");
                s.Dispose();
                agent.Answer = answer;
                total = 4;
                try
                {
                    k.Seat("studio");
                    Gives("more seats than the license has", "taken", "agent-untrusted");
                }
                catch (AgentException e) { Gives("more seats than the license has", e.Code + "/" + e.Cause, "agent-untrusted/seats"); }
                total = 3;
                Members frozen = Shared.L(talk, "checks").Cast<Members>().First(c => Shared.S(c, "name") == "frozen");
                agent.Answer = (t, b) => t == "/v1/check" ? Reply(frozen, b) : answer(t, b);
                try
                {
                    k.Seat("studio");
                    Gives("a seat of a frozen license", "taken", "not-licensed");
                }
                catch (AgentException e) { Gives("a seat of a frozen license", e.Code + "/" + e.Cause, "not-licensed/agent-says-no"); }
                DateTime began = DateTime.UtcNow;
                try
                {
                    agent.Answer = (t, b) => { k.Dispose(); return new Fake.Reply { Body = new byte[0] }; };
                    k.Seat("studio", "", TimeSpan.FromSeconds(60));
                    Gives("a seat of a checker that is closed", "taken", "agent-bad-answer");
                }
                catch (AgentException e) { Gives("a seat of a checker that is closed", DateTime.UtcNow - began < TimeSpan.FromSeconds(60) ? e.Code : "late", "agent-bad-answer"); }
                began = DateTime.UtcNow;
                try
                {
                    new Checker(Anchor, World(first, agent.SocketPath + "-nobody")).Seat("studio", "", TimeSpan.FromSeconds(60));
                    Gives("a seat where nobody listens", "taken", "agent-not-running");
                }
                catch (AgentException e) { Gives("a seat where nobody listens", DateTime.UtcNow - began < TimeSpan.FromSeconds(60) ? e.Code : "late", "agent-not-running"); }
            }
        }

        static void Closing()
        {
            byte[] seat = File.ReadAllBytes(Path.Combine(Shared.Repository, "agent/api/testdata/seat-answer.json"));
            int asked = 0;
            Func<string, string, Fake.Reply> answer = (t, b) =>
            {
                if (t == "/v1/check") { return Reply(first, b); }
                Interlocked.Increment(ref asked);
                return new Fake.Reply { Status = 200, Body = seat };
            };
            using (var agent = new Fake(answer))
            {
                var k = new Checker(Anchor, World(first, agent.SocketPath));
                Seat s = k.Seat("studio");
                bool held = s.Held;
                k.Dispose();
                Gives("a seat of a closed checker", (held ? "held, then " : "") + (s.Held ? "held " : "ended ") + asked + " " + agent.Connections, "held, then ended 1 2");
                try
                {
                    k.Check("studio");
                    Gives("a closed checker", "checked", "agent-bad-answer");
                }
                catch (AgentException e) { Gives("a closed checker", e.Code, "agent-bad-answer"); }
            }
            asked = 0;
            using (var agent = new Fake(answer))
            using (var k = new Checker(Anchor, World(first, agent.SocketPath)))
            {
                Seat s = k.Seat("studio");
                agent.Answer = (t, b) =>
                {
                    if (t == "/v1/seats") { s.Dispose(); }
                    return answer(t, b);
                };
                agent.EndAll();
                bool seen = SpinWait.SpinUntil(() => !s.Held, 20000);
                Gives("a seat closed while it is taken up again", seen + " " + s.Held + " " + asked, "True False 2");
            }
            using (var k = new Checker(Anchor, World(first, "/nonexistent/agent.sock")))
            {
                var closing = new Thread(k.Dispose);
                closing.Start();
                k.Rest(TimeSpan.FromHours(1));
                closing.Join();
                Gives("close ends the pause of a watch", string.Join(",", k.Watch()), "");
            }
        }

        internal static void Run()
        {
            talk = Shared.Load("agent/bindings/testdata/conversation.json");
            data = Shared.M(talk, "data");
            start = Shared.N(talk, "start");
            List<Members> checks = Shared.L(talk, "checks").Cast<Members>().ToList();
            first = checks[0];
            int fakes = 0, fooled = 0, believing = 0, endpoints = 0;
            foreach (Members c in checks)
            {
                bool yes = CheckCase(c);
                if (!Shared.B(c, "fake")) { continue; }
                fakes++;
                fooled += yes ? 1 : 0;
                Members said = Text.Json(Encoding.UTF8.GetString(Reply(c, "{\"nonce\":\"" + Convert.ToBase64String(new byte[32]) + "\"}").Body)) as Members;
                believing += said != null && Shared.B(Shared.M(said, "verdict") ?? new Members(), "runs") ? 1 : 0;
            }
            foreach (Members c in Shared.L(talk, "files")) { FileCase(c); }
            foreach (Members c in Shared.L(talk, "endpoints"))
            {
                EndpointCase(c);
                endpoints++;
            }
            foreach (Members c in Shared.L(talk, "slow")) { SlowCase(c); }
            PipeOwners();
            Behaviour();
            Watching();
            Seats();
            Closing();
            Shared.Result(believing >= 10 && fakes >= 10 && fooled == 0, "control", "a program that believes the answer", "is hardly fooled");
            Console.WriteLine("count fakes {0}\ncount endpoints {1}", fakes, endpoints);
            Console.WriteLine("promise P14|.NET: {0} kinds of fake agent, {1} believed|a program that believes the answer is fooled by {2}", fakes, fooled, believing);
        }
    }

    internal static class Program
    {
        static int Main(string[] args)
        {
            Shared.Repository = args.Length > 0 ? args[0] : "../../..";
            Vectors.Run();
            Agents.Run();
            Console.WriteLine("dotnet: {0} passed, {1} failed", Shared.Passed, Shared.Failed);
            return Shared.Failed == 0 ? 0 : 1;
        }
    }
}

using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Security.Cryptography;
using System.Text;
using System.Threading;
using Members = System.Collections.Generic.Dictionary<string, object>;

namespace Example.LicenseAgent
{
    /// <summary>Nothing is licensed as far as the program can tell. Code is stable and
    /// may be switched on: agent-not-running, agent-timeout, agent-wrong-owner,
    /// agent-no-access, agent-bad-answer, agent-untrusted, agent-wrong-device, not-licensed,
    /// config-invalid, anchor, or one that the agent sent, such as not-activated.</summary>
    public sealed class AgentException : Exception
    {
        public string Code { get; private set; }
        /// <summary>Behind agent-untrusted the word of SPEC.md section 11, or the merchant's code.</summary>
        public string Cause { get; private set; }
        /// <summary>A sentence for people, and the next step.</summary>
        public string Sentence { get; private set; }
        public string Hint { get; private set; }

        internal AgentException(string code, string cause, string sentence, string hint, string detail)
            : base(code + (cause == "" ? "" : " (" + cause + ")") + (sentence == "" ? "" : ": " + sentence) + (detail == "" ? "" : " [" + detail + "]"))
        {
            Code = code;
            Cause = cause;
            Sentence = sentence;
            Hint = hint;
        }

        internal static AgentException Of(string code, string language, string cause, string detail)
        {
            string hint, sentence = Words(code, language, cause, out hint);
            return new AgentException(code, cause, sentence, hint, detail ?? "");
        }

        /// <summary>The sentence and the next step of a code.</summary>
        internal static string Words(string code, string language, string cause, out string hint)
        {
            string[] words;
            if (!Messages.All.TryGetValue(code + "/" + cause, out words)) { words = Messages.All[code]; }
            int zh = language == "zh-CN" ? 2 : 0;
            hint = words[zh + 1];
            return words[zh];
        }
    }

    /// <summary>What was verified. Everything in it ends in the vendor's root keys, but
    /// Message, NextStep and Flags, which are the agent's words; where the agent says yes
    /// and the own time rule no, and from files, the first two are this package's.</summary>
    public sealed class Verdict
    {
        public bool Runs { get; internal set; }
        /// <summary>active, expiring, grace, suspended, …; by the own time rule and from files: valid, valid-stale, not-valid.</summary>
        public string Phase { get; internal set; }
        /// <summary>A stable code when Runs is false.</summary>
        public string Reason { get; internal set; }
        public string License { get; internal set; }
        public string Edition { get; internal set; }
        public long Seats { get; internal set; }
        /// <summary>Version of the vendor's key set; see Options.MinKeySet.</summary>
        public long KeySet { get; internal set; }
        public IList<string> Features { get; internal set; }
        public IDictionary<string, long> Limits { get; internal set; }
        public DateTime Expires { get; internal set; }
        public DateTime RenewBy { get; internal set; }
        public DateTime GraceUntil { get; internal set; }
        public Comparison Device { get; internal set; }
        public string Message { get; internal set; }
        public string NextStep { get; internal set; }
        public IList<string> Flags { get; internal set; }

        public bool Has(string feature) { return Features.Contains(feature); }
    }

    /// <summary>What a Checker may be told; everything has a default.</summary>
    public sealed class Options
    {
        /// <summary>Path or pipe; by default that of Instance, another vendor's agent.</summary>
        public string Socket = "", Instance = "", Language = "en";
        /// <summary>Linux: further user ids that the agent may run as.</summary>
        public IEnumerable<uint> Owners = new uint[0];
        public TimeSpan Timeout = TimeSpan.FromSeconds(5), Reread = TimeSpan.FromHours(1);
        /// <summary>The highest Verdict.KeySet that the program remembers from earlier runs (a
        /// Checker remembers what it has verified); seconds past its expiry that a key set
        /// is accepted, 0 for 400 days.</summary>
        public long MinKeySet, Tolerance;
        internal Func<Device> Observe = () => Probe.Observe();
        internal Func<KeyValuePair<long, long>> Clock = () => new KeyValuePair<long, long>((long)(DateTime.UtcNow - Checker.Epoch).TotalSeconds, Transport.Now());
    }

    /// <summary>Asks the license agent of this machine and verifies its answer by itself.
    /// Safe for concurrent use.</summary>
    public sealed class Checker : IDisposable
    {
        internal static readonly DateTime Epoch = new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        readonly Transport transport;
        readonly Options options;
        readonly Opening.Verifier verifier;
        readonly object state = new object();
        Device device;
        long readAt, newest;
        string compared;
        Comparison result;
        readonly ManualResetEventSlim ended = new ManualResetEventSlim();

        /// <param name="anchor">the vendor's trust anchor file, built into the program</param>
        public Checker(byte[] anchor, Options options = null)
        {
            this.options = options ?? new Options();
            try { verifier = new Opening.Verifier(Opening.Anchor(anchor)); }
            catch (FormatError e) { throw AgentException.Of("anchor", this.options.Language, "anchor", e.Message); }
            transport = new Transport(this.options.Socket, this.options.Instance, this.options.Owners, this.options.Language);
        }

        /// <summary>Ends all connections, and with them a watch and every seat. It cannot be
        /// used any more: a call throws AgentException, a seat says that it is not held.</summary>
        public void Dispose()
        {
            ended.Set();
            transport.Close();
        }

        internal static string String(Members m, string name)
        {
            object v;
            return m.TryGetValue(name, out v) && v is string ? (string)v : "";
        }

        static string Quote(string s)
        {
            var b = new StringBuilder("\"");
            foreach (char c in s) { b.Append(c < ' ' || c == '"' || c == '\\' ? "\\u" + ((int)c).ToString("x4") : c.ToString()); }
            return b.Append('"').ToString();
        }

        static byte[] Random32()
        {
            var b = new byte[32];
            using (var r = RandomNumberGenerator.Create()) { r.GetBytes(b); }
            return b;
        }

        /// <summary>Asks for a fresh proof and verifies the whole chain, failing closed: key
        /// set, license, proof over a nonce just drawn, this machine's fingerprint, time. A
        /// genuine "no" is a Verdict; everything else is an AgentException.</summary>
        public Verdict Check(string product) { return Check(product, Transport.After(options.Timeout)); }

        // Both questions have one deadline.
        Verdict Check(string product, long deadline)
        {
            bool other;
            Verdict verdict = Ask(product, false, deadline, out other);
            if (other)
            {
                // By readings that may be old, the agent's older than this program's: both
                // read again before that is believed.
                lock (state) { device = null; }
                verdict = Ask(product, true, deadline, out other);
            }
            if (other) { throw WrongDevice(verdict.Device); }
            return verdict;
        }

        Verdict Ask(string product, bool reread, long deadline, out bool other)
        {
            byte[] nonce = Random32();
            long asked = options.Clock().Value;
            Transport.Connection none;
            Members answer = transport.Call("POST", "/v1/check", "{\"product\":" + Quote(product) + ",\"issuer\":" + Quote((string)verifier.Trust["iss"]) + ",\"nonce\":" + Quote(Convert.ToBase64String(nonce)) + (reread ? ",\"reread\":true}" : "}"), deadline, false, out none);
            KeyValuePair<long, long> now = options.Clock();
            var parts = new List<byte[]>();
            foreach (string name in new[] { "license", "keyset", "proof" })
            {
                object v;
                byte[] b = !answer.TryGetValue(name, out v) || v == null ? new byte[0] /* null is as good as missing */ : v is string ? Text.Decode64((string)v) : null;
                if (b == null) { throw transport.Fail("agent-bad-answer", "an envelope is not base64"); }
                parts.Add(b);
            }
            Checked c;
            Comparison cmp;
            try
            {
                lock (state)
                {
                    c = verifier.Check(product, null, nonce, now.Key, now.Value - asked, parts[0], parts[1], parts[2], options.Tolerance, Math.Max(options.MinKeySet, newest));
                    cmp = Compare(c, now.Value);
                }
            }
            catch (FormatError e) { throw transport.Fail("agent-untrusted", e.Message, e.Code); }
            object said, flags;
            Verdict verdict = Fill(c, cmp, c.Runs, (string)c.Proof["phase"], c.Reason != "" ? c.Reason : c.Runs ? "" : "agent-says-no");
            Members words = answer.TryGetValue("verdict", out said) ? said as Members : null;
            bool own = (bool)c.Proof["runs"] && !c.Runs; // the agent says yes, the time rule or the key set no
            if (own) { No(verdict, c.State, c.Reason); }
            if (words != null)
            {
                if (!own)
                {
                    verdict.Message = String(words, "message");
                    verdict.NextStep = String(words, "next_step");
                }
                if (words.TryGetValue("flags", out flags) && flags is List<object>) { verdict.Flags = ((List<object>)flags).OfType<string>().ToList(); }
            }
            other = OtherMachine(cmp, ((List<object>)c.Proof["missing"]).Cast<string>());
            return verdict;
        }

        // At least the policy's minimum of what this process can read must match; what it
        // cannot read is no evidence. The exception is a machine with replaced parts, for
        // which the agent decides or waits: it names in its proof what is missing on its own
        // machine, and one that runs elsewhere does not miss what is lost here.
        static bool OtherMachine(Comparison c, IEnumerable<string> missing)
        {
            bool less = c.StrongChanged && c.Matched < c.Need;
            var lost = c.Results.Where(r => r.Value == "changed" || r.Value == "absent" || r.Value == "placeholder").Select(r => r.Key);
            return (c.Outcome == "different" || less) && (!c.StrongMatch || lost.Except(missing).Any());
        }

        /// <summary>Verifies a file of the agent's public folder without asking anybody.
        /// Weaker: it does not show that the agent here holds the device key.</summary>
        public Verdict CheckFiles(string product, string file)
        {
            KeyValuePair<long, long> now = options.Clock();
            try
            {
                var m = Text.Json(file) as Members;
                object any;
                foreach (string name in new[] { "license", "keyset", "notice" })
                {
                    bool there = m != null && m.TryGetValue(name, out any) && any != null;
                    if (m == null || there && String(m, name) == "" && !(m[name] is string) || name != "notice" && String(m, name) == "") { throw new FormatError("envelope", "not a file of the agent's public folder"); }
                }
                Checked c;
                Comparison cmp;
                lock (state)
                {
                    c = verifier.Check(product, null, null, now.Key, 0, Encoding.UTF8.GetBytes(String(m, "license")), Encoding.UTF8.GetBytes(String(m, "keyset")), null, options.Tolerance, Math.Max(options.MinKeySet, newest));
                    cmp = Compare(c, now.Value);
                }
                if (cmp.Outcome == "different") { throw WrongDevice(cmp); } // no agent here says what it misses
                Verdict v = Fill(c, cmp, c.Runs, c.State, c.Reason);
                if (!c.Runs) { No(v, c.State, c.Reason); }
                if (String(m, "notice") != "")
                {
                    Members n = Opening.Notice(c.KeySet, Encoding.UTF8.GetBytes(String(m, "notice")));
                    if (n["lic"].Equals(c.Claims["lic"]) && (long)n["seq"] >= (long)c.Claims["seq"] && new[] { "suspended", "revoked", "released" }.Contains((string)n["state"]))
                    {
                        v.Runs = false;
                        No(v, (string)n["state"], (string)n["state"]); // the reason is the vendor's own word
                        v.Reason = (string)n["reason"];
                    }
                }
                return v;
            }
            catch (FormatError e) { throw transport.Fail("agent-untrusted", e.Message, e.Code); }
        }

        /// <summary>Yields a serial at the start and whenever something about the instance's
        /// licenses changed: check again then. It proves nothing. An agent that is not
        /// running is waited for; Dispose from another thread ends it.</summary>
        public IEnumerable<long> Watch(int waitSeconds = 30, Action<TimeSpan> pause = null)
        {
            long since = 0;
            bool first = true;
            var delay = TimeSpan.FromSeconds(1);
            while (!Closed)
            {
                long serial = -1;
                bool missed = false;
                int wait = first ? 0 : waitSeconds;
                try
                {
                    Transport.Connection none;
                    object v;
                    Members a = transport.Call("GET", "/v1/events?since=" + since.ToString(CultureInfo.InvariantCulture) + "&wait=" + wait + "s", null, Transport.After(options.Timeout + TimeSpan.FromSeconds(wait)), false, out none);
                    serial = a.TryGetValue("serial", out v) && v is long ? (long)v : -1;
                    missed = a.TryGetValue("missed", out v) && v is bool && (bool)v;
                }
                catch (AgentException) { }
                if (serial < 0)
                {
                    if (Closed) { yield break; }
                    since = 0; // the serial begins anew with the next agent
                    first = true;
                    (pause ?? Rest)(delay);
                    delay = TimeSpan.FromSeconds(Math.Min(2 * delay.TotalSeconds, 30));
                    continue;
                }
                delay = TimeSpan.FromSeconds(1);
                bool changed = first || missed || serial != since;
                since = serial;
                first = false;
                if (changed) { yield return serial; }
            }
        }

        /// <summary>Waits, but not after Dispose.</summary>
        internal void Rest(TimeSpan delay) { ended.Wait(delay); }

        // Called with the lock held, when key set and license are verified; once per
        // license and reading.
        Comparison Compare(Checked c, long mono)
        {
            newest = Math.Max(newest, (long)c.KeySet["ver"]);
            if (device == null || mono - readAt >= (long)options.Reread.TotalMilliseconds)
            {
                device = options.Observe();
                readAt = mono;
                compared = null;
            }
            if (compared != c.Sha)
            {
                var dev = (Members)c.Claims["dev"];
                var enrolled = ((List<object>)dev["fp"]).Cast<Members>().ToDictionary(p => (string)p["kind"], p => ((List<object>)p["h"]).Cast<string>().ToList());
                var profile = (Members)((Members)dev["pol"])[dev["env"].Equals("physical") ? "phys" : "virt"];
                result = Fingerprint.Compare(profile, Text.Decode64((string)dev["salt"]), enrolled, device);
                compared = c.Sha;
            }
            return result;
        }

        AgentException WrongDevice(Comparison cmp) { return transport.Fail("agent-wrong-device", string.Join(", ", cmp.Results.Select(r => r.Key + " " + r.Value))); }

        // A "no" of which no agent has said why.
        void No(Verdict v, string phase, string reason)
        {
            string next;
            v.Phase = phase;
            v.Message = AgentException.Words("not-licensed", options.Language, reason, out next);
            v.NextStep = next;
        }

        Verdict Fill(Checked c, Comparison cmp, bool runs, string phase, string reason)
        {
            Func<string, DateTime> date = name => Epoch.AddSeconds((long)c.Claims[name]);
            return new Verdict
            {
                Runs = runs, Phase = phase, Reason = reason, License = (string)c.Claims["lic"], Edition = (string)c.Claims["ed"], Seats = (long)c.Claims["seats"], KeySet = (long)c.KeySet["ver"],
                Features = ((List<object>)c.Claims["feat"]).Cast<string>().ToList(), Limits = ((List<object>)c.Claims["lim"]).Cast<Members>().ToDictionary(l => (string)l["name"], l => (long)l["value"]),
                Expires = date("exp"), RenewBy = date("ren"), GraceUntil = date("grc"), Device = cmp, Message = "", NextStep = "", Flags = new List<string>(),
            };
        }

        /// <summary>Takes one of the concurrent uses that the license allows on this
        /// machine, and then checks as Check does. With user, a named user is counted
        /// instead of this process; wait is how long to stand in the queue. Codes beside
        /// those of Check: seats-taken, not-licensed, busy.</summary>
        public Seat Seat(string product, string user = "", TimeSpan wait = default(TimeSpan))
        {
            var s = new Seat(this, product, user);
            s.Take(wait, options.Timeout + wait);
            return s;
        }

        // One attempt. Seat and check have their usual time each, but end by until.
        internal Transport.Connection TakeSeat(string product, string user, TimeSpan wait, long until, out Verdict verdict)
        {
            Transport.Connection held;
            Members a = transport.Call("POST", "/v1/seats", "{\"product\":" + Quote(product) + ",\"issuer\":" + Quote((string)verifier.Trust["iss"]) + (user == "" ? "" : ",\"user\":" + Quote(user)) + (wait > TimeSpan.Zero ? ",\"wait_ms\":" + (long)wait.TotalMilliseconds : "") + "}", Math.Min(until, Transport.After(options.Timeout + wait)), true, out held);
            try
            {
                object seat, count, total;
                Members s = a.TryGetValue("seat", out seat) ? seat as Members : null, n = a.TryGetValue("count", out count) ? count as Members : null;
                if (held == null || s == null || n == null || String(s, "id") == "" || !n.TryGetValue("total", out total) || !(total is long)) { throw transport.Fail("agent-bad-answer", "not the answer to a request for a seat"); }
                verdict = Check(product, Math.Min(until, Transport.After(options.Timeout)));
                if (!verdict.Runs) { throw transport.Fail("not-licensed", verdict.Reason, verdict.Reason); }
                if ((long)total > verdict.Seats) { throw transport.Fail("agent-untrusted", "the agent counts " + total + " seats, the license has " + verdict.Seats, "seats"); }
                return held;
            }
            catch
            {
                if (held != null) { transport.Drop(held); }
                throw;
            }
        }

        internal void Drop(Transport.Connection c) { transport.Drop(c); }

        internal bool Closed { get { return ended.IsSet; } }
    }

    /// <summary>One concurrent use. It ends with Dispose, with that of its checker, or with
    /// this process, whatever way that ends; there is no heartbeat. Safe for concurrent use.</summary>
    public sealed class Seat : IDisposable
    {
        readonly Checker checker;
        readonly string product, user;
        readonly object asking = new object(), state = new object(); // state is not held while the agent is asked
        Transport.Connection connection;
        Verdict verdict;
        volatile bool closed;

        internal Seat(Checker checker, string product, string user)
        {
            this.checker = checker;
            this.product = product;
            this.user = user ?? "";
        }

        /// <summary>What was verified when the seat was taken.</summary>
        public Verdict Verdict { get { return verdict; } }

        bool Over { get { return closed || checker.Closed; } }

        const int Pause = 50; // milliseconds between two attempts

        // All of it, each attempt with its check, ends within patience.
        internal void Take(TimeSpan wait, TimeSpan patience, params string[] again)
        {
            long now = Transport.Now(), end = now + (long)patience.TotalMilliseconds, queue = now + (long)wait.TotalMilliseconds;
            // An agent that is started anew sends those who wait away, and then nobody
            // listens for a moment. Who finds nobody at first need not wait.
            for (bool first = true;; first = false)
            {
                try
                {
                    Verdict v;
                    Hold(checker.TakeSeat(product, user, TimeSpan.FromMilliseconds(Math.Max(queue - Transport.Now(), 0)), end, out v), v);
                    return;
                }
                catch (AgentException e) when (!Over && ((e.Code == "busy" || again.Contains(e.Code)) && Transport.Now() + Pause < end || (e.Code == "agent-bad-answer" || !first && e.Code == "agent-not-running") && Transport.Now() < queue)) { Thread.Sleep(Pause); }
            }
        }

        void Hold(Transport.Connection next, Verdict v)
        {
            lock (state)
            {
                if (!closed)
                {
                    connection = next;
                    verdict = v;
                    return;
                }
            }
            checker.Drop(next); // closed while it was taken
        }

        /// <summary>Says whether the seat is still held. Does not wait, but when the agent
        /// was started anew: then the same seat is taken up again, for up to ten seconds.
        /// False, or the reason as an AgentException, when it is lost; false after Dispose,
        /// also that of the checker.</summary>
        public bool Held
        {
            get
            {
                lock (asking)
                {
                    Transport.Connection now = Now();
                    if (now == null || !now.Ended) { return now != null && !Over; }
                    LetGo();
                    if (Over) { return false; }
                    try { Take(TimeSpan.Zero, TimeSpan.FromSeconds(10), "agent-not-running", "agent-timeout", "agent-bad-answer"); }
                    catch (AgentException) when (Over) { return false; }
                    return Now() != null;
                }
            }
        }

        Transport.Connection Now()
        {
            lock (state) { return connection; }
        }

        void LetGo()
        {
            Transport.Connection last;
            lock (state)
            {
                last = connection;
                connection = null;
            }
            if (last != null) { checker.Drop(last); }
        }

        /// <summary>Gives the seat back.</summary>
        public void Dispose()
        {
            closed = true;
            LetGo();
        }
    }
}

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using Members = System.Collections.Generic.Dictionary<string, object>;

namespace Example.LicenseAgent.Tests
{
    /// <summary>The shared vectors: license format, public signatures, fingerprint, recorded hosts.</summary>
    internal static class Vectors
    {
        static Members data;

        static string Input(object v)
        {
            string s = v as string ?? "";
            return s.StartsWith("@", StringComparison.Ordinal) ? (string)data[s.Substring(1)] : s;
        }

        static object Get(Members m, string name)
        {
            object v;
            return m.TryGetValue(name, out v) ? v : null;
        }

        static string Payload(byte[] envelope, string kind) { return new Envelope(envelope, kind, 128 << 10).Payload; }

        static Members Run(Members v)
        {
            string op = Shared.S(v, "op");
            byte[] input = v.ContainsKey("input_hex") ? Shared.Unhex(Shared.S(v, "input_hex")) : Shared.Utf8(Input(Get(v, "input")));
            string[] args = Shared.L(v, "args").Cast<string>().ToArray();
            Members k = Shared.M(v, "key");
            Key key = k == null ? null : Key.Read(Shared.S(k, "alg"), Shared.S(k, "pub"));
            var r = new Members();
            switch (op)
            {
                case "check":
                case "files":
                    Members o = Shared.M(v, "options");
                    var verifier = new Opening.Verifier(Opening.Anchor(Shared.Utf8(Input(v["anchor"]))));
                    Func<Members> once = () =>
                    {
                        Checked c = verifier.Check(Shared.S(o, "product"), Shared.S(o, "issuer"), op == "check" ? Shared.Unhex(Shared.S(o, "nonce_hex")) : null, Shared.N(o, "now"), Shared.N(o, "age_ms"), Shared.Utf8(Input(v["license"])), Shared.Utf8(Input(v["keyset"])), Shared.Utf8(Input(Get(v, "proof"))), Shared.N(o, "tolerance"), Shared.N(o, "min_keyset"));
                        return new Members { { "state", c.State }, { "reason", c.Reason }, { "runs", c.Runs }, { "time", c.Time }, { "keyset_expired", c.KeySetExpired } };
                    };
                    string first = null;
                    try { once(); }
                    catch (FormatError e) { first = e.Code; }
                    try { r = once(); } // what is remembered must not change any verdict
                    catch (FormatError e) when (e.Code != first) { throw new InvalidOperationException("the second call says " + e.Code); }
                    if (first != null) { throw new InvalidOperationException("the second call accepts"); }
                    return r;
                case "time":
                    Members t = Shared.M(v, "times");
                    string reason;
                    r["state"] = Opening.TimeState(Shared.N(t, "nbf"), Shared.N(t, "ren"), Shared.N(t, "grc"), Shared.N(t, "exp"), Shared.N(t, "t"), out reason);
                    r["reason"] = reason;
                    return r;
                case "verify":
                    if (key == null || !key.Verify(Shared.Unhex(args[0]), Shared.Unhex(args[1]))) { throw new FormatError("signature"); }
                    return r;
                case "keyid":
                    if (key == null) { throw new FormatError("key"); }
                    r["text"] = "sha256:" + key.Digits;
                    r["text2"] = "dev:" + key.Digits;
                    return r;
                case "pae":
                    r["text"] = Key.ToHex(Shared.Utf8("DSSEv1 " + args[0].Length + " " + args[0] + " " + Encoding.UTF8.GetByteCount(args[1]) + " " + args[1]));
                    return r;
                case "hash":
                    r["text"] = Fingerprint.Hash(Shared.Unhex(args[0]), args[1], Fingerprint.Spell(args[1], Fingerprint.Bytes(args[2])));
                    return r;
                case "proof":
                    if (key == null) { throw new FormatError("signature"); }
                    Opening.Proof(key, input);
                    r["payload"] = Payload(input, "proof");
                    return r;
            }
            Members anchor = Opening.Anchor(op == "anchor" ? input : Shared.Utf8(Input(v["anchor"])));
            if (op == "anchor")
            {
                r["iss"] = anchor["iss"];
                return r;
            }
            if (op == "keyset")
            {
                byte[] before = Shared.Utf8(Input(Get(v, "prev")));
                Members prev = before.Length == 0 ? null : Opening.KeySet(anchor, before);
                Opening.KeySet(anchor, input, prev, prev == null ? null : Payload(before, "keyset"));
                r["payload"] = Payload(input, "keyset");
                return r;
            }
            Members ks = Opening.KeySet(anchor, Shared.Utf8(Input(v["keyset"])));
            if (op == "license") { Opening.License(ks, input); } else { Opening.Notice(ks, input); }
            r["payload"] = Payload(input, op);
            return r;
        }

        static int All(IEnumerable<object> list)
        {
            int n = 0;
            foreach (Members v in list.Cast<Members>())
            {
                if (Shared.S(v, "op") == "request") { continue; } // a program opens no requests: that is the merchant's side
                string code = "ok";
                var got = new Members();
                try { got = Run(v); }
                catch (FormatError e) { code = e.Code; }
                catch (InvalidOperationException e) { code = e.Message; }
                bool ok = code == Shared.S(v, "want");
                foreach (var want in Shared.M(v, "result") ?? new Members())
                {
                    if (ok && got.ContainsKey(want.Key)) { ok = Equals(got[want.Key], want.Value); }
                    else if (ok) { ok = want.Key == "payload" && Shared.S(v, "op") == "anchor"; }
                }
                Shared.Result(ok, "vector", Shared.S(v, "name"), code);
                n++;
            }
            return n;
        }

        static int Fingerprints(Members file, Members presets)
        {
            int n = 0;
            foreach (Members v in Shared.L(file, "canonical").Cast<Members>())
            {
                string got = Fingerprint.Canonical(v.ContainsKey("input_hex") ? Text.Bytes(Shared.Unhex(Shared.S(v, "input_hex"))) : Fingerprint.Bytes(Shared.S(v, "input")));
                Shared.Result(got == Shared.S(v, "output"), "canonical", Shared.S(v, "output"), got);
                n++;
            }
            foreach (Members v in Shared.L(file, "hash").Cast<Members>())
            {
                string kind = Shared.S(v, "kind"), got = Fingerprint.Hash(Shared.Unhex(Shared.S(v, "salt")), kind, Fingerprint.Spell(kind, Fingerprint.Bytes(Shared.S(v, "value"))));
                Shared.Result(got == Shared.S(v, "hash"), "hash", Shared.S(v, "value"), got);
                n++;
            }
            foreach (Members v in Shared.L(file, "placeholder").Cast<Members>())
            {
                string kind = Shared.S(v, "kind");
                Shared.Result(Placeholder.Is(kind, Fingerprint.Spell(kind, Fingerprint.Bytes(Shared.S(v, "value")))) == Shared.B(v, "placeholder"), "placeholder", Shared.S(v, "value"), kind);
                n++;
            }
            foreach (Members v in Shared.L(file, "compare").Cast<Members>())
            {
                byte[] salt = Shared.Unhex(Shared.S(v, "salt"));
                Members then = Shared.M(v, "then"), want = Shared.M(v, "want");
                string env = Shared.S(Shared.M(then, "env") ?? new Members(), "kind");
                Members profile = Shared.M(Shared.M(presets, Shared.S(v, "preset")), env == "vm" || env == "container" ? "virt" : "phys");
                Device old = Shared.DeviceOf(then);
                var enrolled = Limits.Kinds.ToDictionary(k => k, k => old.Parts[k].State != "ok" ? new List<string>() : old.Parts[k].Values.Select(x => Fingerprint.Spell(k, x)).Where(x => x != "" && x.Length <= 256 && !Placeholder.Is(k, x)).Take(16).Select(x => Fingerprint.Hash(salt, k, x)).ToList());
                Comparison c = Fingerprint.Compare(profile, salt, enrolled, Shared.DeviceOf(Shared.M(v, "now")));
                bool ok = c.Outcome == Shared.S(want, "outcome") && c.Matched == Shared.N(want, "matched") && c.Available == Shared.N(want, "available") && c.Enrolled == Shared.N(want, "enrolled") && c.Need == Shared.N(want, "need")
                    && c.Left == Shared.N(want, "left") && c.StrongMatch == Shared.B(want, "strong_match") && c.StrongChanged == Shared.B(want, "strong_changed") && c.Drift == Shared.B(want, "drift");
                foreach (var r in Shared.M(want, "results") ?? new Members()) { ok &= c.Results[r.Key].Equals(r.Value); }
                foreach (Members r in Shared.L(want, "results").Cast<Members>()) { ok &= c.Results[Shared.S(r, "kind")] == Shared.S(r, "result"); }
                Shared.Result(ok, "compare", Shared.S(v, "name"), c.Outcome + " left " + c.Left);
                n++;
            }
            return n;
        }

        static int Hosts()
        {
            int n = 0;
            foreach (Members h in (List<object>)Text.Json(File.ReadAllText(Path.Combine(Shared.Repository, "agent/bindings/testdata/hosts.json"))))
            {
                string root = Path.Combine(Path.GetTempPath(), "license-agent-" + Guid.NewGuid());
                foreach (var f in Shared.M(h, "files"))
                {
                    Directory.CreateDirectory(Path.GetDirectoryName(root + "/" + f.Key));
                    File.WriteAllBytes(root + "/" + f.Key, Convert.FromBase64String((string)f.Value));
                }
                foreach (var l in Shared.M(h, "links"))
                {
                    Directory.CreateDirectory(Path.GetDirectoryName(root + "/" + l.Key));
                    symlink((string)l.Value, root + "/" + l.Key);
                }
                Device d = Probe.Observe(root);
                Func<string, bool> same = kind => d.Parts[kind].Values.OrderBy(x => x, StringComparer.Ordinal).SequenceEqual(Shared.L(h, kind).Cast<string>().Select(Fingerprint.Bytes).OrderBy(x => x, StringComparer.Ordinal));
                bool ok = same("mac") && same("disk") && (!Shared.B(h, "firmware") || same("board")) && d.Container == Shared.B(h, "container");
                Shared.Result(ok, "host", Shared.S(h, "name"), string.Join(" | ", Limits.Kinds.Select(k => string.Join(",", d.Parts[k].Values))));
                System.Diagnostics.Process.Start("rm", "-rf " + root).WaitForExit();
                n++;
            }
            return n;
        }

        [System.Runtime.InteropServices.DllImport("libc")]
        internal static extern int symlink(string target, string path);

        /// <summary>Without the checks of this client the code of others says yes to what must be refused.</summary>
        static bool Fooled()
        {
            var a = new Crypto.Ref10.ge_p3();
            byte[] pub = new byte[32], r = new byte[32];
            pub[0] = 1; // the neutral element, with S zero: R must be the neutral element, whatever the message
            Crypto.Ref10.ge_frombytes_negate_vartime(a, pub);
            var sum = new Crypto.Ref10.ge_p2();
            Crypto.Ref10.ge_double_scalarmult_vartime(sum, Enumerable.Repeat((byte)7, 32).ToArray(), a, new byte[32]);
            Crypto.Ref10.ge_tobytes(r, sum);
            return r[0] == 1 && r.Skip(1).All(b => b == 0) && Key.Read(Key.Ed25519, Convert.ToBase64String(pub)) == null;
        }

        internal static void Run()
        {
            Members license = Shared.Load("activation/license/testdata/vectors.json");
            data = Shared.M(license, "data");
            int own = All(Shared.L(license, "vectors")), open = All(Shared.L(Shared.Load("agent/bindings/testdata/wycheproof.json"), "vectors")), wrong = Shared.Failed;
            int prints = Fingerprints(Shared.Load("fingerprint/testdata/vectors.json"), Shared.M(Shared.Load("agent/bindings/testdata/conversation.json"), "presets")), hosts = Hosts();
            Shared.Result(Fooled(), "control", "without its checks", "nothing would be accepted");
            Shared.Result(own >= 550 && open >= 351 && prints >= 150 && hosts >= 16, "numbers", "of cases", "too few");
            Console.WriteLine("count license {0}\ncount signatures {1}\ncount fingerprint {2}\ncount hosts {3}", own, open, prints, hosts);
            Console.WriteLine("promise P10|.NET: {0} license vectors and {1} public signatures, {2} other verdicts|Ed25519 code alone, without the check of the key, accepts 1 of 1 signature that fits any message", own, open, wrong);
        }
    }
}

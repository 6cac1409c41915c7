using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using Example.LicenseAgent.Crypto;
using Members = System.Collections.Generic.Dictionary<string, object>;

namespace Example.LicenseAgent.Tests
{
    /// <summary>The shared test data, and counting.</summary>
    internal static class Shared
    {
        internal static int Passed, Failed;
        internal static string Repository = ".";

        internal static void Result(bool ok, string group, string name, string why)
        {
            if (ok) { Passed++; } else { Failed++; }
            if (!ok) { Console.WriteLine("FAILED " + group + ": " + name + ": " + why); }
        }

        internal static Members Load(string path) { return (Members)Text.Json(File.ReadAllText(Path.Combine(Repository, path))); }

        internal static string S(Members m, string name) { return Checker.String(m, name); }

        internal static long N(Members m, string name)
        {
            object v;
            return m.TryGetValue(name, out v) && v is long ? (long)v : 0;
        }

        internal static bool B(Members m, string name)
        {
            object v;
            return m.TryGetValue(name, out v) && v is bool && (bool)v;
        }

        internal static Members M(Members m, string name)
        {
            object v;
            return m != null && m.TryGetValue(name, out v) ? v as Members : null;
        }

        internal static IEnumerable<object> L(Members m, string name)
        {
            object v;
            return m != null && m.TryGetValue(name, out v) && v is List<object> ? (List<object>)v : new List<object>();
        }

        internal static byte[] Unhex(string s) { return Enumerable.Range(0, s.Length / 2).Select(i => Convert.ToByte(s.Substring(2 * i, 2), 16)).ToArray(); }

        internal static byte[] Utf8(string s) { return Encoding.UTF8.GetBytes(s); }

        /// <summary>An observation as the shared data write it.</summary>
        internal static Device DeviceOf(Members o)
        {
            var d = new Device();
            foreach (string kind in Limits.Kinds)
            {
                Members c = M(o, kind) ?? new Members();
                Part p = d.Parts[kind];
                string state = S(c, "state");
                p.State = state == "ok" || state == "absent" || state == "placeholder" ? state : "unreadable";
                p.Unread = L(c, "rejected").Cast<Members>().Any(r => S(r, "state") == "unreadable");
                foreach (Members v in L(c, "values").Cast<Members>())
                {
                    p.Values.Add(Fingerprint.Bytes(S(v, "text")));
                    p.Values.AddRange(L(v, "alt").Cast<string>().Select(Fingerprint.Bytes));
                }
            }
            return d;
        }

        /// <summary>Ed25519 for the tests' own side: RFC 8032, not in constant time.</summary>
        internal static byte[] Sign(byte[] seed, byte[] message, out byte[] pub)
        {
            byte[] h = Sha512(seed), signature = new byte[64], k, s = new byte[32];
            h[0] &= 248;
            h[31] = (byte)(h[31] & 63 | 64);
            pub = Multiply(h.Take(32).ToArray());
            byte[] r = Sha512(h.Skip(32).Concat(message).ToArray());
            Ref10.sc_reduce(r);
            Multiply(r.Take(32).ToArray()).CopyTo(signature, 0);
            k = Sha512(signature.Take(32).Concat(pub).Concat(message).ToArray());
            Ref10.sc_reduce(k);
            Ref10.sc_muladd(s, k, h, r);
            s.CopyTo(signature, 32);
            return signature;
        }

        static byte[] Multiply(byte[] scalar)
        {
            var sum = new Ref10.ge_p2();
            var neutral = new Ref10.ge_p3();
            var b = new byte[32];
            neutral.Y[0] = neutral.Z[0] = 1;
            Ref10.ge_double_scalarmult_vartime(sum, new byte[32], neutral, scalar);
            Ref10.ge_tobytes(b, sum);
            return b;
        }

        static byte[] Sha512(byte[] b)
        {
            using (var sha = System.Security.Cryptography.SHA512.Create()) { return sha.ComputeHash(b); }
        }
    }
}

using System;
using System.Collections.Generic;
using System.Linq;
using System.Security.Cryptography;
using System.Text;
using Members = System.Collections.Generic.Dictionary<string, object>;

namespace Example.LicenseAgent
{
    /// <summary>One part of a machine: its state ("ok", "absent", "placeholder",
    /// "unreadable") and the spellings under which it may be enrolled. Unread says
    /// that a further candidate could not be read.</summary>
    internal sealed class Part
    {
        internal string State = "absent";
        internal bool Unread;
        internal readonly List<string> Values = new List<string>();
    }

    /// <summary>An observation of this machine, by kind of part.</summary>
    internal sealed class Device
    {
        internal readonly Dictionary<string, Part> Parts = Limits.Kinds.ToDictionary(k => k, k => new Part());
        internal bool Container;
    }

    /// <summary>How this machine compares with the license.</summary>
    public sealed class Comparison
    {
        /// <summary>"same", "different" or "indeterminate".</summary>
        public string Outcome { get; internal set; }
        /// <summary>Per part "match", "changed", "absent", "unreadable", "placeholder" or "not-enrolled".</summary>
        public IDictionary<string, string> Results { get; internal set; }
        /// <summary>How many more points may be lost.</summary>
        public int Left { get; internal set; }
        internal int Matched, Available, Enrolled, Need;
        internal bool StrongMatch, StrongChanged, Drift;
    }

    /// <summary>Which device this is: spelling, hashes and the rule (package fingerprint).
    /// Texts hold one character per byte.</summary>
    internal static class Fingerprint
    {
        internal const int MaxValue = 256;

        internal static string Bytes(string text) { return Text.Bytes(Encoding.UTF8.GetBytes(text)); }

        internal static string Canonical(string bytes)
        {
            var s = new StringBuilder();
            foreach (char raw in bytes.Trim(' ', '\t', '\n', '\v', '\f', '\r', '\0'))
            {
                char c = raw;
                if (c == ' ' && s.Length > 0 && s[s.Length - 1] == ' ') { continue; }
                if (c == '|' || c == ',' || c < ' ' || c > '~') { c = '_'; }
                s.Append(c >= 'a' && c <= 'z' ? (char)(c - 32) : c);
            }
            return s.ToString();
        }

        static bool Hex(string s) { return s.All(c => c >= '0' && c <= '9' || c >= 'A' && c <= 'F'); }

        internal static string Spell(string kind, string bytes)
        {
            string v = Canonical(bytes);
            if (kind == "mac" && !(v.Length == 17 && v[2] == ':' && v[14] == ':'))
            {
                string digits = v.Replace(":", "").Replace("-", "").Replace(".", "");
                if (digits.Length == 12 && Hex(digits)) { return string.Join(":", Enumerable.Range(0, 6).Select(i => digits.Substring(2 * i, 2))); }
            }
            if (kind == "cpu" && v.Length == 23 && Enumerable.Range(0, 7).All(i => v[3 * i + 2] == ' '))
            {
                string digits = v.Replace(" ", "");
                if (digits.Length == 16 && Hex(digits)) { return Reverse(digits); }
            }
            return v;
        }

        static string Reverse(string digits) { return string.Concat(Enumerable.Range(0, 8).Select(i => digits.Substring(14 - 2 * i, 2))); }

        internal static string Hash(byte[] salt, string kind, string spelled)
        {
            using (var mac = new HMACSHA256(salt)) { return Key.ToHex(mac.ComputeHash(Text.Raw("license-agent fingerprint v1\n" + kind + "\n" + spelled + "\n"))); }
        }

        internal static Comparison Compare(Members profile, byte[] salt, Dictionary<string, List<string>> enrolled, Device now)
        {
            var results = Limits.Kinds.ToDictionary(k => k, k => ComparePart(salt, k, enrolled.ContainsKey(k) ? enrolled[k] : new List<string>(), now.Parts[k]));
            var t = new Tally(profile, results);
            var c = new Comparison
            {
                Outcome = t.Outcome(), Results = results, Matched = t.Matched, Available = t.Available, Enrolled = t.Enrolled, Need = t.Percent("min", t.Available),
                StrongMatch = t.StrongMatch > 0, StrongChanged = t.StrongLost > 0, Drift = t.Lost,
            };
            if (c.Outcome == "same") { c.Left = Math.Max(Math.Min(PointsLeft(profile, results), c.Matched - c.Need), 0); }
            return c;
        }

        static string ComparePart(byte[] salt, string kind, List<string> enrolled, Part now)
        {
            if (enrolled.Count == 0) { return "not-enrolled"; }
            if (now.State != "ok") { return now.State; }
            bool usable = false, placeholders = false, unread = now.Unread;
            foreach (string v in now.Values)
            {
                string spelled = Spell(kind, v);
                if (spelled == "") { continue; }
                if (spelled.Length > MaxValue)
                {
                    unread = true;
                    continue;
                }
                if (Placeholder.Is(kind, spelled))
                {
                    placeholders = true;
                    continue;
                }
                usable = true;
                if (enrolled.Contains(Hash(salt, kind, spelled)) || kind == "cpu" && spelled.Length == 16 && Hex(spelled) && enrolled.Contains(Hash(salt, kind, Reverse(spelled)))) { return "match"; }
            }
            return unread ? "unreadable" : usable ? "changed" : placeholders ? "placeholder" : "absent";
        }

        sealed class Tally
        {
            internal readonly int Enrolled, Matched, Unreadable, Strong, StrongMatch, StrongLost;
            internal readonly bool Lost, RequiredLost, RequiredUnread;
            readonly Members profile;

            internal int Available { get { return Enrolled - Unreadable; } }

            internal Tally(Members profile, IDictionary<string, string> results)
            {
                this.profile = profile;
                foreach (var r in results)
                {
                    if (r.Value == "not-enrolled") { continue; }
                    int weight = (int)(long)((Members)profile["w"])[r.Key];
                    bool required = ((List<object>)profile["req"]).Contains(r.Key);
                    int strong = r.Key != "cpu" && (weight > 0 || required) ? 1 : 0;
                    Enrolled += weight;
                    Strong += strong;
                    if (r.Value == "match")
                    {
                        Matched += weight;
                        StrongMatch += strong;
                    }
                    else if (r.Value == "unreadable")
                    {
                        Unreadable += weight;
                        RequiredUnread |= required;
                    }
                    else
                    {
                        Lost |= weight > 0 || required;
                        StrongLost += strong;
                        RequiredLost |= required;
                    }
                }
            }

            internal int Percent(string share, int points) { return ((int)(long)profile[share] * points + 99) / 100; }

            internal string Outcome()
            {
                if (Strong == 0) { return "indeterminate"; }
                if (StrongMatch == 0) { return StrongLost > 0 ? "different" : "indeterminate"; }
                if (RequiredLost) { return "different"; }
                if (RequiredUnread || Available < Percent("floor", Enrolled)) { return "indeterminate"; }
                if (StrongLost == 0 || Matched >= Percent("min", Available)) { return "same"; }
                return Matched + Unreadable >= Percent("min", Enrolled) ? "indeterminate" : "different";
            }
        }

        static int PointsLeft(Members profile, Dictionary<string, string> results)
        {
            List<string> matching = results.Where(r => r.Value == "match").Select(r => r.Key).ToList();
            int cheapest = Limits.Kinds.Sum(k => (int)(long)((Members)profile["w"])[k]);
            for (int mask = 1; mask < 1 << matching.Count; mask++)
            {
                var after = new Dictionary<string, string>(results);
                int cost = 0;
                for (int i = 0; i < matching.Count; i++)
                {
                    if ((mask >> i & 1) == 0) { continue; }
                    cost += (int)(long)((Members)profile["w"])[matching[i]];
                    after[matching[i]] = "changed";
                }
                if (cost < cheapest && new Tally(profile, after).Outcome() != "same") { cheapest = cost; }
            }
            return Math.Max(cheapest - 1, 0);
        }
    }
}

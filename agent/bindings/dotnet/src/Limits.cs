using System;
using System.Collections.Generic;
using System.Linq;
using Members = System.Collections.Generic.Dictionary<string, object>;

namespace Example.LicenseAgent
{
    /// <summary>Members of each message and the limits of their values (SPEC.md 3.2 to 8).</summary>
    internal static class Limits
    {
        internal const long MaxInt = 9007199254740991, NoEnd = 253402300799, Day = 86400;
        internal static readonly string[] Kinds = { "mac", "disk", "board", "cpu" };
        static readonly string[] Phases = { "active", "expiring", "grace", "suspended", "expired", "revoked", "wrong-device", "clock-suspect" };

        internal const string PublicKey = "{alg:s,pub:s}", Roots = "{threshold:i,keys:[" + PublicKey + "]}",
            Profile = "{req:[s],w:{board:i,disk:i,mac:i,cpu:i},min:i,floor:i}", Chain = "seq:i,head:s,ks:i,rn:s,st:i}",
            KeySetShape = "{v:i,iss:s,ver:i,nbf:i,exp:i,roots:" + Roots + ",keys:[{kid:s,use:s,alg:s,pub:s,nbf:i,min:i}],revoked:[s],revlic:[s]}",
            LicenseShape = "{v:i,iss:s,lic:s,prod:s,ed:s,seats:i,feat:[s],lim:[{name:s,value:i}],dev:{id:s,env:s,fpv:i,salt:s,fp:[{kind:s,h:[s]}],pol:{name:s,phys:"
                + Profile + ",virt:" + Profile + "},dk:" + PublicKey + "},iat:i,nbf:i,exp:i,ren:i,grc:i," + Chain,
            NoticeShape = "{v:i,iss:s,lic:s,prod:s,dev:s,state:s,reason:s," + Chain,
            ProofShape = "{v:i,nonce:s,prod:s,sha:s,phase:s,runs:b,missing:[s],time:i,boot:s}";

        static void That(bool ok, string field)
        {
            if (!ok) { throw new FormatError("limits", field); }
        }

        static bool Lower(char c) { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9'; }

        static bool Letter(char c) { return Lower(c) || c >= 'A' && c <= 'Z'; }

        internal static bool IsName(string s) { return s.Length >= 1 && s.Length <= 64 && Lower(s[0]) && s.All(c => Lower(c) || c == '.' || c == '_' || c == '-'); }

        static void Name(object s, string field) { That(IsName((string)s), field); }

        static void Id(object v, string field)
        {
            var s = (string)v;
            That(s.Length >= 1 && s.Length <= 64 && Letter(s[0]) && s.All(c => Letter(c) || c == '.' || c == '_' || c == '-'), field);
        }

        static void Token(object v, string field)
        {
            var s = (string)v;
            That(s.Length >= 1 && s.Length <= 128 && s.All(c => Letter(c) || "+/=._:-".IndexOf(c) >= 0), field);
        }

        static void Number(object n, long least, long most, string field) { That((long)n >= least && (long)n <= most, field); }

        static void Time(object t, string field) { Number(t, 0, NoEnd, field); }

        static void B64(object s, int size, string field)
        {
            byte[] b = Text.Decode64((string)s);
            That(b != null && b.Length == size, field);
        }

        static void HexDigits(object v, int n, string field)
        {
            var s = (string)v;
            That(s.Length == n && s.All(c => c >= '0' && c <= '9' || c >= 'a' && c <= 'f'), field);
        }

        static void Ascending(IEnumerable<string> values, int most, string field)
        {
            string last = null;
            int n = 0;
            foreach (string v in values)
            {
                That(++n <= most && (last == null || string.CompareOrdinal(last, v) < 0), field);
                last = v;
            }
        }

        static IEnumerable<string> Strings(object list) { return ((List<object>)list).Cast<string>(); }

        static IEnumerable<Members> Objects(object list) { return ((List<object>)list).Cast<Members>(); }

        static Key PublicKeyOf(Members k, string field, params string[] algorithms)
        {
            Key key = algorithms.Contains((string)k["alg"]) ? Key.Read((string)k["alg"], (string)k["pub"]) : null;
            That(key != null, field);
            return key;
        }

        internal static List<Key> Keys(Members roots) { return Objects(roots["keys"]).Select(k => Key.Read((string)k["alg"], (string)k["pub"])).ToList(); }

        internal static Key DeviceKey(Members dev)
        {
            var k = (Members)dev["dk"];
            return Key.Read((string)k["alg"], (string)k["pub"]);
        }

        static void RootKeys(Members r)
        {
            List<Members> keys = Objects(r["keys"]).ToList();
            That(keys.Count >= 1 && keys.Count <= 8, "roots");
            Number(r["threshold"], 1, Math.Min(4, keys.Count), "roots");
            foreach (Members k in keys) { PublicKeyOf(k, "roots", Key.Ed25519); }
            That(keys.Select(k => k["pub"]).Distinct().Count() == keys.Count, "roots");
        }

        internal static void Anchor(Members a)
        {
            That((long)a["v"] == 1, "v");
            Name(a["iss"], "iss");
            RootKeys((Members)a["roots"]);
            if (a.ContainsKey("merchant"))
            {
                var m = (string)a["merchant"];
                That(m.Length >= 9 && m.Length <= 256 && m.StartsWith("https://", StringComparison.Ordinal) && m.IndexOfAny(new[] { ' ', '"', '\\', '\n' }) < 0, "merchant");
            }
            if (a.ContainsKey("tls_roots"))
            {
                var m = (string)a["tls_roots"];
                That(m.Length <= 32768 && m.StartsWith("-----BEGIN CERTIFICATE-----\n", StringComparison.Ordinal), "tls_roots");
            }
        }

        internal static void KeySet(Members k)
        {
            That((long)k["v"] == 1, "v");
            Name(k["iss"], "iss");
            Number(k["ver"], 1, MaxInt, "ver");
            Time(k["nbf"], "nbf");
            Time(k["exp"], "exp");
            That((long)k["nbf"] < (long)k["exp"] && (long)k["exp"] <= (long)k["nbf"] + 400 * Day, "exp");
            RootKeys((Members)k["roots"]);
            var roots = new HashSet<string>(Keys((Members)k["roots"]).Select(r => "sha256:" + r.Digits));
            foreach (Members o in Objects(k["keys"]))
            {
                Key key = PublicKeyOf(o, "keys", Key.Ed25519);
                That(o["kid"].Equals("sha256:" + key.Digits) && !roots.Contains((string)o["kid"]), "keys.kid");
                That(o["use"].Equals("license") || o["use"].Equals("notice") || o["use"].Equals("bundle"), "keys.use");
                Time(o["nbf"], "keys.nbf");
                Time(o["min"], "keys.min");
            }
            Ascending(Objects(k["keys"]).Select(o => (string)o["kid"]), 32, "keys");
            foreach (string id in Strings(k["revoked"]))
            {
                That(id.StartsWith("sha256:", StringComparison.Ordinal) && !roots.Contains(id), "revoked");
                HexDigits(id.Substring(7), 32, "revoked");
            }
            Ascending(Strings(k["revoked"]), 256, "revoked");
            foreach (string id in Strings(k["revlic"])) { Id(id, "revlic"); }
            Ascending(Strings(k["revlic"]), 1024, "revlic");
        }

        static void SortedKinds(object list, string field)
        {
            That(Strings(list).All(k => Kinds.Contains(k)), field);
            Ascending(Strings(list), 4, field);
        }

        static void ProfileLimits(Members p)
        {
            SortedKinds(p["req"], "req");
            foreach (object w in ((Members)p["w"]).Values) { Number(w, 0, 1000, "w"); }
            Number(p["min"], 1, 100, "min");
            Number(p["floor"], 0, 100, "floor");
        }

        static void Device(Members d)
        {
            Token(d["id"], "dev.id");
            That(d["env"].Equals("physical") || d["env"].Equals("vm") || d["env"].Equals("container"), "dev.env");
            That((long)d["fpv"] == 1, "dev.fpv");
            B64(d["salt"], 32, "dev.salt");
            int last = -1;
            foreach (Members p in Objects(d["fp"]))
            {
                int kind = Array.IndexOf(Kinds, (string)p["kind"]);
                That(kind > last, "dev.fp");
                last = kind;
                That(Strings(p["h"]).Any(), "dev.fp.h");
                foreach (string h in Strings(p["h"])) { HexDigits(h, 64, "dev.fp.h"); }
                Ascending(Strings(p["h"]), 16, "dev.fp.h");
            }
            var policy = (Members)d["pol"];
            Name(policy["name"], "dev.pol.name");
            ProfileLimits((Members)policy["phys"]);
            ProfileLimits((Members)policy["virt"]);
            PublicKeyOf((Members)d["dk"], "dev.dk", Key.Ed25519, Key.P256);
        }

        static void ChainLimits(Members m)
        {
            Number(m["seq"], 1, MaxInt, "seq");
            Token(m["head"], "head");
            Number(m["ks"], 1, MaxInt, "ks");
            B64(m["rn"], 32, "rn");
            Time(m["st"], "st");
        }

        internal static void License(Members c)
        {
            That((long)c["v"] == 1, "v");
            Name(c["iss"], "iss");
            Id(c["lic"], "lic");
            Name(c["prod"], "prod");
            if ((string)c["ed"] != "") { Name(c["ed"], "ed"); }
            Number(c["seats"], 1, 1000000000, "seats");
            foreach (string f in Strings(c["feat"])) { Name(f, "feat"); }
            Ascending(Strings(c["feat"]), 64, "feat");
            foreach (Members l in Objects(c["lim"]))
            {
                Name(l["name"], "lim.name");
                Number(l["value"], 0, MaxInt, "lim.value");
            }
            Ascending(Objects(c["lim"]).Select(l => (string)l["name"]), 64, "lim");
            Device((Members)c["dev"]);
            foreach (string t in new[] { "iat", "nbf", "exp", "ren", "grc" }) { Time(c[t], t); }
            That((long)c["nbf"] < (long)c["exp"] && (long)c["nbf"] <= (long)c["ren"] && (long)c["ren"] <= (long)c["grc"], "exp, ren, grc");
            ChainLimits(c);
            var dev = (Members)c["dev"];
            if (!dev["id"].Equals("dev:" + DeviceKey(dev).Digits)) { throw new FormatError("device"); }
        }

        internal static void Notice(Members n)
        {
            That((long)n["v"] == 1, "v");
            Name(n["iss"], "iss");
            Id(n["lic"], "lic");
            Name(n["prod"], "prod");
            Token(n["dev"], "dev");
            That(new[] { "active", "suspended", "revoked", "released", "contested" }.Contains((string)n["state"]), "state");
            if ((string)n["reason"] != "") { Name(n["reason"], "reason"); }
            ChainLimits(n);
        }

        internal static void Proof(Members p)
        {
            That((long)p["v"] == 1, "v");
            B64(p["nonce"], 32, "nonce");
            Name(p["prod"], "prod");
            HexDigits(p["sha"], 64, "sha");
            int phase = Array.IndexOf(Phases, (string)p["phase"]);
            That(phase >= 0 && phase < 3 == (bool)p["runs"], "phase");
            SortedKinds(p["missing"], "missing");
            Time(p["time"], "time");
            Token(p["boot"], "boot");
        }
    }
}

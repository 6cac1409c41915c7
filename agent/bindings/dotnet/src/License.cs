using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;
using Members = System.Collections.Generic.Dictionary<string, object>;

namespace Example.LicenseAgent
{
    /// <summary>A DSSE envelope (SPEC.md section 2). Nothing in it is trusted yet.</summary>
    internal sealed class Envelope
    {
        static readonly Regex Head = new Regex("\\A\\{\"payloadType\":\"([A-Za-z0-9./+-]{1,128})\",\"payload\":\"([A-Za-z0-9+/=]+)\",\"signatures\":\\[", RegexOptions.CultureInvariant);
        static readonly Regex One = new Regex("\\G\\{\"keyid\":\"([A-Za-z0-9+/=._:-]{1,128})\",\"sig\":\"([A-Za-z0-9+/=]+)\"\\}", RegexOptions.CultureInvariant);

        internal readonly string Payload;
        internal readonly byte[] Message;
        internal readonly List<KeyValuePair<string, byte[]>> Signatures = new List<KeyValuePair<string, byte[]>>();

        internal Envelope(byte[] data, string kind, int limit)
        {
            if (data.Length > limit) { throw new FormatError("too-large", data.Length + " bytes"); }
            string text = Text.Bytes(data), type = "application/vnd.license-agent." + kind + ".v1+json";
            Match head = Head.Match(text);
            if (!head.Success) { throw new FormatError("envelope"); }
            byte[] payload = Data(head.Groups[2].Value);
            int at = head.Length;
            for (;;)
            {
                Match one = One.Match(text, at);
                if (!one.Success || Signatures.Count == 4) { throw new FormatError("envelope"); }
                Signatures.Add(new KeyValuePair<string, byte[]>(one.Groups[1].Value, Data(one.Groups[2].Value)));
                at += one.Length;
                if (at >= text.Length || text[at] != ',') { break; }
                at++;
            }
            if (text.Substring(at) != "]}") { throw new FormatError("envelope"); }
            if (head.Groups[1].Value != type) { throw new FormatError("media-type", "want " + type); }
            Payload = Text.Bytes(payload);
            Message = Text.Raw("DSSEv1 " + type.Length + " " + type + " " + payload.Length + " " + Payload);
        }

        static byte[] Data(string text)
        {
            byte[] data = Text.Decode64(text);
            if (data == null || data.Length == 0) { throw new FormatError("envelope", "base64"); }
            return data;
        }

        internal bool SignedBy(Key key) { return Signatures.Any(s => s.Key == "sha256:" + key.Digits && key.Verify(Message, s.Value)); }
    }

    /// <summary>What a check of license, key set and proof has shown.</summary>
    internal sealed class Checked
    {
        internal Members Claims, KeySet, Proof;
        internal long Time;
        internal string State, Reason, Sha;
        internal bool Runs, KeySetExpired;
    }

    /// <summary>Opens signed messages and decides (SPEC.md sections 4 to 11). The
    /// methods throw FormatError; what they return has passed every check.</summary>
    internal static class Opening
    {
        const long DefaultTolerance = 400 * Limits.Day, MaxAgeMs = 5000;

        internal static Members Anchor(byte[] file)
        {
            try
            {
                if (file.Length > 64 << 10) { throw new FormatError("too-large"); }
                string text = Compact(Text.Bytes(file));
                foreach (string more in new[] { "", ",merchant:s", ",tls_roots:s", ",merchant:s,tls_roots:s" })
                {
                    Members a;
                    try { a = Text.Payload(text, "{v:i,iss:s,roots:" + Limits.Roots + more + "}", true); }
                    catch (FormatError) { continue; }
                    Limits.Anchor(a);
                    return a;
                }
                throw new FormatError("payload");
            }
            catch (FormatError e) { throw new FormatError("anchor", e.Message); }
        }

        // Removes the white space between tokens, but not where two would grow together.
        static string Compact(string text)
        {
            return Regex.Replace(text, "(\"(?:[^\"\\\\]|\\\\.)*\")|(?<=[0-9a-z])[ \\t\\r\\n]+(?=[0-9a-z])|[ \\t\\r\\n]+", m => m.Groups[1].Success ? m.Value : m.Index > 0 && char.IsLetterOrDigit(text[m.Index - 1]) && m.Index + m.Length < text.Length && char.IsLetterOrDigit(text[m.Index + m.Length]) ? " " : "", RegexOptions.Singleline);
        }

        static void Reached(Members roots, Envelope e)
        {
            // Each key counts once: the limits allow none twice.
            if (Limits.Keys(roots).Count(e.SignedBy) < (long)roots["threshold"]) { throw new FormatError("threshold"); }
        }

        internal static Members KeySet(Members anchor, byte[] data, Members previous = null, string previousPayload = null)
        {
            var e = new Envelope(data, "keyset", 128 << 10);
            Reached((Members)anchor["roots"], e);
            if (previous != null) { Reached((Members)previous["roots"], e); }
            Members ks = Text.Payload(e.Payload, Limits.KeySetShape);
            Limits.KeySet(ks);
            Reached((Members)ks["roots"], e);
            if (!ks["iss"].Equals(anchor["iss"]) || previous != null && !previous["iss"].Equals(ks["iss"])) { throw new FormatError("issuer"); }
            if (previous != null && ((long)ks["ver"] < (long)previous["ver"] || ks["ver"].Equals(previous["ver"]) && e.Payload != previousPayload)) { throw new FormatError("keyset-rollback"); }
            return ks;
        }

        static Members Open(Members ks, byte[] data, string kind, string shape, Action<Members> limits, string date)
        {
            var e = new Envelope(data, kind, 16 << 10);
            var keys = new List<Members>();
            foreach (var s in e.Signatures)
            {
                foreach (Members k in (List<object>)ks["keys"])
                {
                    if (k["kid"].Equals(s.Key) && k["use"].Equals(kind) && Key.Read((string)k["alg"], (string)k["pub"]).Verify(e.Message, s.Value)) { keys.Add(k); }
                }
            }
            if (keys.Count == 0) { throw new FormatError("signature"); }
            Members m = Text.Payload(e.Payload, shape);
            limits(m);
            List<string> problems = keys.Select(k => Problem(ks, k, (long)m[date])).ToList();
            if (!problems.Contains("")) { throw new FormatError(problems[0]); }
            if (!m["iss"].Equals(ks["iss"])) { throw new FormatError("issuer"); }
            if ((long)ks["ver"] < (long)m["ks"]) { throw new FormatError("keyset-too-old"); }
            return m;
        }

        static string Problem(Members ks, Members key, long made)
        {
            if (((List<object>)ks["revoked"]).Contains(key["kid"])) { return "key-revoked"; }
            return made < (long)key["nbf"] ? "key-not-yet" : made < (long)key["min"] ? "key-revoked" : "";
        }

        internal static Members License(Members ks, byte[] data) { return Open(ks, data, "license", Limits.LicenseShape, Limits.License, "iat"); }

        internal static Members Notice(Members ks, byte[] data) { return Open(ks, data, "notice", Limits.NoticeShape, Limits.Notice, "st"); }

        internal static Members Proof(Key device, byte[] data)
        {
            var e = new Envelope(data, "proof", 16 << 10);
            if (!e.SignedBy(device)) { throw new FormatError("signature"); }
            Members p = Text.Payload(e.Payload, Limits.ProofShape);
            Limits.Proof(p);
            return p;
        }

        /// <summary>State and reason of a license at UTC second t.</summary>
        internal static string TimeState(long nbf, long ren, long grc, long exp, long t, out string reason)
        {
            reason = t < nbf ? "not-yet-valid" : t >= exp ? "entitlement-ended" : t >= grc ? "grace-ended" : "";
            return reason != "" ? "not-valid" : t >= ren ? "valid-stale" : "valid";
        }

        /// <summary>Verifies for one anchor and remembers by hash what was verified.
        /// Not safe for concurrent use.</summary>
        internal sealed class Verifier
        {
            internal readonly Members Trust;
            readonly Dictionary<string, Members> keySets = new Dictionary<string, Members>(), licenses = new Dictionary<string, Members>();

            internal Verifier(Members anchor) { Trust = anchor; }

            static Members Remember(Dictionary<string, Members> cache, string name, Func<Members> make)
            {
                Members m;
                if (cache.TryGetValue(name, out m)) { return m; }
                m = make();
                if (cache.Count >= 16) { cache.Clear(); }
                return cache[name] = m;
            }

            /// <summary>Steps 1, 2, 5, and 3 when there is a nonce.</summary>
            internal Checked Check(string product, string issuer, byte[] nonce, long now, long ageMs, byte[] license, byte[] keySet, byte[] proof, long tolerance, long minKeySet)
            {
                if (string.IsNullOrEmpty(product) || tolerance < 0 || now < 0 || nonce != null && nonce.Length != 32) { throw new FormatError("options"); }
                if (!string.IsNullOrEmpty(issuer) && !issuer.Equals(Trust["iss"])) { throw new FormatError("issuer"); }
                string ksSha = Key.ToHex(Key.Sha256(keySet)), sha = Key.ToHex(Key.Sha256(license));
                var c = new Checked { Sha = sha };
                c.KeySet = Remember(keySets, ksSha, () => KeySet(Trust, keySet));
                if ((long)c.KeySet["ver"] < minKeySet) { throw new FormatError("keyset-rollback"); }
                if (now - (tolerance != 0 ? tolerance : DefaultTolerance) >= (long)c.KeySet["exp"]) { throw new FormatError("keyset-expired"); }
                c.Claims = Remember(licenses, ksSha + sha, () => License(c.KeySet, license));
                if (!c.Claims["prod"].Equals(product)) { throw new FormatError("product", "license"); }
                if (nonce != null)
                {
                    Members p = c.Proof = Proof(Limits.DeviceKey((Members)c.Claims["dev"]), proof);
                    if (!p["nonce"].Equals(Convert.ToBase64String(nonce))) { throw new FormatError("nonce"); }
                    if (!p["prod"].Equals(product)) { throw new FormatError("product", "proof"); }
                    if (!p["sha"].Equals(sha)) { throw new FormatError("hash"); }
                    if (ageMs < 0 || ageMs > MaxAgeMs) { throw new FormatError("stale"); }
                }
                // Signed times can only move the clock forward.
                c.Time = Math.Max(Math.Max(now, (long)c.Claims["st"]), c.Proof == null ? 0 : (long)c.Proof["time"]);
                c.State = TimeState((long)c.Claims["nbf"], (long)c.Claims["ren"], (long)c.Claims["grc"], (long)c.Claims["exp"], c.Time, out c.Reason);
                if (((List<object>)c.KeySet["revlic"]).Contains(c.Claims["lic"]))
                {
                    c.State = "not-valid";
                    c.Reason = "license-revoked";
                }
                c.Runs = c.State != "not-valid" && (c.Proof == null || (bool)c.Proof["runs"]);
                c.KeySetExpired = c.Time >= (long)c.KeySet["exp"];
                return c;
            }
        }
    }
}

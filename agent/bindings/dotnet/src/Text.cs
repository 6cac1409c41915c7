using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Example.LicenseAgent
{
    /// <summary>Texts of the format: base64, and JSON in two readers. Objects are
    /// Dictionary&lt;string, object&gt;, lists List&lt;object&gt;, the rest string, long, bool, null.</summary>
    internal static class Text
    {
        /// <summary>Standard base64 with padding and zero unused bits, else null.</summary>
        internal static byte[] Decode64(string text)
        {
            if (text.Length % 4 != 0) { return null; }
            foreach (char c in text)
            {
                if (!(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=')) { return null; }
            }
            try
            {
                byte[] data = Convert.FromBase64String(text);
                return Convert.ToBase64String(data) == text ? data : null;
            }
            catch (FormatException) { return null; }
        }

        /// <summary>One character per byte.</summary>
        internal static string Bytes(byte[] b)
        {
            var s = new char[b.Length];
            for (int i = 0; i < b.Length; i++) { s[i] = (char)b[i]; }
            return new string(s);
        }

        internal static byte[] Raw(string s)
        {
            var b = new byte[s.Length];
            for (int i = 0; i < b.Length; i++) { b[i] = (byte)s[i]; }
            return b;
        }

        /// <summary>Reads a canonical payload (SPEC.md section 3.1) directly in the
        /// member order of a shape: {name:T,...}, [T], s, i, b. Throws "payload".</summary>
        internal static Dictionary<string, object> Payload(string text, string shape, bool newline = false)
        {
            var r = new ShapeReader { Text = text, Shape = shape, Newline = newline };
            object value = r.Value();
            if (r.At != text.Length) { throw new FormatError("payload", "text after the end"); }
            return (Dictionary<string, object>)value;
        }

        sealed class ShapeReader
        {
            internal string Text, Shape;
            internal bool Newline;
            internal int At;
            int shape;

            FormatError Bad() { return new FormatError("payload", "at byte " + At); }

            bool Take(string want)
            {
                if (string.CompareOrdinal(Text, At, want, 0, want.Length) != 0) { return false; }
                At += want.Length;
                return true;
            }

            void Need(string want)
            {
                if (!Take(want)) { throw Bad(); }
            }

            string String()
            {
                var s = new StringBuilder();
                Need("\"");
                for (; At < Text.Length && Text[At] != '"'; At++)
                {
                    char c = Text[At];
                    if (c < ' ' || c > '~') { throw Bad(); }
                    if (c == '\\')
                    {
                        c = ++At < Text.Length ? Text[At] : ' ';
                        if (c == 'n' && Newline) { c = '\n'; }
                        else if (c != '"' && c != '\\') { throw Bad(); }
                    }
                    s.Append(c);
                }
                Need("\"");
                return s.ToString();
            }

            long Integer()
            {
                int from = At;
                long v = 0;
                while (At < Text.Length && Text[At] >= '0' && Text[At] <= '9' && At - from < 17) { v = v * 10 + (Text[At++] - '0'); }
                if (At == from || At - from > 16 || v > Limits.MaxInt || Text[from] == '0' && At - from > 1) { throw Bad(); }
                return v;
            }

            internal object Value()
            {
                switch (Shape[shape++])
                {
                    case 's': return String();
                    case 'i': return Integer();
                    case 'b':
                        if (Take("true")) { return true; }
                        Need("false");
                        return false;
                    case '{':
                        var members = new Dictionary<string, object>();
                        Need("{");
                        while (Shape[shape] != '}')
                        {
                            int colon = Shape.IndexOf(':', shape);
                            string name = Shape.Substring(shape, colon - shape);
                            Need((members.Count > 0 ? "," : "") + "\"" + name + "\":");
                            shape = colon + 1;
                            members[name] = Value();
                            if (Shape[shape] == ',') { shape++; }
                        }
                        shape++;
                        Need("}");
                        return members;
                    default: // '['
                        var list = new List<object>();
                        int entry = shape, after = shape;
                        for (int depth = 1; depth > 0; after++) { depth += Shape[after] == '[' ? 1 : Shape[after] == ']' ? -1 : 0; }
                        Need("[");
                        if (!Take("]"))
                        {
                            do
                            {
                                shape = entry;
                                list.Add(Value());
                            }
                            while (Take(","));
                            Need("]");
                        }
                        shape = after;
                        return list;
                }
            }
        }

        /// <summary>Reads any JSON, such as an answer of the agent. Null when it is none.</summary>
        internal static object Json(string text)
        {
            try
            {
                var r = new JsonReader { Text = text };
                object value = r.Value(0);
                r.Space();
                return r.At == text.Length ? value : null;
            }
            catch (FormatException) { return null; }
        }

        sealed class JsonReader
        {
            internal string Text;
            internal int At;

            internal void Space()
            {
                while (At < Text.Length && (Text[At] == ' ' || Text[At] == '\t' || Text[At] == '\n' || Text[At] == '\r')) { At++; }
            }

            char Next()
            {
                if (At >= Text.Length) { throw new FormatException(); }
                return Text[At];
            }

            internal object Value(int depth)
            {
                Space();
                if (depth > 64) { throw new FormatException(); }
                char c = Next();
                if (c == '"') { return String(); }
                if (c == '{' || c == '[')
                {
                    var members = new Dictionary<string, object>();
                    var list = new List<object>();
                    char close = c == '{' ? '}' : ']';
                    At++;
                    Space();
                    if (Next() != close)
                    {
                        for (;;)
                        {
                            string name = null;
                            if (c == '{')
                            {
                                Space();
                                name = String();
                                Space();
                                if (Next() != ':') { throw new FormatException(); }
                                At++;
                            }
                            object v = Value(depth + 1);
                            if (name != null) { members[name] = v; } else { list.Add(v); }
                            Space();
                            if (Next() == close) { break; }
                            if (Next() != ',') { throw new FormatException(); }
                            At++;
                        }
                    }
                    At++;
                    return c == '{' ? (object)members : list;
                }
                int from = At;
                while (At < Text.Length && (char.IsLetterOrDigit(Text[At]) || Text[At] == '-' || Text[At] == '+' || Text[At] == '.')) { At++; }
                string word = Text.Substring(from, Math.Min(At - from, 40));
                if (word == "true" || word == "false") { return word == "true"; }
                if (word == "null") { return null; }
                long whole;
                if (long.TryParse(word, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out whole)) { return whole; }
                double number;
                if (word.Length > 32 || !double.TryParse(word, NumberStyles.Float, CultureInfo.InvariantCulture, out number)) { throw new FormatException(); }
                return number;
            }

            string String()
            {
                var s = new StringBuilder();
                if (Next() != '"') { throw new FormatException(); }
                for (At++; Next() != '"'; At++)
                {
                    char c = Text[At];
                    if (c < ' ') { throw new FormatException(); }
                    if (c == '\\')
                    {
                        At++;
                        c = Next();
                        int known = "\"\\/bfnrt".IndexOf(c);
                        if (c == 'u')
                        {
                            int code;
                            if (At + 5 > Text.Length || !int.TryParse(Text.Substring(At + 1, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out code)) { throw new FormatException(); }
                            c = (char)code;
                            At += 4;
                        }
                        else if (known < 0) { throw new FormatException(); }
                        else { c = "\"\\/\b\f\n\r\t"[known]; }
                    }
                    s.Append(c);
                }
                At++;
                return s.ToString();
            }
        }
    }
}

"""Writes src/Ed25519Ref10.cs: the functions of ../c/crypto (github.com/orlp/ed25519,
SUPERCOP ref10, public domain) that verifying needs, in the spelling of C#.
Mechanical, so that the test can write it again and compare.

    python3 translate.py > src/Ed25519Ref10.cs
"""
import os
import re

C = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "c", "crypto")
FIELD = "0 1 add copy frombytes invert isnegative isnonzero mul neg pow22523 sq sq2 sub tobytes".split()
GROUP = ("add double_scalarmult_vartime frombytes_negate_vartime madd msub p1p1_to_p2 p1p1_to_p3 p2_0 p2_dbl p3_dbl "
         "p3_to_cached p3_to_p2 sub tobytes").split()
POINTS = {"ge_p2": "X Y Z", "ge_p3": "X Y Z T", "ge_p1p1": "X Y Z T", "ge_precomp": "yplusx yminusx xy2d", "ge_cached": "YplusX YminusX Z T2d"}


def read(name):
    with open(os.path.join(C, name), encoding="ascii") as f:
        return f.read()


def function(text, name):
    return re.search(r"^(?:static )?\w+(?: \w+)* \*?%s\(.*?^}\n" % name, text, re.S | re.M).group(0)


def translate(code):
    points = "|".join(POINTS)
    code = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
    code = re.sub(r"\bconst ", "", code)
    code = re.sub(r"\bstatic ", "", code)
    # Parameters and locals.
    code = re.sub(r"\b(%s) \*(\w+)" % points, r"\1 \2", code)
    code = re.sub(r"\b(%s) (\w+)\[8\];" % points, r"\1[] \2 = \1.Row(8);", code)
    code = re.sub(r"\b(%s) (\w+);" % points, r"\1 \2 = new \1();", code)
    code = re.sub(r"unsigned char \*(\w+)", r"byte[] \1", code)
    code = re.sub(r"signed char \*(\w+)", r"int[] \1", code)
    code = re.sub(r"signed char (\w+)\[256\];", r"int[] \1 = new int[256];", code)
    code = re.sub(r"unsigned char (\w+)\[32\];", r"byte[] \1 = new byte[32];", code)
    code = re.sub(r"\bfe (\w+);", r"int[] \1 = new int[10];", code)
    code = re.sub(r"\bfe (\w+)(?=[,)])", r"int[] \1", code)
    # Types.
    code = code.replace("uint64_t", "long").replace("int64_t", "long").replace("int32_t", "int").replace("unsigned char", "byte")
    code = code.replace("->", ".").replace("&(", "(")
    code = re.sub(r"([(,] ?)&(?=\w)", r"\1", code)
    code = re.sub(r"^ *#.*\n", "", code, flags=re.M)  # the macro of fe_isnonzero
    code = re.sub(r"\bF\((\d+)\);", r"r |= s[\1];", code)
    code = code.replace("return r != 0;", "return r != 0 ? 1 : 0;").replace("!r[k]", "r[k] == 0")
    # Names and conditions that C# does not have.
    code = re.sub(r"\bin\b", "input", code)
    code = re.sub(r"\bout\b", "output", code)
    code = code.replace("aslide[i] || bslide[i]", "aslide[i] != 0 || bslide[i] != 0")
    code = re.sub(r"if \((r\[i(?: \+ b)?\])\)", r"if (\1 != 0)", code)
    code = re.sub(r"if \(fe_isnonzero\((\w+)\)\)", r"if (fe_isnonzero(\1) != 0)", code)
    code = re.sub(r"(\w+\[31\]) \^= (.*);", r"\1 ^= (byte) (\2);", code)
    code = re.sub(r"load_([34])\((\w+) \+ (\d+)\)", r"load_\1(\2, \3)", code)
    code = re.sub(r"load_([34])\((\w+)\)", r"load_\1(\2, 0)", code)
    code = re.sub(r"(load_[34])\(byte\[\] input\)", r"\1(byte[] input, int at)", code)
    code = re.sub(r"\(long\) input\[(\d)\]", r"(long) input[at + \1]", code)
    return "\n".join("        " + line.rstrip() if line.strip() else "" for line in ("static " + code).splitlines()) + "\n"


fe, ge, sc, table = read("fe.c"), read("ge.c"), read("sc.c"), read("precomp_data.h")
out = ["""// Written by translate.py from agent/bindings/c/crypto: Ed25519 by Orson Peters
// (github.com/orlp/ed25519, SUPERCOP ref10). "All code is in the public domain."
namespace Example.LicenseAgent.Crypto
{
    internal static class Ref10
    {
"""]
for name, fields in POINTS.items():
    members = ", ".join("%s = new int[10]" % f for f in fields.split())
    out.append("        internal sealed class %s\n        {\n            internal int[] %s;\n\n" % (name, members))
    out.append("            internal static %s[] Row(int n)\n            {\n                var row = new %s[n];\n" % (name, name))
    out.append("                for (int i = 0; i < n; i++) { row[i] = new %s(); }\n                return row;\n            }\n        }\n\n" % name)
for name in ("d", "sqrtm1", "d2"):
    values = re.search(r"static const fe %s = \{(.*?)\};" % name, ge, re.S).group(1)
    out.append("        static readonly int[] %s = {%s};\n" % (name, " ".join(values.split()).join("  ")))
rows = re.search(r"static ge_precomp Bi\[8\] = \{(.*?)^\};", table, re.S | re.M).group(1)
rows = re.findall(r"\{([-0-9, ]+)\}", rows)
out.append("        static readonly ge_precomp[] Bi =\n        {\n")
for i in range(0, 24, 3):
    out.append("            new ge_precomp\n            {\n")
    for name, row in zip(POINTS["ge_precomp"].split(), rows[i : i + 3]):
        out.append("                %s = new int[] {%s},\n" % (name, row))
    out.append("            },\n")
out.append("        };\n\n")
for n in (3, 4):
    out.append(translate(function(fe, "load_%d" % n)) + "\n")
for text, prefix, names in ((fe, "fe_", FIELD), (ge, "ge_", GROUP)):
    for n in names:
        if prefix + n == "ge_double_scalarmult_vartime":
            out.append(translate(function(ge, "slide")) + "\n")
        out.append(translate(function(text, prefix + n)).replace("static void", "internal static void").replace("static int ", "internal static int ") + "\n")
for n in ("sc_reduce", "sc_muladd"):
    out.append(translate(function(sc, n)).replace("static void", "internal static void") + "\n")
out[-1] = out[-1].rstrip("\n") + "\n"
print("".join(out) + "    }\n}")

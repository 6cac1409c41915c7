package example.licenseagent;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** The one spelling of payloads and envelopes (SPEC.md sections 2 and 3). */
final class Canonical {
    private static final int MAX_DEPTH = 8;
    private static final String MAX_NUMBER = "9007199254740991";

    private Canonical() {}

    /** Refuses the bytes that parsers of different languages treat differently. */
    private static void lexical(String s, boolean newline) throws FormatException {
        boolean inside = false;
        int depth = 0;
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c < ' ' || c > '~') {
                throw new FormatException("payload", "byte " + (int) c);
            }
            if (inside && c == '\\') {
                i++;
                if (i == s.length() || s.charAt(i) != '"' && s.charAt(i) != '\\' && !(newline && s.charAt(i) == 'n')) {
                    throw new FormatException("payload", "escape");
                }
            } else if (c == '"') {
                inside = !inside;
            } else if (inside) {
                continue;
            } else if (c == '{' || c == '[') {
                if (++depth > MAX_DEPTH) {
                    throw new FormatException("payload", "nested too deep");
                }
            } else if (c == '}' || c == ']') {
                depth--;
            } else if (c >= '0' && c <= '9') {
                int end = i;
                while (end < s.length() && s.charAt(end) >= '0' && s.charAt(end) <= '9') {
                    end++;
                }
                String n = s.substring(i, end);
                if (n.length() > 16 || n.length() == 16 && n.compareTo(MAX_NUMBER) > 0) {
                    throw new FormatException("payload", "number above 2^53-1");
                }
                i = end - 1;
            } else if (",:truefals".indexOf(c) < 0) {
                throw new FormatException("payload", "byte " + (int) c);
            }
        }
    }

    /**
     * Says whether a parsed value has exactly this shape: a Map gives the members
     * in their order, a List the shape of its entries, else a class.
     */
    private static boolean fits(Object value, Object shape) {
        if (shape instanceof Map<?, ?> want) {
            if (!(value instanceof Map<?, ?> map) || !new ArrayList<Object>(map.keySet()).equals(new ArrayList<Object>(want.keySet()))) {
                return false;
            }
            return want.entrySet().stream().allMatch(e -> fits(map.get(e.getKey()), e.getValue()));
        }
        if (shape instanceof List<?> want) {
            return value instanceof List<?> list && list.stream().allMatch(v -> fits(v, want.get(0)));
        }
        return value != null && value.getClass() == shape;
    }

    /**
     * Parses a payload that must be canonical, else FormatException("payload").
     * Writing it again must give the same bytes: the reader keeps the last of two
     * members of one name, and the comparison finds the first one missing.
     */
    static Members decode(byte[] payload, Object shape) throws FormatException {
        return decode(new String(payload, StandardCharsets.ISO_8859_1), shape, false);
    }

    static Members decode(String text, Object shape, boolean newline) throws FormatException {
        lexical(text, newline);
        Object value = Json.parse(text);
        Object want = shape == Shapes.ANCHOR ? Shapes.anchor(value) : shape;
        if (!fits(value, want) || !Json.write(value).equals(text)) {
            throw new FormatException("payload", "not canonical, or not of this kind");
        }
        return new Members(value);
    }

    /** Removes the white space between tokens of a file that people may indent. */
    static String compact(byte[] file) throws FormatException {
        String text = new String(file, StandardCharsets.ISO_8859_1);
        Json.parse(text);
        StringBuilder out = new StringBuilder();
        boolean inside = false;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (inside && c == '\\') {
                out.append(c).append(text.charAt(++i));
                continue;
            }
            inside ^= c == '"';
            if (inside || " \t\r\n".indexOf(c) < 0) {
                out.append(c);
            }
        }
        return out.toString();
    }

    /** Standard base64 with padding and zero unused bits, else null. */
    static byte[] decode64(String text) {
        try {
            byte[] data = Base64.getDecoder().decode(text.getBytes(StandardCharsets.UTF_8));
            return encode64(data).equals(text) ? data : null;
        } catch (IllegalArgumentException e) {
            return null;
        }
    }

    static String encode64(byte[] data) {
        return Base64.getEncoder().encodeToString(data);
    }

    /** DSSE's pre-authentication encoding: the bytes that are signed. */
    static byte[] pae(String mediaType, byte[] payload) {
        byte[] head = ("DSSEv1 " + mediaType.length() + " " + mediaType + " " + payload.length + " ").getBytes(StandardCharsets.ISO_8859_1);
        byte[] out = java.util.Arrays.copyOf(head, head.length + payload.length);
        System.arraycopy(payload, 0, out, head.length, payload.length);
        return out;
    }

    /** One signature of an envelope; the key id selects a key and decides nothing else. */
    record Signature(String keyId, byte[] bytes) {}

    /** A parsed DSSE envelope. Nothing in it is trusted yet. */
    record Envelope(byte[] payload, List<Signature> signatures, byte[] message) {}

    /** Reads exactly the one spelling; general JSON parsers accept others. */
    static Envelope envelope(byte[] data, String mediaType, int limit) throws FormatException {
        if (data.length > limit) {
            throw new FormatException("too-large", data.length + " bytes, at most " + limit);
        }
        Reader r = new Reader(new String(data, StandardCharsets.ISO_8859_1));
        r.literal("{\"payloadType\":\"");
        String type = r.text("./+-", 128);
        r.literal("\",\"payload\":\"");
        byte[] payload = r.data(128 << 10);
        r.literal("\",\"signatures\":[");
        List<Signature> signatures = new ArrayList<>();
        do {
            r.literal("{\"keyid\":\"");
            String id = r.text("+/=._:-", 128);
            r.literal("\",\"sig\":\"");
            byte[] sig = r.data(16 << 10);
            r.literal("\"}");
            if (signatures.size() == 4) {
                throw new FormatException("envelope");
            }
            signatures.add(new Signature(id, sig));
        } while (r.comma());
        r.literal("]}");
        if (r.at != r.text.length()) {
            throw new FormatException("envelope");
        }
        if (!type.equals(mediaType)) {
            throw new FormatException("media-type", "want " + mediaType);
        }
        return new Envelope(payload, signatures, pae(mediaType, payload));
    }

    private static final class Reader {
        final String text;
        int at;

        Reader(String text) {
            this.text = text;
        }

        void literal(String s) throws FormatException {
            if (!text.startsWith(s, at)) {
                throw new FormatException("envelope");
            }
            at += s.length();
        }

        boolean comma() {
            boolean yes = text.startsWith(",", at);
            at += yes ? 1 : 0;
            return yes;
        }

        String text(String others, int most) throws FormatException {
            int start = at;
            while (at < text.length() && at - start < most && allowed(text.charAt(at), others)) {
                at++;
            }
            if (at == start) {
                throw new FormatException("envelope");
            }
            return text.substring(start, at);
        }

        byte[] data(int most) throws FormatException {
            byte[] data = decode64(text("+/=", most));
            if (data == null || data.length == 0) {
                throw new FormatException("envelope", "base64");
            }
            return data;
        }

        private static boolean allowed(char c, String others) {
            return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || others.indexOf(c) >= 0;
        }
    }
}

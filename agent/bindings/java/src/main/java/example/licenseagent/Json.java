package example.licenseagent;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A small JSON reader and writer: the JDK has none. Objects are maps in the order
 * of the text (the last of two members of one name stays, in the place of the
 * first), integers are Long, other numbers BigDecimal.
 */
final class Json {
    private static final int MAX_DEPTH = 64;
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Parses a UTF-8 text. Throws FormatException("payload"). */
    static Object parse(byte[] utf8) throws FormatException {
        try {
            return parse(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8)).toString());
        } catch (CharacterCodingException e) {
            throw bad();
        }
    }

    /** Parses a text. Throws FormatException("payload"). */
    static Object parse(String text) throws FormatException {
        Json p = new Json(text);
        Object value = p.value(0);
        p.space();
        if (p.at != text.length()) {
            throw bad();
        }
        return value;
    }

    private static FormatException bad() {
        return new FormatException("payload", "not JSON");
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char next() throws FormatException {
        space();
        if (at == text.length()) {
            throw bad();
        }
        return text.charAt(at);
    }

    private boolean take(char c) throws FormatException {
        if (next() != c) {
            return false;
        }
        at++;
        return true;
    }

    private void want(char c) throws FormatException {
        if (!take(c)) {
            throw bad();
        }
    }

    private Object value(int depth) throws FormatException {
        if (depth > MAX_DEPTH) {
            throw new FormatException("payload", "nested too deep");
        }
        switch (next()) {
            case '{':
                at++;
                Map<String, Object> map = new LinkedHashMap<>();
                if (take('}')) {
                    return map;
                }
                do {
                    next();
                    String name = string();
                    want(':');
                    map.put(name, value(depth + 1));
                } while (take(','));
                want('}');
                return map;
            case '[':
                at++;
                List<Object> list = new ArrayList<>();
                if (take(']')) {
                    return list;
                }
                do {
                    list.add(value(depth + 1));
                } while (take(','));
                want(']');
                return list;
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Object word(String word, Object value) throws FormatException {
        if (!text.startsWith(word, at)) {
            throw bad();
        }
        at += word.length();
        return value;
    }

    private Object number() throws FormatException {
        int start = at;
        take('-');
        int first = at;
        int whole = digits();
        boolean integer = true;
        if (whole == 0 || whole > 1 && text.charAt(first) == '0' || at - start > 400) {
            throw bad();
        }
        if (at < text.length() && text.charAt(at) == '.') {
            at++;
            integer = false;
            if (digits() == 0) {
                throw bad();
            }
        }
        if (at < text.length() && (text.charAt(at) == 'e' || text.charAt(at) == 'E')) {
            at++;
            integer = false;
            if (at < text.length() && (text.charAt(at) == '+' || text.charAt(at) == '-')) {
                at++;
            }
            int size = digits();
            if (size == 0 || size > 4) {
                throw bad();
            }
        }
        String s = text.substring(start, at);
        return integer && s.length() <= 18 ? (Object) Long.valueOf(s) : new BigDecimal(s);
    }

    private int digits() {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        return at - start;
    }

    private String string() throws FormatException {
        if (at == text.length() || text.charAt(at) != '"') {
            throw bad();
        }
        at++;
        StringBuilder out = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') {
                return out.toString();
            }
            if (c < ' ') {
                throw bad();
            }
            out.append(c == '\\' ? escape() : c);
        }
        throw bad();
    }

    private char escape() throws FormatException {
        if (at == text.length()) {
            throw bad();
        }
        char c = text.charAt(at++);
        int known = "\"\\/bfnrt".indexOf(c);
        if (known >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(known);
        }
        if (c != 'u' || at + 4 > text.length()) {
            throw bad();
        }
        int code = 0;
        for (int end = at + 4; at < end; at++) {
            char h = text.charAt(at);
            int digit = h < 128 ? Character.digit(h, 16) : -1;
            if (digit < 0) {
                throw bad();
            }
            code = code * 16 + digit;
        }
        return (char) code;
    }

    /** Writes a value without white space; the escapes are those that a reader of the format allows. */
    static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof Map<?, ?> map) {
            String comma = "{";
            for (Map.Entry<?, ?> e : map.entrySet()) {
                out.append(comma);
                write(e.getKey(), out);
                out.append(':');
                write(e.getValue(), out);
                comma = ",";
            }
            out.append(map.isEmpty() ? "{}" : "}");
        } else if (value instanceof List<?> list) {
            String comma = "[";
            for (Object v : list) {
                out.append(comma);
                write(v, out);
                comma = ",";
            }
            out.append(list.isEmpty() ? "[]" : "]");
        } else if (value instanceof String s) {
            out.append('"');
            for (int i = 0; i < s.length(); i++) {
                char c = s.charAt(i);
                if (c == '"' || c == '\\') {
                    out.append('\\').append(c);
                } else if (c == '\n') {
                    out.append("\\n");
                } else if (c < ' ') {
                    out.append(String.format("\\u%04x", (int) c));
                } else {
                    out.append(c);
                }
            }
            out.append('"');
        } else {
            out.append(value);
        }
    }
}

package example.licenseagent;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The members of each message in their order (SPEC.md sections 4 to 10). */
final class Shapes {
    private static final Class<?> TEXT = String.class;
    private static final Class<?> INT = Long.class;
    private static final Object KEY = of("alg", TEXT, "pub", TEXT);
    private static final Object ROOTS = of("threshold", INT, "keys", List.of(KEY));
    private static final Object PROFILE =
            of("req", List.of(TEXT), "w", of("board", INT, "disk", INT, "mac", INT, "cpu", INT), "min", INT, "floor", INT);

    static final Object ANCHOR = new Object(); // see anchor
    static final Object KEYSET = of("v", INT, "iss", TEXT, "ver", INT, "nbf", INT, "exp", INT, "roots", ROOTS,
            "keys", List.of(of("kid", TEXT, "use", TEXT, "alg", TEXT, "pub", TEXT, "nbf", INT, "min", INT)),
            "revoked", List.of(TEXT), "revlic", List.of(TEXT));
    static final Object LICENSE = of("v", INT, "iss", TEXT, "lic", TEXT, "prod", TEXT, "ed", TEXT, "seats", INT, "feat", List.of(TEXT),
            "lim", List.of(of("name", TEXT, "value", INT)),
            "dev", of("id", TEXT, "env", TEXT, "fpv", INT, "salt", TEXT, "fp", List.of(of("kind", TEXT, "h", List.of(TEXT))),
                    "pol", of("name", TEXT, "phys", PROFILE, "virt", PROFILE), "dk", KEY),
            "iat", INT, "nbf", INT, "exp", INT, "ren", INT, "grc", INT, "seq", INT, "head", TEXT, "ks", INT, "rn", TEXT, "st", INT);
    static final Object NOTICE = of("v", INT, "iss", TEXT, "lic", TEXT, "prod", TEXT, "dev", TEXT, "state", TEXT, "reason", TEXT,
            "seq", INT, "head", TEXT, "ks", INT, "rn", TEXT, "st", INT);
    static final Object PROOF = of("v", INT, "nonce", TEXT, "prod", TEXT, "sha", TEXT, "phase", TEXT, "runs", Boolean.class,
            "missing", List.of(TEXT), "time", INT, "boot", TEXT);
    static final Object REQUEST = of("v", INT, "kind", TEXT, "iss", TEXT, "prod", TEXT, "code", TEXT, "lic", TEXT, "dev", TEXT, "dk", KEY,
            "seq", INT, "head", TEXT, "n", TEXT, "fp", TEXT, "env", TEXT,
            "parts", List.of(of("kind", TEXT, "state", TEXT, "alt", List.of(TEXT))), "days", List.of(TEXT),
            "peak", INT, "ks", INT, "time", INT, "off", Boolean.class, "agent", TEXT);

    private Shapes() {}

    /** Absent members of an anchor file are left out, not empty. */
    static Object anchor(Object value) {
        Map<String, Object> shape = of("v", INT, "iss", TEXT, "roots", ROOTS);
        for (String name : List.of("merchant", "tls_roots")) {
            if (value instanceof Map<?, ?> map && map.containsKey(name) && !"".equals(map.get(name))) {
                shape.put(name, TEXT);
            }
        }
        return shape;
    }

    private static Map<String, Object> of(Object... pairs) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            map.put((String) pairs[i], pairs[i + 1]);
        }
        return map;
    }
}

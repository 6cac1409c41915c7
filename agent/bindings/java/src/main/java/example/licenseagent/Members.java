package example.licenseagent;

import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** A parsed object whose shape was checked: typed access to its members. */
record Members(Map<?, ?> map) {
    Members(Object value) {
        this((Map<?, ?>) value);
    }

    String text(String name) {
        return (String) map.get(name);
    }

    long number(String name) {
        return (Long) map.get(name);
    }

    boolean bool(String name) {
        return (Boolean) map.get(name);
    }

    boolean has(String name) {
        return map.containsKey(name);
    }

    Members object(String name) {
        return new Members(map.get(name));
    }

    @SuppressWarnings("unchecked")
    List<String> texts(String name) {
        return (List<String>) map.get(name);
    }

    List<Members> objects(String name) {
        return ((List<?>) map.get(name)).stream().map(Members::new).collect(Collectors.toList());
    }

    Keys.PublicKey key() {
        return new Keys.PublicKey(text("alg"), text("pub"));
    }
}

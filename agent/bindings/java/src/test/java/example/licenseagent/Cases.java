package example.licenseagent;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/** A test runner without dependencies: counts cases, prints failures. */
final class Cases {
    static final Path REPOSITORY = Path.of(System.getProperty("repository", "../../.."));
    private int passed;
    private int failed;

    interface Body {
        void run() throws Exception;
    }

    void run(String name, Body body) {
        try {
            body.run();
            passed++;
        } catch (Exception | AssertionError | StackOverflowError e) {
            failed++;
            System.out.println("FAILED " + name + ": " + e);
            if (!(e instanceof AssertionError)) {
                e.printStackTrace(System.out);
            }
        }
    }

    /** A line of the table of promises. */
    static void report(String id, String number, String control) {
        System.out.println("promise " + id + "|Java: " + number + "|" + control);
    }

    /** How many cases of a kind there are, for the table of README.md. */
    static void count(String kind, long number) {
        System.out.println("count " + kind + " " + number);
    }

    static void equal(Object got, Object want, String what) {
        if (!Objects.equals(got, want)) {
            throw new AssertionError(what + ": " + got + ", want " + want);
        }
    }

    static void that(boolean ok, String what) {
        equal(ok, true, what);
    }

    static Members load(String file) throws IOException, FormatException {
        return new Members(Json.parse(Files.readAllBytes(REPOSITORY.resolve(file))));
    }

    static String text(Members m, String name) {
        return m.has(name) ? m.text(name) : "";
    }

    static long number(Members m, String name) {
        return m.has(name) ? m.number(name) : 0;
    }

    static boolean bool(Members m, String name) {
        return m.has(name) && m.bool(name);
    }

    static Device device(Members d) {
        return new Device(part(d, "mac"), part(d, "disk"), part(d, "board"), part(d, "cpu"), d.object("env").text("kind"));
    }

    private static Device.Part part(Members d, String kind) {
        Members p = d.object(kind);
        List<Device.Value> values = !p.has("values") ? List.of()
                : p.objects("values").stream().map(v -> new Device.Value(v.text("text"), v.has("alt") ? v.texts("alt") : List.of())).toList();
        List<String> rejected = !p.has("rejected") ? List.of() : p.objects("rejected").stream().map(r -> text(r, "state")).toList();
        return new Device.Part(text(p, "state"), values, rejected.contains("unreadable"), rejected.contains("placeholder"));
    }

    public static void main(String[] args) throws Exception {
        Cases c = new Cases();
        new LicenseCases(c).run();
        new CurveCases(c).run();
        new FingerprintCases(c).run();
        new AgentCases(c).run();
        System.out.println("java: " + c.passed + " passed, " + c.failed + " failed");
        System.exit(c.failed == 0 && c.passed > 0 ? 0 : 1);
    }
}

package example.licenseagent;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Against a real agent: Live ANCHOR STRANGERS-ANCHOR SOCKET PRODUCT. Prints one
 * line of passes and one of latencies.
 */
final class Live {
    private int passed;
    private int failed;

    private void test(String name, boolean ok) {
        passed += ok ? 1 : 0;
        failed += ok ? 0 : 1;
        if (!ok) {
            System.out.println("FAILED live: " + name);
        }
    }

    private static String code(byte[] anchor, String socket, String product) {
        try (Checker k = Checker.of(anchor).socket(socket).build()) {
            return "runs " + k.check(product).runs();
        } catch (AgentException e) {
            return e.code();
        }
    }

    private static String measure(Cases.Body call, int times) throws Exception {
        long[] took = new long[times];
        for (int i = 0; i < times; i++) {
            long start = System.nanoTime();
            call.run();
            took[i] = (System.nanoTime() - start) / 1000;
        }
        Arrays.sort(took);
        return "p50 " + took[times / 2] + " us, p99 " + took[times * 99 / 100] + " us";
    }

    public static void main(String[] args) throws Exception {
        Live live = new Live();
        live.run(Files.readAllBytes(Path.of(args[0])), Files.readAllBytes(Path.of(args[1])), args[2], args[3]);
        System.exit(live.failed == 0 ? 0 : 1);
    }

    private static byte[] part(Map<?, ?> files, String name) {
        return Canonical.decode64(Transport.text(files, name));
    }

    private void seats(Checker k, String product, int number) throws Exception {
        List<Seat> taken = new ArrayList<>();
        for (int i = 0; i < number; i++) {
            taken.add(k.seat(product, "user-" + i, 0));
        }
        for (Seat s : taken) {
            test("seats: all taken", number > 1 && s.held());
        }
        test("seats: one more", seat(k, product, "one-more").equals("seats-taken"));
        test("seats: the same user again", seat(k, product, "user-0").equals("held"));
        taken.get(0).close();
        test("seats: given back and taken by another", seat(k, product, "other").equals("held"));
        taken.forEach(Seat::close);
    }

    private static String seat(Checker k, String product, String user) {
        try (Seat s = k.seat(product, user, user.equals("other") ? 2000 : 0)) {
            return s.held() && s.verdict().runs() ? "held" : "no";
        } catch (AgentException e) {
            return e.code();
        }
    }

    private void run(byte[] anchor, byte[] stranger, String socket, String product) throws Exception {
        Checker checker = Checker.of(anchor).socket(socket).build();
        Verdict v = checker.check(product);
        test("check", v.runs() && v.phase().equals("active") && v.has("mesh"));
        test("unknown product", code(anchor, socket, "no-such-product").equals("not-activated"));
        test("another vendor's anchor", code(stranger, socket, product).equals("agent-untrusted"));
        Map<?, ?> files = new Transport(socket, "", Set.of(), "en").call("/v1/license?product=" + product, null, 5000);
        byte[] mirror = License.bytes(Json.write(Map.of("license", new String(part(files, "license"), StandardCharsets.UTF_8),
                "keyset", new String(part(files, "keyset"), StandardCharsets.UTF_8))));
        test("files", checker.checkFiles(product, mirror).runs());
        try {
            test("files for another product", checker.checkFiles("other", mirror) == null);
        } catch (AgentException e) {
            test("files for another product", e.code().equals("agent-untrusted"));
        }
        AtomicInteger changes = new AtomicInteger();
        try (Checker watcher = Checker.of(anchor).socket(socket).build()) {
            watcher.watch(c -> {
                changes.incrementAndGet();
                watcher.close();
            });
        }
        test("watch", changes.get() == 1);
        seats(checker, product, (int) v.seats());
        measure(() -> checker.check(product), 3000);
        String cached = measure(() -> checker.check(product), 2000);
        String uncached = measure(() -> {
            try (Checker k = Checker.of(anchor).socket(socket).build()) {
                k.check(product);
            }
        }, 200);
        String seat = measure(() -> checker.seat(product, "", 2000).close(), 200).split(",")[0];
        System.out.println("java live: " + passed + " passed, " + failed + " failed");
        System.out.println("java " + Runtime.version() + ": cached " + cached + "; uncached " + uncached + "; seat " + seat);
    }
}

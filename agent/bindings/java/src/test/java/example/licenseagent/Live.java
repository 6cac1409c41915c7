package example.licenseagent;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Against real agents: Live SCRIPT PLACES [RELAY]. SCRIPT is
 * agent/bindings/testdata/live.txt, PLACES a folder with own.json, stranger.json and
 * mirror.json and the endpoints in places.txt; with RELAY the agent is asked through
 * that program. Prints one line of passes and one of latencies. With the word watch
 * for SCRIPT it prints the phase at the start and after each change, until the license
 * does not run.
 */
final class Live {
    private final Path places;
    private final String relay;
    private final Map<String, String> sockets = new HashMap<>();
    private final Map<String, List<Seat>> taken = new HashMap<>();
    private final Checker checker;

    private Live(Path places, String relay) throws IOException, AgentException {
        this.places = places;
        this.relay = relay;
        for (List<String> line : lines(places.resolve("places.txt"))) {
            sockets.put(line.get(0), line.get(1));
        }
        checker = make("own", "own");
    }

    private static List<List<String>> lines(Path file) throws IOException {
        return Files.readAllLines(file).stream().filter(l -> !l.isEmpty() && !l.startsWith("#")).map(l -> List.of(l.split(" "))).toList();
    }

    private Checker make(String place, String anchor) throws IOException, AgentException {
        Checker.Builder b = Checker.of(Files.readAllBytes(places.resolve(anchor + ".json"))).relay(relay);
        return place.equals("instance") ? b.instance("no-such-instance").build() : b.socket(sockets.get(place)).build();
    }

    private static String said(Verdict v) {
        return v.runs() ? v.phase() : "no: " + v.phase();
    }

    private String check(String place, String anchor, String product) throws IOException, AgentException {
        try (Checker k = make(place, anchor)) {
            return said(k.check(product));
        }
    }

    private String watch() throws IOException, AgentException {
        AtomicInteger changes = new AtomicInteger();
        try (Checker watcher = make("own", "own")) {
            watcher.watch(c -> {
                changes.incrementAndGet();
                watcher.close();
            });
        }
        return changes.get() == 1 ? "changed" : "no";
    }

    private void watchOn() {
        checker.watch(c -> {
            try {
                Verdict v = checker.check("studio");
                System.out.println(v.phase());
                if (!v.runs()) {
                    checker.close();
                }
            } catch (AgentException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    private String seat(String user, long waitMs) throws AgentException {
        Seat s = checker.seat("studio", user, waitMs);
        taken.computeIfAbsent(user, u -> new ArrayList<>()).add(s);
        return s.held() ? said(s.verdict()) : "not held";
    }

    private String close(String user) throws IOException, AgentException {
        Seat s;
        try (Checker k = make("own", "own")) {
            s = k.seat("studio", user, 2000);
        }
        return s.held() ? "held" : "ended";
    }

    /** What came of a step; a typed error must have its sentences. */
    private String step(List<String> w) throws IOException {
        try {
            return switch (w.get(0)) {
                case "check" -> check(w.get(1), w.get(2), w.get(3));
                case "files" -> said(checker.checkFiles(w.get(1), Files.readAllBytes(places.resolve("mirror.json"))));
                case "watch" -> watch();
                case "close" -> close(w.get(1));
                case "seat" -> seat(w.get(1), Long.parseLong(w.get(2)));
                default -> {
                    taken.remove(w.get(1)).forEach(Seat::close);
                    yield "";
                }
            };
        } catch (AgentException e) {
            return e.sentence().isEmpty() || e.hint().isEmpty() ? e.code() + " without its sentences" : e.code() + (e.reason().isEmpty() ? "" : "/" + e.reason());
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
        String relay = args.length > 2 ? args[2] : "";
        Live live = new Live(Path.of(args[1]), relay);
        if (args[0].equals("watch")) {
            live.watchOn();
            return;
        }
        int passed = 0;
        int failed = 0;
        for (List<String> words : lines(Path.of(args[0]))) {
            String want = words.get(0).equals("free") ? "" : words.get(words.size() - 1);
            String got = live.step(words);
            passed += got.equals(want) ? 1 : 0;
            if (!got.equals(want)) {
                failed++;
                System.out.println("FAILED live: " + words + " got " + got);
            }
        }
        measure(() -> live.checker.check("studio"), 3000);
        String cached = measure(() -> live.checker.check("studio"), 2000);
        String uncached = measure(() -> live.check("own", "own", "studio"), relay.isEmpty() ? 200 : 20);
        String seat = measure(() -> live.checker.seat("studio", "", 2000).close(), relay.isEmpty() ? 200 : 20).split(",")[0];
        System.out.println("java" + (relay.isEmpty() ? "" : " relay") + " live: " + passed + " passed, " + failed + " failed");
        System.out.println("java " + Runtime.version() + (relay.isEmpty() ? "" : " through the relay") + ": cached " + cached + "; uncached " + uncached + "; seat " + seat);
        System.exit(failed == 0 && passed > 0 ? 0 : 1);
    }
}

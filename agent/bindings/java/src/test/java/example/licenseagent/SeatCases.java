package example.licenseagent;

import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;

/** Seats from genuine and fake agents on a real socket. */
final class SeatCases {
    private final AgentCases agents;
    private final List<Members> asked = new ArrayList<>();
    private Members verdict;
    private int busy;
    private long total = 3;
    private boolean taken;

    SeatCases(AgentCases agents) {
        this.agents = agents;
        verdict = agents.check("genuine");
    }

    private FakeAgent.Reply answer(String target, String body) throws Exception {
        if (target.equals("/v1/check")) {
            return agents.answer(verdict, body);
        }
        asked.add(new Members(Json.parse(License.bytes(body))));
        if (busy-- > 0) {
            return FakeAgent.Reply.of(503, "{\"error\":{\"code\":\"busy\",\"message\":\"Busy.\"}}");
        }
        if (taken) {
            return FakeAgent.Reply.of(409, "{\"error\":{\"code\":\"seats-taken\",\"message\":\"All seats are taken.\"}}");
        }
        return FakeAgent.Reply.of(200, java.nio.file.Files.readString(Cases.REPOSITORY.resolve("agent/api/testdata/seat-answer.json")).replace("\"total\": 2", "\"total\": " + total));
    }

    private static String code(Checker k) {
        return code(k, 0);
    }

    private static String code(Checker k, long waitMs) {
        try (Seat s = k.seat("studio", "", waitMs)) {
            return "held " + s.held();
        } catch (AgentException e) {
            return e.code() + (e.reason().isEmpty() ? "" : "/" + e.reason());
        }
    }

    private static void end(FakeAgent a) throws Exception {
        for (SocketChannel c : a.open) {
            c.close();
        }
    }

    void takenUpAgainAndLost() throws Exception {
        busy = 1;
        try (FakeAgent a = new FakeAgent(this::answer); Checker k = agents.checker(a.socket.toString(), agents.check("genuine")).build(); Seat s = k.seat("studio", "alice", 1000)) {
            Cases.that(s.held() && s.verdict().runs(), "taken and held");
            Cases.that(asked.size() == 2 && asked.get(0).text("user").equals("alice") && asked.get(0).text("issuer").equals("acme") && asked.get(0).number("wait_ms") > 0, "asked " + asked.size());
            end(a);
            while (asked.size() < 3) {
                Cases.that(s.held(), "taken up again");
            }
            taken = true;
            end(a);
            String lost = "";
            while (lost.isEmpty()) {
                try {
                    Cases.that(s.held(), "held until it is lost");
                } catch (AgentException e) {
                    lost = e.code();
                }
            }
            Cases.equal(lost, "seats-taken", "lost");
            Cases.that(!s.held(), "a lost seat stays lost");
        }
    }

    void endsWithItsChecker() throws Exception {
        try (FakeAgent a = new FakeAgent(this::answer)) {
            Checker k = agents.checker(a.socket.toString(), agents.check("genuine")).build();
            Seat s = k.seat("studio", "", 0);
            Cases.that(s.held(), "taken and held");
            k.close();
            Cases.that(!s.held(), "a seat of a closed checker");
            Cases.equal(code(k), "agent-bad-answer", "a closed checker");
            Cases.equal(asked.size() + " " + a.connections, "1 2", "seats and connections");
        }
    }

    void closedWhileItIsTakenUpAgain() throws Exception {
        Seat[] closing = new Seat[1];
        FakeAgent.Handler closes = (target, body) -> {
            if (closing[0] != null && target.equals("/v1/seats")) {
                closing[0].close();
            }
            return answer(target, body);
        };
        try (FakeAgent a = new FakeAgent(closes); Checker k = agents.checker(a.socket.toString(), agents.check("genuine")).build(); Seat s = k.seat("studio", "", 0)) {
            closing[0] = s;
            end(a);
            while (asked.size() < 2) {
                s.held(); // until it sees that the agent hung up
            }
            Cases.that(!s.held(), "closed while it was taken up again");
            Cases.that(s.verdict() == null, "it keeps nothing");
            Cases.equal(asked.size(), 2, "requests for a seat");
        }
    }

    void refused() throws Exception {
        try (FakeAgent a = new FakeAgent(this::answer); Checker k = agents.checker(a.socket.toString(), agents.check("genuine")).build()) {
            total = 4;
            Cases.equal(code(k), "agent-untrusted/seats", "more seats than the license has");
            total = 3;
            verdict = agents.check("frozen");
            Cases.equal(code(k), "not-licensed/agent-says-no", "a frozen license");
            taken = true;
            Cases.equal(code(k), "seats-taken", "all taken");
        }
        // The wait for a seat ends with the checker, and does not begin where nobody listens.
        asked.clear();
        Checker[] closing = new Checker[1];
        FakeAgent.Handler closes = (target, body) -> {
            asked.add(null);
            closing[0].close();
            return null;
        };
        try (FakeAgent a = new FakeAgent(closes); Checker k = agents.checker(a.socket.toString(), agents.check("genuine")).build();
                Checker other = agents.checker(a.socket + "-nobody", agents.check("genuine")).build()) {
            closing[0] = k;
            Cases.equal(code(k, 1000), "agent-bad-answer", "closed while it waits");
            Cases.equal(asked.size(), 1, "attempts after the checker was closed");
            long began = System.nanoTime();
            Cases.equal(code(other, 60_000), "agent-not-running", "nobody");
            Cases.that(System.nanoTime() - began < 60_000_000_000L, "told at once");
        }
    }
}

package example.licenseagent;

import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;

/**
 * One concurrent use of a product, from {@link Checker#seat}. It ends with close or
 * with this process, whatever way that ends; the program sends no heartbeat.
 */
public final class Seat implements AutoCloseable {
    private static final long RESUME_MS = 10_000; // that an agent may take to be started anew
    private static final List<String> AGAIN = List.of("busy", "agent-not-running", "agent-timeout", "agent-bad-answer");

    /** What one attempt gives. */
    record Taken(Verdict verdict, Connection connection) {}

    private final Checker checker;
    private final String product;
    private final String user;
    private Taken taken;

    Seat(Checker checker, String product, String user) {
        this.checker = checker;
        this.product = product;
        this.user = user;
    }

    void take(long waitMs, long patienceMs, boolean resuming) throws AgentException {
        long start = System.nanoTime();
        LongSupplier passed = () -> (System.nanoTime() - start) / 1_000_000;
        int closes = checker.closes();
        // An agent that is started anew sends those who wait away, and then nobody
        // listens for a moment. Who finds nobody at first need not wait.
        for (boolean first = true;; first = false) {
            try {
                taken = checker.takeSeat(product, user, Math.max(waitMs - passed.getAsLong(), 0));
                return;
            } catch (AgentException e) {
                boolean again = e.code().equals("busy") || resuming && AGAIN.contains(e.code());
                boolean restarts = e.code().equals("agent-bad-answer") || !first && e.code().equals("agent-not-running");
                boolean more = again && passed.getAsLong() <= patienceMs || restarts && passed.getAsLong() < waitMs;
                if (more) {
                    LockSupport.parkNanos(50_000_000);
                }
                if (!more || checker.closes() != closes || Thread.currentThread().isInterrupted()) {
                    throw e;
                }
            }
        }
    }

    /** What was verified when the seat was taken. */
    public synchronized Verdict verdict() {
        return taken == null ? null : taken.verdict;
    }

    /**
     * Says whether the seat is still held. Does not wait, but when the agent was
     * started anew: then the same seat is taken up again, for up to ten seconds. When
     * it is lost, throws the reason, and says false from then.
     */
    public synchronized boolean held() throws AgentException {
        if (taken == null) {
            return false;
        }
        if (taken.connection.ended()) {
            close();
            take(0, RESUME_MS, true);
        }
        return true;
    }

    /** Gives the seat back. */
    @Override
    public synchronized void close() {
        if (taken != null) {
            checker.dropSeat(taken);
        }
        taken = null;
    }
}

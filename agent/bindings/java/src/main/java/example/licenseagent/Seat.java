package example.licenseagent;

import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;

/**
 * One concurrent use of a product, from {@link Checker#seat}. It ends with close, with
 * that of its checker, or with this process, whatever way that ends; the program sends
 * no heartbeat. Safe for concurrent use.
 */
public final class Seat implements AutoCloseable {
    private static final long RESUME_MS = 10_000; // that an agent may take to be started anew
    private static final long PAUSE_MS = 50; // between two attempts
    private static final List<String> AGAIN = List.of("busy", "agent-not-running", "agent-timeout", "agent-bad-answer");

    /** What one attempt gives. */
    record Taken(Verdict verdict, Connection connection) {}

    private final Checker checker;
    private final String product;
    private final String user;
    private final Object state = new Object(); // not held while the agent is asked
    private Taken taken;
    private volatile boolean closed;

    Seat(Checker checker, String product, String user) {
        this.checker = checker;
        this.product = product;
        this.user = user;
    }

    /** All of it, each attempt with its check, ends within patience. */
    void take(long waitMs, long patienceMs, boolean resuming) throws AgentException {
        long start = System.nanoTime();
        LongSupplier passed = () -> (System.nanoTime() - start) / 1_000_000;
        // An agent that is started anew sends those who wait away, and then nobody
        // listens for a moment. Who finds nobody at first need not wait.
        for (boolean first = true;; first = false) {
            try {
                hold(checker.takeSeat(product, user, Math.max(waitMs - passed.getAsLong(), 0), start + patienceMs * 1_000_000));
                return;
            } catch (AgentException e) {
                boolean again = e.code().equals("busy") || resuming && AGAIN.contains(e.code());
                boolean restarts = e.code().equals("agent-bad-answer") || !first && e.code().equals("agent-not-running");
                boolean more = again && passed.getAsLong() + PAUSE_MS < patienceMs || restarts && passed.getAsLong() < waitMs;
                if (more && !over()) {
                    LockSupport.parkNanos(PAUSE_MS * 1_000_000);
                }
                if (!more || over() || Thread.currentThread().isInterrupted()) {
                    throw e;
                }
            }
        }
    }

    private boolean over() {
        return closed || checker.closed();
    }

    private void hold(Taken next) {
        synchronized (state) {
            if (!closed) {
                taken = next;
                return;
            }
        }
        checker.dropSeat(next); // closed while it was taken
    }

    private Taken taken() {
        synchronized (state) {
            return taken;
        }
    }

    /** What was verified when the seat was taken. */
    public Verdict verdict() {
        Taken now = taken();
        return now == null ? null : now.verdict;
    }

    /**
     * Says whether the seat is still held. Does not wait, but when the agent was
     * started anew: then the same seat is taken up again, for up to ten seconds. When
     * it is lost, throws the reason, and says false from then; also after close, and
     * after that of the checker.
     */
    public synchronized boolean held() throws AgentException {
        Taken now = taken();
        if (now == null || !now.connection.ended()) {
            return now != null && !over();
        }
        letGo();
        if (over()) {
            return false;
        }
        try {
            take(0, RESUME_MS, true);
        } catch (AgentException e) {
            if (over()) {
                return false;
            }
            throw e;
        }
        return taken() != null;
    }

    private void letGo() {
        Taken last;
        synchronized (state) {
            last = taken;
            taken = null;
        }
        if (last != null) {
            checker.dropSeat(last);
        }
    }

    /** Gives the seat back. */
    @Override
    public void close() {
        closed = true;
        letGo();
    }
}

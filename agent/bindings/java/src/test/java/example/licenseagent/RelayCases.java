package example.licenseagent;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/** As on Windows: through a child process of the agent's program. */
final class RelayCases {
    static final String PROGRAM = Cases.REPOSITORY.toAbsolutePath().resolve("bin/license-agent").toString();
    private final AgentCases agents;

    RelayCases(AgentCases agents) {
        this.agents = agents;
    }

    void manyChecks() throws Exception {
        try (FakeAgent a = agents.real()) {
            try (Checker k = agents.checker(a.socket.toString(), agents.check("genuine")).relay(PROGRAM).build()) {
                for (int i = 0; i < 3; i++) {
                    Cases.that(k.check("studio").runs(), "runs");
                    Cases.equal(a.connections.get(), 1, "connections");
                }
                for (var c : a.open) {
                    c.shutdownOutput();
                }
                Cases.that(k.check("studio").runs(), "runs again");
                Cases.equal(a.connections.get(), 2, "connections");
            }
            for (int i = 0; i < 2000 && !a.open.isEmpty(); i++) {
                Thread.sleep(1); // the children end
            }
            Cases.that(a.open.isEmpty(), "the children have ended");
        }
    }

    void wrong() throws Exception {
        try (FakeAgent a = agents.real()) {
            Files.createFile(a.dir.resolve("file"));
            Cases.equal(code(a.dir.resolve("none.sock"), PROGRAM), "agent-not-running", "no socket");
            Cases.equal(code(a.dir.resolve("file"), PROGRAM), "agent-wrong-owner", "a file");
            Cases.equal(code(a.socket, a.dir.resolve("no-program").toString()), "agent-not-running", "no program");
            Cases.equal(code(a.socket, program(a.dir, "silent", "exec sleep 60")), "agent-timeout", "silent");
            Cases.equal(code(a.socket, program(a.dir, "ends", "exit 0")), "agent-bad-answer", "ends");
            Cases.equal(code(a.socket, program(a.dir, "loud", "exec yes error >&2")), "agent-timeout", "loud");
        }
    }

    private String code(Path socket, String relay) {
        return agents.code(socket, Set.of(), 2000, relay);
    }

    private static String program(Path dir, String name, String text) throws IOException {
        Path p = Files.writeString(dir.resolve(name), "#!/bin/sh\n" + text + "\n");
        Files.setPosixFilePermissions(p, PosixFilePermissions.fromString("rwx------"));
        return p.toString();
    }
}

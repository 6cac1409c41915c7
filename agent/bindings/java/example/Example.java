import example.licenseagent.AgentException;
import example.licenseagent.Checker;
import example.licenseagent.Verdict;
import java.nio.file.Files;
import java.nio.file.Path;

/** A licensed program in miniature: Example ANCHOR-FILE PRODUCT [SOCKET]. */
public class Example {
    public static void main(String[] args) throws Exception {
        byte[] anchor = Files.readAllBytes(Path.of(args[0])); // a real product carries it inside
        try (Checker checker = Checker.of(anchor).socket(args.length > 2 ? args[2] : "").build()) {
            Verdict v = checker.check(args[1]);
            System.out.println((v.runs() ? "licensed: " : "not licensed: ") + v.phase() + " " + v.features() + " " + v.reason());
            System.exit(v.runs() ? 0 : 3);
        } catch (AgentException e) {
            System.err.println("not licensed: " + e.getMessage() + " " + e.hint());
            System.exit(3);
        }
    }
}

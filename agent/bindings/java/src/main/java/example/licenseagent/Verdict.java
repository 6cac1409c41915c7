package example.licenseagent;

import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * What was verified. Everything in it ends in the vendor's root keys, but message,
 * nextStep and flags, which are the agent's words; where the agent says yes and the own
 * time rule no, and from files, the first two are the words of this package.
 *
 * @param runs the answer
 * @param phase active, expiring, grace, suspended, …; by the own time rule and from files: valid, valid-stale, not-valid
 * @param reason a stable code when runs is false
 * @param message a sentence for people
 * @param nextStep what to do
 * @param flags drift, contested, …
 * @param license the license id
 * @param edition may be empty
 * @param seats concurrent uses on this machine
 * @param keySet version of the vendor's key set; see {@link Checker.Builder#minKeySet}
 * @param features what the license grants, sorted
 * @param limits named numbers that the program enforces
 * @param expires end of the entitlement
 * @param renewBy when the agent has to have renewed
 * @param graceUntil until when it runs without
 * @param device this machine against the license
 */
public record Verdict(boolean runs, String phase, String reason, String message, String nextStep, List<String> flags, String license,
        String edition, long seats, long keySet, List<String> features, Map<String, Long> limits, Instant expires, Instant renewBy,
        Instant graceUntil, Comparison device) {
    /** Says whether the license grants a feature. */
    public boolean has(String feature) {
        return features.contains(feature);
    }
}

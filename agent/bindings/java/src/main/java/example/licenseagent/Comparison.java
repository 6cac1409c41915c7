package example.licenseagent;

import java.util.Map;

/**
 * The enrolled device against an observation.
 *
 * @param outcome same, different or indeterminate
 * @param results per part: match, changed, absent, unreadable, placeholder or not-enrolled
 * @param matched points of parts that match
 * @param available points usable at enrolment and determined now
 * @param enrolled points usable at enrolment
 * @param need points needed of available
 * @param left points that may still be lost
 * @param strongMatch board, disk or address matches
 * @param strongChanged board, disk or address is changed, absent or a placeholder now
 * @param drift a part that counts is lost
 */
public record Comparison(String outcome, Map<String, String> results, long matched, long available, long enrolled, long need, long left,
        boolean strongMatch, boolean strongChanged, boolean drift) {}

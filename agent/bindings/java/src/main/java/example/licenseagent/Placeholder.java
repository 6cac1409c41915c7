package example.licenseagent;

import java.util.Arrays;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * Values that identify nobody: firmware defaults and shared addresses. The lists
 * are those of the Go package fingerprint; the shared vectors hold both against
 * each other.
 */
final class Placeholder {
    private static final Set<String> TEXTS = words("""
            none na nil null nullstring nostring empty blank void nothing unknown unknow unkn uknown undefined error reserved
            notavailable notapplicable notpresent notprovided notsettable notset notsupported notsupportedbycpu doesnotexist
            noassetinformation badindex outofspec nodimm noserial tbd tba todo 00h
            sn serial serialno serialnum systemserialnumb oemserial pcaserial mbserial boardserial systemproductname
            systemmanufacturer systemversion systemname systemsku chassisversion chassismanufacture chassismanufacturer
            baseboardversion baseboardproductname baseboardmanufacturer sku skunumber type1productconfigid type1family
            type2boardversion type2boardproductname smbiostype4partnumber mkfoemsmbiosdefaultstring
            customer model vendor device generic manufacturer productname
            oem dell eval iatpass square tulipcomputers default revx0x xxx123xaba 03142563 sn123456fvgv3i0b8o5n6n7k
            0123456789abcdef 123456789000 amazonec2 77837084326590858269328677
            03000200040005000006000700080009 00020003000400050006000700080009
            6ab5b300538d10149fb5b0684d007b53 00b3b56a8d5314109fb5b0684d007b53
            01010101010101010101010101010101 fefefefefefefefefefefefefefefefe
            123456781234567890abcddeefaabbcc 11111111222233334444555555555555 00112233445566778899aabbccddeeff""");
    private static final Pattern PHRASES = Pattern.compile(
            "filledby|fillby|tobefilled|byoem|defaultstring|serialnumber|invalid|notspecified|unspecified|assettag|partnumber");
    private static final Set<String> PREFIXES = words("sn mb sys bsn board ppn pn asset ser serial oem no system chassis");
    private static final Set<String> DUMMIES = words("sernum assettagnum oemdefine partnum oemdefaultstring");
    private static final Pattern DISKS = Pattern.compile(
            "qm000[0-9]{2}|(?:lxd_|incus_).*|drive-(?:scsi|virtio|sata|ide|efidisk).*|nvme_card|nvme_card-pd|overlayblk|rootfs|"
                    + "(?:0google_persistentdisk_)?(?:google-)?(?:persistent-disk-|local-ssd-|local-nvme-ssd-).*");
    private static final Pattern MAC = Pattern.compile("[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}");
    private static final Set<String> MACS = words("""
            FE:FF:FF:FF:FF:FF 20:41:53:59:4E:FF 33:50:6F:45:30:30 50:50:54:50:30:30 24:B6:20:52:41:53 26:0F:20:52:41:53
            02:00:4E:43:50:49 02:80:37:EC:02:00 00:A0:C6:00:00:00 00:0B:CA:FE:00:00 00:20:07:01:16:06 00:0B:0E:0F:00:ED
            ED:0B:00:00:E0:00 00:E0:4C:53:44:58 04:4B:80:80:80:03 04:4B:80:80:80:04 04:4B:80:80:80:F0 0C:5B:8F:27:9A:64
            E2:E6:16:20:0A:35 D2:0A:2D:A0:04:BE D2:6B:25:2F:2C:E7 0A:00:27:00:00:00 00:50:56:C0:00:01 00:50:56:C0:00:02
            00:50:56:C0:00:08 52:54:00:12:34:56 02:FC:00:00:00:01 AA:FC:00:00:00:01 06:00:AC:10:00:02 5C:BB:F6:9E:EE:FA""");

    private Placeholder() {}

    private static Set<String> words(String s) {
        return Set.of(s.split("\\s+"));
    }

    /** Judges a value in its canonical spelling. */
    static boolean is(String kind, String spelled) {
        if (kind.equals("mac")) {
            return mac(spelled);
        }
        String low = spelled.toLowerCase(Locale.ROOT);
        return kind.equals("disk") && disk(low) || text(low);
    }

    private static String bare(String low) {
        return low.replaceAll("[^0-9a-z]", "");
    }

    private static boolean text(String low) {
        String bare = bare(low);
        return bare.isEmpty() || bare.chars().distinct().count() == 1 || bare.matches("[x0]*") || bare.matches("[01]*")
                || PHRASES.matcher(bare).find() || low.contains("o.e.m") || sequence(bare)
                || DUMMIES.contains(bare.replaceAll("[0-9]+$", "")) || TEXTS.contains(bare);
    }

    private static boolean sequence(String bare) {
        String digits = bare.replaceAll("^[a-z]+", "");
        String prefix = bare.substring(0, bare.length() - digits.length());
        int enough = 5;
        if (!prefix.isEmpty() && !PREFIXES.contains(prefix)) {
            if (prefix.length() > 1) {
                return false;
            }
            enough = 9;
        }
        int run = Math.max(run(digits, 1), run(digits, -1));
        String rest = digits.substring(run);
        return run >= enough && (rest.isEmpty() || run >= 9 && rest.matches("0*"));
    }

    private static int run(String s, int step) {
        for (int i = 1; i < s.length(); i++) {
            char was = s.charAt(i - 1);
            char now = s.charAt(i);
            boolean digit = was >= '0' && was <= '9' && now == '0' + (was - '0' + step + 10) % 10;
            boolean letter = step > 0 && (was == '9' && now == 'a' || was >= 'a' && was < 'f' && now == was + 1);
            if (!digit && !letter) {
                return i;
            }
        }
        return s.length();
    }

    private static boolean disk(String low) {
        String bare = bare(low);
        return DISKS.matcher(low).matches() || bare.length() >= 10 && bare.matches("0*[0-9]{2}");
    }

    private static boolean mac(String mac) {
        if (!MAC.matcher(mac).matches()) {
            return true;
        }
        int[] octets = Arrays.stream(mac.split(":")).mapToInt(p -> Integer.parseInt(p, 16)).toArray();
        boolean same = Arrays.stream(octets).distinct().count() == 1;
        boolean repeated = IntStream.of(0, 0x88, 0xff).anyMatch(n -> Arrays.stream(octets).filter(o -> o == n).count() >= 5);
        return same || repeated || MACS.contains(mac) || mac.startsWith("02:42:AC:11:00:") || (octets[0] & 1) == 1;
    }
}

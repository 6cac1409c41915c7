/* Which machine this is: what a process without administrator rights can read
 * of it, on Linux and Windows, and how that compares with a license. The rules
 * are those of the Go packages fingerprint and fingerprint/probe; the shared
 * vectors and recorded hosts hold them together. Unreadable is never "changed". */
#ifdef _WIN32
#define _WIN32_WINNT 0x0601 /* Windows 7 */
#elif !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "license_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#ifdef _WIN32
#include <winsock2.h>
#include <ws2ipdef.h>
/* after those */
#include <iphlpapi.h>
#include <netioapi.h>
#include <winioctl.h>
#else
#include <dirent.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#endif

enum { MAC, DISK, BOARD, CPU };

static int upper(int c) { return c >= 'a' && c <= 'z' ? c - 32 : c; }
static int lower(int c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }
static int is_digit(int c) { return c >= '0' && c <= '9'; }
static int is_letter(int c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
static int is_hex(int c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f'); }
static int value(int c) { return is_digit(c) ? c - '0' : lower(c) - 'a' + 10; }
static int begins(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }
static int within(const char *word, const char *list) { /* list: words, each between blanks */
    char key[LA_MAX_TEXT + 3];
    snprintf(key, sizeof key, " %s ", word);
    return strstr(list, key) != NULL;
}
static int only(const char *s, const char *set) { return s[strspn(s, set)] == 0; }

/* ---- Spelling ---- */

static size_t swap(const char *digits, char *out) { /* 16 hexadecimal digits by pairs, backwards */
    for (int i = 0; i < 8; i++) out[2 * i] = digits[14 - 2 * i], out[2 * i + 1] = digits[15 - 2 * i];
    out[16] = 0;
    return 16;
}

size_t la_spell(int part, const char *in, size_t n, char out[LA_MAX_TEXT + 1]) {
    static const char padding[] = " \t\n\v\f\r";
    size_t len = 0, digits = 0;
    char bare[20], last = 0;
    while (n && (in[0] == 0 || strchr(padding, in[0]))) in++, n--;
    while (n && (in[n - 1] == 0 || strchr(padding, in[n - 1]))) n--;
    for (size_t i = 0; i < n; i++) {
        char c = in[i];
        if (c == ' ' && last == ' ') continue;
        last = (char)(c == '|' || c == ',' || c < ' ' || c > '~' ? '_' : upper(c));
        if (len < LA_MAX_TEXT) out[len] = last;
        len++;
    }
    out[len < LA_MAX_TEXT ? len : LA_MAX_TEXT] = 0;
    if (part == MAC && !(len == 17 && out[2] == ':' && out[14] == ':') && len <= LA_MAX_TEXT) {
        size_t i = 0;
        for (; i < len && (strchr(":-.", out[i]) || (is_hex(out[i]) && digits < 13)); i++)
            if (is_hex(out[i])) bare[digits++] = out[i];
        if (i == len && digits == 12) {
            for (i = 0; i < 12; i += 2) memcpy(out + i / 2 * 3, bare + i, 2), out[i / 2 * 3 + 2] = ':';
            out[17] = 0;
            return 17;
        }
    }
    if (part == CPU && len == 23) {
        for (size_t i = 0; i < 23 && (i % 3 == 2 ? out[i] == ' ' : is_hex(out[i])); i++)
            if (i % 3 != 2) bare[digits++] = out[i];
        if (digits == 16) return swap(bare, out);
    }
    return len;
}

/* ---- Values that identify nobody. The lists are those of package fingerprint. ---- */

static size_t run(const char *s, int step) {
    size_t i = 1;
    if (!*s) return 0;
    for (; s[i]; i++) {
        int was = s[i - 1], now = s[i];
        if (is_digit(was) && is_digit(now) && now - '0' == (was - '0' + 10 + step) % 10) continue;
        if (!(step > 0 && ((was == '9' && now == 'a') || (was >= 'a' && was < 'f' && now == was + 1)))) break;
    }
    return i;
}

static int sequence(const char *bare) {
    static const char prefixes[] = " sn mb sys bsn board ppn pn asset ser serial oem no system chassis ";
    char prefix[LA_MAX_TEXT + 1];
    size_t n = 0, enough = 5;
    while (is_letter(bare[n])) n++;
    snprintf(prefix, sizeof prefix, "%.*s", (int)n, bare);
    if (n && !within(prefix, prefixes)) {
        if (n > 1) return 0;
        enough = 9;
    }
    const char *digits = bare + n;
    size_t up = run(digits, 1), down = run(digits, -1), most = up > down ? up : down;
    return most >= enough && (!digits[most] || (most >= 9 && only(digits + most, "0")));
}

static int text_placeholder(const char *low, const char *bare) {
    static const char texts[] = " none na nil null nullstring nostring empty blank void nothing unknown unknow unkn uknown undefined error reserved"
                                " notavailable notapplicable notpresent notprovided notsettable notset notsupported notsupportedbycpu doesnotexist"
                                " noassetinformation badindex outofspec nodimm noserial tbd tba todo 00h"
                                " sn serial serialno serialnum systemserialnumb oemserial pcaserial mbserial boardserial systemproductname"
                                " systemmanufacturer systemversion systemname systemsku chassisversion chassismanufacture chassismanufacturer"
                                " baseboardversion baseboardproductname baseboardmanufacturer sku skunumber type1productconfigid type1family"
                                " type2boardversion type2boardproductname smbiostype4partnumber mkfoemsmbiosdefaultstring"
                                " customer model vendor device generic manufacturer productname"
                                " oem dell eval iatpass square tulipcomputers default revx0x xxx123xaba 03142563 sn123456fvgv3i0b8o5n6n7k"
                                " 0123456789abcdef 123456789000 amazonec2 77837084326590858269328677"
                                " 03000200040005000006000700080009 00020003000400050006000700080009"
                                " 6ab5b300538d10149fb5b0684d007b53 00b3b56a8d5314109fb5b0684d007b53"
                                " 01010101010101010101010101010101 fefefefefefefefefefefefefefefefe"
                                " 123456781234567890abcddeefaabbcc 11111111222233334444555555555555 00112233445566778899aabbccddeeff ";
    static const char *const phrases[] = {"filledby", "fillby",       "tobefilled",  "byoem",    "defaultstring", "serialnumber",
                                          "invalid",  "notspecified", "unspecified", "assettag", "partnumber"};
    char stem[LA_MAX_TEXT + 1], first[2] = {bare[0], 0};
    if (only(bare, first) || only(bare, "x0") || only(bare, "01") || strstr(low, "o.e.m") || sequence(bare) || within(bare, texts)) return 1;
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (strstr(bare, phrases[i])) return 1;
    snprintf(stem, sizeof stem, "%s", bare);
    for (size_t n = strlen(stem); n && is_digit(stem[n - 1]); n--) stem[n - 1] = 0;
    return within(stem, " sernum assettagnum oemdefine partnum oemdefaultstring ");
}

static int disk_placeholder(const char *low, const char *bare) {
    const char *name = low, *drive = low + 6;
    size_t n = strlen(bare);
    name += begins(name, "0google_persistentdisk_") ? 23 : 0;
    name += begins(name, "google-") ? 7 : 0;
    if (begins(low, "qm000") && strlen(low) == 7 && is_digit(low[5]) && is_digit(low[6])) return 1;
    if (begins(low, "drive-") &&
        (begins(drive, "scsi") || begins(drive, "virtio") || begins(drive, "sata") || begins(drive, "ide") || begins(drive, "efidisk")))
        return 1;
    if (begins(low, "lxd_") || begins(low, "incus_") || begins(name, "persistent-disk-") || begins(name, "local-ssd-") || begins(name, "local-nvme-ssd-"))
        return 1;
    return within(low, " nvme_card nvme_card-pd overlayblk rootfs ") || (n >= 10 && strspn(bare, "0") >= n - 2 && only(bare, "0123456789"));
}

static int mac_placeholder(const char *mac) {
    static const char shared[] = " FE:FF:FF:FF:FF:FF 20:41:53:59:4E:FF 33:50:6F:45:30:30 50:50:54:50:30:30 24:B6:20:52:41:53 26:0F:20:52:41:53"
                                 " 02:00:4E:43:50:49 02:80:37:EC:02:00 00:A0:C6:00:00:00 00:0B:CA:FE:00:00 00:20:07:01:16:06 00:0B:0E:0F:00:ED"
                                 " ED:0B:00:00:E0:00 00:E0:4C:53:44:58 04:4B:80:80:80:03 04:4B:80:80:80:04 04:4B:80:80:80:F0 0C:5B:8F:27:9A:64"
                                 " E2:E6:16:20:0A:35 D2:0A:2D:A0:04:BE D2:6B:25:2F:2C:E7 0A:00:27:00:00:00 00:50:56:C0:00:01 00:50:56:C0:00:02"
                                 " 00:50:56:C0:00:08 52:54:00:12:34:56 02:FC:00:00:00:01 AA:FC:00:00:00:01 06:00:AC:10:00:02 5C:BB:F6:9E:EE:FA ";
    int octet[6], count[3] = {0, 0, 0}, equal = 0;
    if (strlen(mac) != 17) return 1;
    for (int i = 0; i < 6; i++) {
        if (!is_hex(mac[3 * i]) || !is_hex(mac[3 * i + 1]) || (i < 5 && mac[3 * i + 2] != ':')) return 1;
        octet[i] = value(mac[3 * i]) * 16 + value(mac[3 * i + 1]);
        count[0] += octet[i] == 0, count[1] += octet[i] == 0x88, count[2] += octet[i] == 0xff;
        equal += octet[i] == octet[0];
    }
    return equal == 6 || count[0] >= 5 || count[1] >= 5 || count[2] >= 5 || within(mac, shared) || begins(mac, "02:42:AC:11:00:") || (octet[0] & 1);
}

/* spelled is what la_spell wrote. */
int la_placeholder(int part, const char *spelled) {
    char low[LA_MAX_TEXT + 1], bare[LA_MAX_TEXT + 1];
    size_t n = 0, b = 0;
    if (part == MAC) return mac_placeholder(spelled);
    for (; spelled[n]; n++) {
        low[n] = (char)lower(spelled[n]);
        if (is_letter(low[n]) || is_digit(low[n])) bare[b++] = low[n];
    }
    low[n] = bare[b] = 0;
    return (part == DISK && disk_placeholder(low, bare)) || text_placeholder(low, bare);
}

/* ---- Comparison ---- */

static int enrolled_text(const la_enrolled *e, int part, const char *spelled) {
    char line[LA_MAX_TEXT + 64], hex[65];
    static const char *const kinds[] = {"mac", "disk", "board", "cpu"};
    uint8_t sum[32];
    int n = snprintf(line, sizeof line, "license-agent fingerprint v1\n%s\n%s\n", kinds[part], spelled);
    la_hmac_sha256(e->salt, line, (size_t)n, sum);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    for (size_t i = 0; i < e->n[part]; i++)
        if (memcmp(hex, e->hash[part][i], 64) == 0) return 1;
    return 0;
}

static const char *compare_part(const la_enrolled *e, int part, const la_part *now) {
    char spelled[LA_MAX_TEXT + 1], turned[17];
    int unread = now->unread, placeholders = 0, usable = 0;
    if (e->n[part] == 0) return "not-enrolled";
    if (now->state != LA_READ) return now->state == LA_ABSENT ? "absent" : now->state == LA_PLACEHOLDER ? "placeholder" : "unreadable";
    for (size_t i = 0; i < now->n; i++) {
        size_t n = la_spell(part, now->text[i], strlen(now->text[i]), spelled);
        if (n == 0) continue;
        if (la_placeholder(part, spelled)) {
            placeholders = 1;
            continue;
        }
        usable = 1;
        if (enrolled_text(e, part, spelled)) return "match";
        size_t digits = strspn(spelled, "0123456789ABCDEF");
        if (part == CPU && n == 16 && digits == 16 && swap(spelled, turned) && enrolled_text(e, part, turned)) return "match";
    }
    return unread ? "unreadable" : usable ? "changed" : placeholders ? "placeholder" : "absent";
}

static int percent(int share, int points) { return (share * points + 99) / 100; }

typedef struct {
    int enrolled, matched, unreadable, strong, strong_match, strong_lost, lost, required_lost, required_unread;
} tally;

static tally count(const la_enrolled *e, const char *const result[4]) {
    tally t;
    memset(&t, 0, sizeof t);
    for (int i = 0; i < 4; i++) {
        int weight = e->weight[i], required = e->required >> i & 1, strong = i != CPU && (weight > 0 || required);
        if (strcmp(result[i], "not-enrolled") == 0) continue;
        t.enrolled += weight, t.strong += strong;
        if (strcmp(result[i], "match") == 0) t.matched += weight, t.strong_match += strong;
        else if (strcmp(result[i], "unreadable") == 0) t.unreadable += weight, t.required_unread |= required;
        else t.lost |= weight > 0 || required, t.strong_lost += strong, t.required_lost |= required;
    }
    return t;
}

static const char *outcome(const la_enrolled *e, const tally *t) {
    int available = t->enrolled - t->unreadable;
    if (t->strong == 0) return "indeterminate";
    if (t->strong_match == 0) return t->strong_lost ? "different" : "indeterminate";
    if (t->required_lost) return "different";
    if (t->required_unread || available < percent(e->floor, t->enrolled)) return "indeterminate";
    if (t->strong_lost == 0 || t->matched >= percent(e->min, available)) return "same";
    return t->matched + t->unreadable >= percent(e->min, t->enrolled) ? "indeterminate" : "different";
}

void la_compare(const la_enrolled *e, const la_device *now, la_comparison *out) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 4; i++) out->result[i] = compare_part(e, i, &now->part[i]);
    tally t = count(e, out->result);
    out->outcome = outcome(e, &t);
    out->matched = t.matched, out->available = t.enrolled - t.unreadable, out->enrolled = t.enrolled;
    out->need = percent(e->min, out->available);
    out->strong_match = t.strong_match > 0, out->strong_changed = t.strong_lost > 0, out->drift = t.lost;
    if (strcmp(out->outcome, "same") != 0) return;
    int cheapest = e->weight[0] + e->weight[1] + e->weight[2] + e->weight[3];
    for (int gone = 1; gone < 16; gone++) { /* the cheapest set of matching parts whose loss changes the outcome */
        const char *after[4];
        int cost = 0, all = 1;
        for (int i = 0; i < 4; i++) {
            after[i] = out->result[i];
            if (gone >> i & 1) all &= strcmp(after[i], "match") == 0, cost += e->weight[i], after[i] = "changed";
        }
        tally u = count(e, after);
        if (all && cost < cheapest && strcmp(outcome(e, &u), "same") != 0) cheapest = cost;
    }
    out->left = cheapest > 1 ? cheapest - 1 : 0;
    if (out->left > t.matched - out->need) out->left = t.matched > out->need ? t.matched - out->need : 0;
}

/* ---- Reading. A part takes all usable candidates of the lowest rank that has any. ---- */

typedef struct {
    la_part *part;
    int kind, rank; /* rank of the texts held, -1 for none */
    int placeholder;
} choice;

static choice choose(la_device *d, int kind) {
    choice c = {&d->part[kind], kind, -1, 0};
    memset(c.part, 0, sizeof *c.part);
    return c;
}

static void offer(choice *c, const char *text, size_t n, int rank) {
    char spelled[LA_MAX_TEXT + 1];
    size_t len = la_spell(c->kind, text, n, spelled);
    if (n == 0) return;
    if (len > LA_MAX_TEXT || n > LA_MAX_TEXT) {
        c->part->unread = 1;
        return;
    }
    if (la_placeholder(c->kind, spelled)) {
        c->placeholder = 1;
        return;
    }
    if (c->rank >= 0 && rank > c->rank) return;
    if (rank < c->rank) c->part->n = 0;
    c->rank = rank;
    for (size_t i = 0; i < c->part->n; i++) { /* two ways to one disk */
        size_t same = 0;
        while (same < n && lower(c->part->text[i][same]) == lower(text[same])) same++;
        if (same == n && !c->part->text[i][n]) return;
    }
    if (c->part->n == LA_MAX_VALUES) {
        c->part->unread = 1;
        return;
    }
    memcpy(c->part->text[c->part->n], text, n);
    c->part->text[c->part->n++][n] = 0;
}

static void settle(choice *c) { c->part->state = c->part->n ? LA_READ : c->part->unread ? LA_UNREADABLE : c->placeholder ? LA_PLACEHOLDER : LA_ABSENT; }

/* Cuts the padding of a text of hardware; bytes stay as they are. */
static size_t clean(const char **text, size_t n) {
    static const char padding[] = " \t\r\n\v\f";
    while (n && ((*text)[0] == 0 || strchr(padding, (*text)[0]))) ++*text, n--;
    while (n && ((*text)[n - 1] == 0 || strchr(padding, (*text)[n - 1]))) n--;
    return n;
}

#if defined(__x86_64__) || defined(__i386__)
static void read_cpuid(choice *c) {
    unsigned a = 0, b = 0, cx = 0, d = 0;
    char id[17];
    if (!__get_cpuid(1, &a, &b, &cx, &d)) return;
    snprintf(id, sizeof id, "%08X%08X", d, a);
    offer(c, id, 16, 0);
}
#endif

/* The rank of an address: a locally administered one or one on USB comes later. -1 for none. */
static int mac_rank(const char *mac, int usb) {
    if (value(mac[1]) & 1) /* a group address */
        return -1;
    return (value(mac[1]) & 2 ? 1 : 0) + (usb ? 2 : 0);
}

#ifndef _WIN32

/* ---- Linux ---- */

#define ROOM 65536

typedef struct {
    const char *root; /* "" or a recorded machine, where an empty PATH.unreadable marks what could not be read */
    char *text;       /* of the last file, NUL-ended */
    size_t n;
} tree;

/* Reads a file: 1, 0 when absent, -1 when unreadable. */
static int load(tree *t, const char *path) {
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", t->root, path);
    FILE *f = fopen(full, "rbe");
    t->n = 0;
    t->text[0] = 0;
    if (f == NULL) {
        int absent = errno == ENOENT || errno == ENOTDIR;
        snprintf(full, sizeof full, "%s/%s.unreadable", t->root, path);
        return absent && !(*t->root && access(full, F_OK) == 0) ? 0 : -1;
    }
    t->n = fread(t->text, 1, ROOM - 1, f);
    int bad = ferror(f);
    t->text[t->n] = 0;
    fclose(f);
    return bad ? -1 : 1;
}

/* The trimmed text of a file, "" when there is none; valid until the next read. */
static char *line(tree *t, const char *dir, const char *name) {
    char path[1024];
    const char *s = t->text;
    snprintf(path, sizeof path, "%s%s", dir, name);
    if (load(t, path) != 1) {
        *t->text = 0;
        return t->text;
    }
    size_t n = clean(&s, t->n);
    memmove(t->text, s, n);
    t->text[t->n = n] = 0;
    return t->text;
}

static int exists(const tree *t, const char *dir, const char *name) {
    char full[1024];
    char target[2];
    snprintf(full, sizeof full, "%s/%s%s", t->root, dir, name);
    return access(full, F_OK) == 0 || readlink(full, target, 1) >= 0;
}

/* Where a link leads below the root, normalised and without the first slash; 0 if it is none. */
static int resolve(const tree *t, const char *dir, const char *name, char out[512]) {
    char full[1024], target[512], joined[1100];
    snprintf(full, sizeof full, "%s/%s/%s", t->root, dir, name);
    ssize_t n = readlink(full, target, sizeof target - 1);
    if (n < 0) return 0;
    target[n] = 0;
    snprintf(joined, sizeof joined, "%s/%s", *target == '/' ? "" : dir, target);
    size_t at = 0;
    for (char *p = strtok(joined, "/"); p; p = strtok(NULL, "/")) {
        size_t len = strlen(p);
        if (strcmp(p, "..") == 0) {
            while (at && out[--at] != '/')
                ;
        } else if (strcmp(p, ".") != 0) {
            if (at + len + 2 > 512) return 0;
            if (at) out[at++] = '/';
            memcpy(out + at, p, len);
            at += len;
        }
    }
    out[at] = 0;
    return 1;
}

static int address(char *s) {
    for (int i = 0; s[i]; i++) s[i] = (char)lower(s[i]);
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? s[i] != ':' : !is_hex(s[i])) return 0;
    return s[17] == 0;
}

/* Permanent addresses by netlink (IFLA_PERM_ADDRESS), where the kernel tells them. */
typedef struct {
    char name[32], mac[18];
} link_row;

static size_t links(link_row *rows, size_t room) {
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
        struct rtattr a;
        uint32_t mask;
    } ask;
    size_t n = 0;
    union {
        struct nlmsghdr h;
        char room[ROOM];
    } *buf = malloc(sizeof *buf);
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), last = s < 0 || buf == NULL;
    struct timeval wait = {1, 0};
    memset(&ask, 0, sizeof ask);
    ask.h.nlmsg_len = sizeof ask, ask.h.nlmsg_type = RTM_GETLINK, ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    ask.a.rta_len = 8, ask.a.rta_type = IFLA_EXT_MASK, ask.mask = 8; /* without statistics */
    if (!last && (setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0 || send(s, &ask, sizeof ask, 0) < 0)) last = 1;
    while (!last) {
        struct sockaddr_nl from;
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(s, buf, sizeof *buf, 0, (struct sockaddr *)&from, &size);
        if (got <= 0) break;
        int left = (int)got;
        for (struct nlmsghdr *h = &buf->h; from.nl_pid == 0 && NLMSG_OK(h, (unsigned)left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type != RTM_NEWLINK || n == room) {
                last = 1;
                break;
            }
            int size_left = (int)IFLA_PAYLOAD(h);
            link_row row = {"", ""};
            for (struct rtattr *a = IFLA_RTA(NLMSG_DATA(h)); RTA_OK(a, size_left); a = RTA_NEXT(a, size_left)) {
                const uint8_t *v = RTA_DATA(a);
                if (a->rta_type == IFLA_IFNAME) snprintf(row.name, sizeof row.name, "%.*s", (int)RTA_PAYLOAD(a), (const char *)v);
                if (a->rta_type == 54 && RTA_PAYLOAD(a) == 6 && (v[0] | v[1] | v[2] | v[3] | v[4] | v[5])) /* IFLA_PERM_ADDRESS */
                    snprintf(row.mac, sizeof row.mac, "%02x:%02x:%02x:%02x:%02x:%02x", v[0], v[1], v[2], v[3], v[4], v[5]);
            }
            if (row.mac[0]) rows[n++] = row;
        }
    }
    if (s >= 0) close(s);
    free(buf);
    return n;
}

/* The next name of a directory, NULL at the end or after 4096. */
static const char *entry(DIR *d, int *left) {
    struct dirent *e;
    while (d != NULL && (*left)-- > 0 && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.') return e->d_name;
    return NULL;
}

static DIR *list(const tree *t, const char *path) {
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", t->root, path);
    return opendir(full);
}

static void read_macs(tree *t, choice *c) {
    DIR *d = list(t, "sys/class/net");
    link_row *rows = *t->root ? NULL : malloc(1024 * sizeof *rows);
    size_t n = rows ? links(rows, 1024) : 0;
    int left = 4096;
    c->part->unread = d == NULL;
    for (const char *name; (name = entry(d, &left)) != NULL;) {
        char at[512], device[512], base[300], mac[18] = "";
        snprintf(base, sizeof base, "sys/class/net/%s", name);
        if (strcmp(line(t, base, "/type"), "1") != 0) /* not Ethernet */
            continue;
        if (!resolve(t, "sys/class/net", name, at) || !resolve(t, at, "device", device) || strstr(at, "/virtual/") || strstr(device, "/virtual/") ||
            exists(t, device, "/physfn"))
            continue;
        for (size_t i = 0; i < n; i++)
            if (strcmp(rows[i].name, name) == 0) memcpy(mac, rows[i].mac, 18);
        /* The current address only when the kernel says that it is the permanent
         * one: members of a bond show the bond's, and Wi-Fi a random one. */
        if (!*mac && address(line(t, at, "/bonding_slave/perm_hwaddr"))) memcpy(mac, t->text, 18);
        if (!*mac && strcmp(line(t, at, "/addr_assign_type"), "0") == 0 && address(line(t, at, "/address"))) memcpy(mac, t->text, 18);
        if (!*mac) c->part->unread = 1;
        else if (mac_rank(mac, strstr(device, "/usb") != NULL) >= 0) offer(c, mac, 17, mac_rank(mac, strstr(device, "/usb") != NULL));
    }
    if (d) closedir(d);
    free(rows);
    settle(c);
}

/* The serial of udev's database under the disk's own number. 1, 0, -1. */
static int udev_serial(tree *t, const char *at, const char **text, size_t *n) {
    /* ID_SERIAL_SHORT of a SCSI disk is its WWN, ID_SERIAL begins with the model. */
    static const char *const keys[] = {"\nE:ID_SCSI_SERIAL=", "\nE:ID_SERIAL_SHORT=", "\nE:SCSI_IDENT_SERIAL=", "\nE:ID_SERIAL="};
    char path[600];
    const char *number = line(t, at, "/dev");
    if (!is_digit(*number) || !only(number, "0123456789:") || strchr(number, ':') == NULL) return 0;
    snprintf(path, sizeof path, "run/udev/data/b%.32s", number);
    int got = load(t, path);
    for (int i = 0; got == 1 && i < 4; i++) {
        const char *p = strstr(t->text, keys[i]);
        if (p == NULL && begins(t->text, keys[i] + 1)) p = t->text - 1;
        if (p == NULL) continue;
        *text = p + strlen(keys[i]);
        if ((*n = clean(text, strcspn(*text, "\n"))) > 0) return 1;
    }
    return got < 0 ? -1 : 0;
}

/* The serial of a disk from sysfs, else from udev: 1, 0 when it has none, -1 when unreadable. */
static int disk_serial(tree *t, const char *name, const char *at, const char **text, size_t *n) {
    int mmc = begins(name, "mmcblk"), failed = 0;
    static const char *const sd[] = {"/device/vpd_pg80", NULL}, *const nvme[] = {"/device/serial", NULL};
    static const char *const card[] = {"/device/serial", "/device/cid", NULL}, *const other[] = {"/serial", "/device/serial", NULL};
    const char *const *place = begins(name, "sd") ? sd : begins(name, "nvme") ? nvme : mmc ? card : other;
    for (; *place; place++) {
        char path[600];
        snprintf(path, sizeof path, "%s%s", at, *place);
        int got = load(t, path);
        if (got <= 0) {
            failed |= got < 0;
            continue;
        }
        *text = t->text;
        *n = t->n;
        if (place == sd) {
            size_t size = t->n > 3 ? (size_t)(unsigned char)t->text[2] << 8 | (unsigned char)t->text[3] : 0;
            if (t->n < 4 || (unsigned char)t->text[1] != 0x80 || size > t->n - 4) {
                failed = 1;
                continue;
            }
            *text += 4, *n = size;
        }
        *n = clean(text, *n);
        if (*n && !(mmc && place == card && strspn(*text, "0x") >= *n)) return 1;
        if (!mmc) break; /* the file is there and empty: a negative answer */
    }
    int got = udev_serial(t, at, text, n);
    return got ? got : failed ? -1 : 0;
}

static int remote(const char *transport) { return strcmp(transport, "tcp") == 0 || strcmp(transport, "fc") == 0 || strcmp(transport, "rdma") == 0; }

/* A disk of the machine itself, not a card reader, partition of the network or loop. */
static int local_disk(tree *t, const char *name, const char *at) {
    static const char *const skip[] = {"/pseudo_", "/usb", "/session", "/rport-", "/devices/rbd/"};
    char full[514], above[512];
    int subsystem, left = 4096, far = 0;
    snprintf(full, sizeof full, "/%s", at);
    subsystem = strstr(full, "/virtual/nvme-subsystem/") != NULL;
    if (begins(name, "sr") || begins(name, "fd") || begins(name, "mtdblock") || begins(name, "ubiblock")) return 0;
    if ((begins(name, "mmcblk") && (strstr(name, "boot") || strstr(name, "rpmb"))) || (begins(name, "nvme") && name[4 + strspn(name + 4, "0123456789")] == 'c'))
        return 0;
    for (size_t i = 0; i < sizeof skip / sizeof *skip; i++)
        if (strstr(full, skip[i])) return 0;
    if ((strstr(full, "/virtual/") && !subsystem) || strcmp(line(t, at, "/removable"), "1") == 0 || strcmp(line(t, at, "/size"), "0") == 0) return 0;
    if (begins(name, "nvme") && remote(line(t, at, "/device/transport"))) return 0;
    if (subsystem) {
        snprintf(above, sizeof above, "%s", at);
        *strrchr(above, '/') = 0;
        DIR *d = list(t, above);
        for (const char *one; (one = entry(d, &left)) != NULL;) {
            char path[800];
            snprintf(path, sizeof path, "%s/%s", above, one);
            far |= begins(one, "nvme") && remote(line(t, path, "/transport"));
        }
        if (d) closedir(d);
    }
    const char *type = begins(name, "sd") ? line(t, at, "/device/type") : "";
    return !far && (!*type || strcmp(type, "0") == 0);
}

static void read_disks(tree *t, choice *c) {
    DIR *d = list(t, "sys/block");
    int left = 4096;
    c->part->unread = d == NULL;
    for (const char *name; (name = entry(d, &left)) != NULL;) {
        char at[512];
        const char *text;
        size_t n;
        if (!resolve(t, "sys/block", name, at) || !local_disk(t, name, at)) continue;
        int card = begins(name, "mmcblk") && strcmp(line(t, at, "/device/type"), "SD") == 0;
        int got = disk_serial(t, name, at, &text, &n);
        if (got > 0) offer(c, text, n, card);
        c->part->unread |= got < 0;
    }
    if (d) closedir(d);
    settle(c);
}

#define DMI "sys/class/dmi/id/"

/* The value of a key of the first processor in /proc/cpuinfo, NULL if there is none. */
static const char *cpuinfo(tree *t, const char *key, char *out, size_t size) {
    size_t n = strlen(key);
    *out = 0;
    line(t, "proc/cpuinfo", "");
    for (char *p = t->text; *p && *p != '\n'; p += strcspn(p, "\n"), p += *p == '\n')
        if (begins(p, key) && p[n + strspn(p + n, " \t")] == ':') {
            snprintf(out, size, "%.*s", (int)strcspn(p, "\n") - (int)(strchr(p, ':') + 1 - p), strchr(p, ':') + 1);
            return out;
        }
    return NULL;
}

static int is_virtual(tree *t) {
    static const char *const names[] = {DMI "product_name", DMI "sys_vendor", DMI "board_vendor", DMI "bios_vendor", DMI "product_version"};
    static const char *const known[] = {"KVM",
                                        "OpenStack",
                                        "KubeVirt",
                                        "Amazon EC2",
                                        "QEMU",
                                        "VMware",
                                        "VMW",
                                        "innotek GmbH",
                                        "VirtualBox",
                                        "Xen",
                                        "Bochs",
                                        "Parallels",
                                        "BHYVE",
                                        "Hyper-V",
                                        "Apple Virtualization",
                                        "Google Compute Engine",
                                        "Alibaba Cloud ECS",
                                        "HUAWEICLOUD",
                                        "RHEV Hypervisor",
                                        "oVirt"};
    char *flags = malloc(8192);
    int vm = 0, bit, cloud;
    int xen = *line(t, "sys/hypervisor/type", "") != 0;
    if (flags == NULL || (xen && strstr(line(t, "proc/xen/capabilities", ""), "control_d"))) {
        free(flags);
        return 0;
    }
    cpuinfo(t, "flags", flags, 8192);
    bit = strstr(flags, " hypervisor") != NULL;
    for (int i = 0; i < 5; i++) {
        line(t, names[i], "");
        for (size_t j = 0; j < sizeof known / sizeof *known; j++) vm |= begins(t->text, known[j]);
    }
    vm |= strcmp(line(t, DMI, "product_name"), "Virtual Machine") == 0 && strcmp(line(t, DMI, "sys_vendor"), "Microsoft Corporation") == 0;
    line(t, DMI, "sys_vendor");
    cloud = begins(t->text, "Amazon EC2") || begins(t->text, "Google");
    cloud |= begins(line(t, DMI, "product_name"), "Google Compute Engine");
    int bare = vm && *flags && !bit && cloud; /* the bare machines of these clouds carry the same texts */
    free(flags);
    return !bare && (bit || vm || xen || *line(t, "sys/firmware/devicetree/base/hypervisor/compatible", ""));
}

/* The first usable of board, system and chassis serial (for root only), on
 * virtual machines the UUID, the device tree, EC2's instance id. Those that
 * everybody may read count beside it as other spellings. */
static void read_board(tree *t, choice *c) {
    static const char *const chain[] = {DMI "board_serial",
                                        DMI "product_serial",
                                        DMI "chassis_serial",
                                        DMI "product_uuid",
                                        "sys/firmware/devicetree/base/serial-number",
                                        "sys/devices/soc0/serial_number",
                                        DMI "board_asset_tag"};
    int vm = is_virtual(t), ec2;
    ec2 = begins(line(t, DMI, "sys_vendor"), "Amazon EC2");
    ec2 |= begins(line(t, DMI, "board_vendor"), "Amazon EC2");
    for (int i = 0; i < 7; i++) {
        const char *text = t->text;
        int got = load(t, chain[i]);
        size_t n = clean(&text, t->n);
        if ((i == 3 && !vm) || (i < 4 && c->part->n) ||
            (i == 6 && (!ec2 || !begins(text, "i-") || n < 10 || n > 19 || strspn(text + 2, "0123456789abcdef") < n - 2)))
            continue;
        c->part->unread |= got < 0;
        if (got > 0) offer(c, text, n, 0);
    }
    if (c->part->n == 0 && exists(t, "sys/firmware/dmi/tables/DMI", "")) /* the table is there, for root */
        c->part->unread = 1;
    settle(c);
}

static void read_cpu(tree *t, choice *c) {
    const char *midr = line(t, "sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "");
    if (begins(midr, "0x") && strlen(midr) < 19 && midr[2] && only(midr + 2, "0123456789abcdefABCDEF")) {
        char id[17];
        snprintf(id, sizeof id, "%016llX", strtoull(midr, NULL, 16));
        offer(c, id, 16, 0);
    }
#if defined(__x86_64__) || defined(__i386__)
    if (!*t->root) read_cpuid(c);
#endif
    c->part->unread |= c->part->n == 0;
    settle(c);
}

static int own_namespace(const tree *t, const char *kind, unsigned initial) {
    char full[1024], target[64], want[64];
    snprintf(full, sizeof full, "%s/proc/self/ns/%s", t->root, kind);
    snprintf(want, sizeof want, "%s:[%u]", kind, initial);
    ssize_t n = readlink(full, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    return n > 0 && strcmp(target, want) != 0;
}

/* 0, 1 in a container, 2 in WSL. */
static int container(tree *t) {
    static const char *const engines[] = {"kubepods", "libpod-", "/docker/", "docker-", "/lxc/", "/lxc.payload", "cri-containerd", "/machine.slice/machine-"};
    char *p = t->text;
    for (line(t, "proc/sys/kernel/osrelease", ""); *p; p++) *p = (char)lower(*p);
    if (strstr(t->text, "microsoft") || strstr(t->text, "wsl")) return 2;
    if (*line(t, "run/systemd/container", "")) return 1;
    line(t, "proc/self/cgroup", "");
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (strstr(t->text, engines[i])) return 1;
    /* The marker files survive when an image becomes a machine's disk, so they
     * count only together with a namespace of our own (the numbers of the
     * initial ones are fixed in the kernel, include/linux/proc_ns.h). */
    if (!own_namespace(t, "pid", 4026531836u) && !own_namespace(t, "cgroup", 4026531835u)) return 0;
    if (exists(t, ".dockerenv", "") || exists(t, "run/.containerenv", "") || exists(t, "var/run/secrets/kubernetes.io", "")) return 1;
    int overlay = 0;
    line(t, "proc/self/mountinfo", "");
    for (p = strtok(t->text, "\n"); p; p = strtok(NULL, "\n")) {
        char point[8] = "";
        if (sscanf(p, "%*s %*s %*s %*s %7s", point) == 1 && strcmp(point, "/") == 0) overlay = strstr(p, " - overlay ") != NULL;
    }
    return overlay;
}

void la_observe(const char *root, la_device *d) {
    static void (*const readers[])(tree *, choice *) = {read_macs, read_disks, read_board, read_cpu};
    tree t = {root, malloc(ROOM), 0};
    memset(d, 0, sizeof *d);
    int boxed = t.text ? container(&t) : 0;
    d->container = boxed != 0;
    for (int i = 0; i < 4; i++) {
        choice c = choose(d, i);
        if (t.text) readers[i](&t, &c);
        else d->part[i].state = LA_UNREADABLE;
        /* The engine shows a part of the machine: not seeing something inside a
         * container says nothing about the machine. */
        if ((boxed && d->part[i].state == LA_ABSENT) || (boxed == 2 && i == MAC)) d->part[i].state = LA_UNREADABLE, d->part[i].n = 0;
    }
    free(t.text);
}

#else

/* ---- Windows ---- */

/* The device behind an interface (PCI\..., USB\...), "" if the registry does not say. */
static void pnp_instance(const GUID *g, char *out, DWORD size) {
    char path[200];
    snprintf(
        path, sizeof path,
        "SYSTEM\\CurrentControlSet\\Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}\\{%08lX-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X}\\Connection",
        (unsigned long)g->Data1, g->Data2, g->Data3, g->Data4[0], g->Data4[1], g->Data4[2], g->Data4[3], g->Data4[4], g->Data4[5], g->Data4[6], g->Data4[7]);
    if (RegGetValueA(HKEY_LOCAL_MACHINE, path, "PnpInstanceID", RRF_RT_REG_SZ, NULL, out, &size) != ERROR_SUCCESS) *out = 0;
}

static void read_macs(choice *c) {
    MIB_IF_TABLE2 *table = NULL;
    c->part->unread = GetIfTable2(&table) != NO_ERROR;
    for (ULONG i = 0; !c->part->unread && i < table->NumEntries && i < 4096; i++) {
        const MIB_IF_ROW2 *r = &table->Table[i];
        const UCHAR *v = r->PermanentPhysicalAddress;
        char mac[18], pnp[256] = "";
        if ((r->Type != IF_TYPE_ETHERNET_CSMACD && r->Type != IF_TYPE_IEEE80211) || r->PhysicalAddressLength != 6 || !(v[0] | v[1] | v[2] | v[3] | v[4] | v[5]))
            continue;
        /* False for VPN adapters, Bluetooth networks and virtual switches. */
        if (r->InterfaceAndOperStatusFlags.FilterInterface || !r->InterfaceAndOperStatusFlags.HardwareInterface ||
            !r->InterfaceAndOperStatusFlags.ConnectorPresent)
            continue;
        pnp_instance(&r->InterfaceGuid, pnp, sizeof pnp);
        if (begins(pnp, "ROOT\\") || begins(pnp, "SWD\\") || begins(pnp, "BTH") || begins(pnp, "{")) continue;
        snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", v[0], v[1], v[2], v[3], v[4], v[5]);
        if (mac_rank(mac, begins(pnp, "USB\\")) >= 0) offer(c, mac, 17, mac_rank(mac, begins(pnp, "USB\\")));
    }
    if (table) FreeMibTable(table);
    settle(c);
}

/* The controller's serial of an NVMe disk: UTF-16 after 8 bytes; Windows appends the namespace ("_0000", "_00000001."). */
static size_t adapter_serial(const unsigned char *b, DWORD n, char *out) {
    size_t len = 0, tail;
    for (DWORD i = 8; i + 1 < n && len < 128 && (b[i] || b[i + 1]); i += 2) out[len++] = (char)(b[i + 1] ? '_' : b[i]);
    out[len] = 0;
    char *cut = strrchr(out, '_');
    tail = cut ? strspn(cut + 1, "0123456789abcdefABCDEF") : 0;
    if (cut && tail >= 4 && tail <= 8 && (cut[1 + tail] == 0 || strcmp(cut + 1 + tail, ".") == 0)) len = (size_t)(cut - out);
    while (len && out[len - 1] == ' ') len--;
    return len;
}

static int query(HANDLE h, int property, unsigned char *out, DWORD size, DWORD *n) {
    STORAGE_PROPERTY_QUERY q;
    memset(&q, 0, sizeof q);
    q.PropertyId = (STORAGE_PROPERTY_ID)property;
    return DeviceIoControl(h, IOCTL_STORAGE_QUERY_PROPERTY, &q, sizeof q, out, size, n, NULL);
}

/* Reads PhysicalDriveN by handles without any access right, which needs no privilege. */
static void read_disks(choice *c) {
    for (int i = 0, missing = 0; i < 512 && missing < 8; i++) {
        unsigned char b[1024];
        char name[32], adapter[129];
        STORAGE_DEVICE_DESCRIPTOR d;
        DWORD n = 0;
        snprintf(name, sizeof name, "\\\\.\\PhysicalDrive%d", i);
        HANDLE h = CreateFileA(name, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
        if (h == INVALID_HANDLE_VALUE) {
            int absent = GetLastError() == ERROR_FILE_NOT_FOUND;
            missing = absent ? missing + 1 : 0;
            c->part->unread |= !absent;
            continue;
        }
        missing = 0;
        if (!query(h, StorageDeviceProperty, b, sizeof b, &n) || n < sizeof d) {
            c->part->unread = 1;
            CloseHandle(h);
            continue;
        }
        memcpy(&d, b, sizeof d);
        if (d.Size >= 36 && d.Size < n) n = d.Size;
        /* Not disks, removable ones, on USB, FireWire, the network; virtual ones, storage spaces. */
        int bus = (int)d.BusType, skip = (d.DeviceType != 0 && d.DeviceType != 7 && d.DeviceType != 14) || d.RemovableMedia;
        skip |= bus == 4 || bus == 6 || bus == 7 || bus == 9 || bus == 14 || bus == 15 || bus == 16 || bus == 20;
        if (!skip && d.SerialNumberOffset != 0 && d.SerialNumberOffset != 0xffffffff) {
            if (d.SerialNumberOffset < 36 || d.SerialNumberOffset >= n) c->part->unread = 1;
            else {
                const char *text = (const char *)b + d.SerialNumberOffset;
                const char *end = memchr(text, 0, n - d.SerialNumberOffset);
                size_t len = clean(&text, end ? (size_t)(end - text) : n - d.SerialNumberOffset);
                offer(c, text, len, bus == 12);
            }
        }
        if (!skip && bus == 17 && query(h, 57, b, sizeof b, &n)) /* StorageAdapterSerialNumberProperty */
            offer(c, adapter, adapter_serial(b, n, adapter), 0);
        CloseHandle(h);
    }
    settle(c);
}

typedef struct {
    char board[8][LA_MAX_TEXT + 1], system[LA_MAX_TEXT + 1], chassis[LA_MAX_TEXT + 1], vendor[LA_MAX_TEXT + 1], tag[LA_MAX_TEXT + 1];
    int boards, has_uuid, old;
    unsigned char uuid[16];
} smbios;

static void string_of(const unsigned char *s, const unsigned char *end, size_t at, char out[LA_MAX_TEXT + 1]) {
    int index = at < s[1] ? s[at] : 0;
    *out = 0;
    for (const unsigned char *p = s + s[1]; index > 0 && p < end && *p; index--) {
        const unsigned char *stop = memchr(p, 0, (size_t)(end - p));
        if (stop == NULL) return;
        if (index == 1) snprintf(out, LA_MAX_TEXT + 1, "%s", (const char *)p);
        p = stop + 1;
    }
}

/* Reads the raw table of GetSystemFirmwareTable: eight bytes of head, then structures. */
static void parse_smbios(const unsigned char *b, size_t n, smbios *out) {
    const unsigned char *p = b + 8, *end = b + n;
    out->old = b[1] < 2 || (b[1] == 2 && b[2] < 6);
    while (end - p >= 4 && p[1] >= 4 && p[1] <= end - p && p[0] != 127) {
        if (p[0] == 1) {
            string_of(p, end, 7, out->system);
            string_of(p, end, 4, out->vendor);
            if ((out->has_uuid = p[1] >= 24) != 0) memcpy(out->uuid, p + 8, 16);
        } else if (p[0] == 2 && out->boards < 8) {
            string_of(p, end, 7, out->board[out->boards++]);
            if (!*out->tag) string_of(p, end, 8, out->tag);
        } else if (p[0] == 3 && !*out->chassis) string_of(p, end, 7, out->chassis);
        for (p += p[1]; p + 1 < end && (p[0] || p[1]); p++) /* the strings end with two zero bytes */
            ;
        p += 2;
    }
}

static int is_virtual(void) {
#if defined(__x86_64__) || defined(__i386__)
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 31)) return 0;
    __cpuid(0x40000000, a, b, c, d);
    if (b == 0x7263694d) { /* "Micr": under Hyper-V the machine itself is a partition too */
        __cpuid(0x40000003, a, b, c, d);
        return !(b & 1);
    }
    return 1;
#else
    return 0;
#endif
}

static void first_of(choice *c, const char *text) {
    size_t n = clean(&text, strlen(text));
    if (c->part->n == 0) offer(c, text, n, 0);
}

static void read_board(choice *c) {
    unsigned char *b = malloc(1 << 20);
    smbios *s = calloc(1, sizeof *s);
    UINT n = b && s ? GetSystemFirmwareTable('R' << 24 | 'S' << 16 | 'M' << 8 | 'B', 0, b, 1 << 20) : 0;
    c->part->unread = n == 0 && GetLastError() != ERROR_NOT_FOUND && GetLastError() != ERROR_INVALID_FUNCTION;
    if (n > 8 && n <= 1 << 20) {
        char id[40];
        const unsigned char *u = s->uuid;
        parse_smbios(b, n, s);
        for (int i = 0; i < s->boards; i++) first_of(c, s->board[i]);
        first_of(c, s->system);
        first_of(c, s->chassis);
        int o = s->old ? 0 : 3, p = s->old ? 4 : 5, q = s->old ? 6 : 7, back = s->old ? 1 : -1;
        snprintf(id, sizeof id, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[o], u[o + back], u[o + 2 * back], u[o + 3 * back],
                 u[p], u[p + back], u[q], u[q + back], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
        if (s->has_uuid && is_virtual()) first_of(c, id);
        if (begins(s->vendor, "Amazon EC2") && begins(s->tag, "i-")) offer(c, s->tag, strlen(s->tag), 0);
    }
    free(b);
    free(s);
    settle(c);
}

void la_observe(const char *root, la_device *d) {
    (void)root; /* recorded machines are Linux ones */
    memset(d, 0, sizeof *d);
    for (int i = 0; i < 4; i++) {
        choice c = choose(d, i);
        if (i == MAC) read_macs(&c);
        else if (i == DISK) read_disks(&c);
        else if (i == BOARD) read_board(&c);
        else {
#if defined(__x86_64__) || defined(__i386__)
            read_cpuid(&c);
#endif
            c.part->unread |= c.part->n == 0;
            settle(&c);
        }
    }
}

#endif

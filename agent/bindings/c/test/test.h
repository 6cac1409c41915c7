/* What the test programs share. They include the source itself, to reach what
 * is between the files. Memory is not returned: the programs end soon. */
#include "../license_agent.c"

static int passed, failed;

static void result(int ok, const char *group, const char *name, const char *why) {
    passed += ok != 0;
    failed += ok == 0;
    if (!ok) printf("FAILED %s: %s: %s\n", group, name, why);
}

static str read_all(const char *repository, const char *path) {
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", repository, path);
    FILE *f = fopen(full, "rb");
    str out = {NULL, 0};
    if (f == NULL) {
        printf("FAILED: %s cannot be read\n", full);
        exit(1);
    }
    char *b = malloc((size_t)32 << 20);
    out.n = fread(b, 1, (size_t)32 << 20, f);
    out.s = b;
    fclose(f);
    const char *after = json_skip(out.s, out.s + out.n, 0);
    if (after == NULL) {
        printf("FAILED: %s is not JSON\n", full);
        exit(1);
    }
    return out;
}

/* The next entry of a list; *at begins with NULL. */
static int each(str list, const char **at, str *entry) {
    const char *end = list.s + list.n, *p = *at;
    if (list.n < 2 || *list.s != '[') return 0;
    p = json_space(p == NULL ? list.s + 1 : p, end);
    if (p < end && *p == ',') p = json_space(p + 1, end);
    if (p >= end || *p == ']') return 0;
    entry->s = p;
    *at = json_skip(p, end, 0);
    entry->n = (size_t)(*at - p);
    return 1;
}

/* A string decoded; empty when there is none. */
static str decoded(str v) {
    char *out = malloc(v.n + 8);
    long n = json_string(v, out, v.n + 8);
    str s = {out, n > 0 ? (size_t)n : 0};
    return s;
}
static const char *words(str object, const char *name) { return decoded(json_member(object, name)).s; }

static int64_t number(str v) {
    int64_t n = 0;
    for (size_t i = 0; i < v.n && digit(v.s[i]); i++) n = n * 10 + v.s[i] - '0';
    return v.n && *v.s == '-' ? -number((str){v.s + 1, v.n - 1}) : n;
}
static int64_t member_number(str o, const char *name) { return number(json_member(o, name)); }
static int truth(str o, const char *name) { return is(json_member(o, name), "true"); }

static str unhex(const char *s) {
    size_t n = strlen(s) / 2;
    char *out = malloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        sscanf(s + 2 * i, "%2x", &v);
        out[i] = (char)v;
    }
    str r = {out, n};
    return r;
}

/* An observation as the shared data write it. */
static void device_of(str o, la_device *d) {
    static const char *const kinds[] = {"mac", "disk", "board", "cpu"};
    memset(d, 0, sizeof *d);
    for (int i = 0; i < 4; i++) {
        la_part *p = &d->part[i];
        str c = json_member(o, kinds[i]), v, a;
        const char *state = words(c, "state"), *at = NULL, *in;
        p->state = strcmp(state, "ok") == 0            ? LA_READ
                   : strcmp(state, "absent") == 0      ? LA_ABSENT
                   : strcmp(state, "placeholder") == 0 ? LA_PLACEHOLDER
                                                       : LA_UNREADABLE;
        while (each(json_member(c, "rejected"), &at, &v)) p->unread |= strcmp(words(v, "state"), "unreadable") == 0;
        at = NULL;
        while (each(json_member(c, "values"), &at, &v)) {
            str t = decoded(json_member(v, "text"));
            if (t.n > LA_MAX_TEXT) {
                p->unread = 1; /* as a reader would say */
                continue;
            }
            copy(p->text[p->n++], LA_MAX_TEXT + 1, t);
            in = NULL;
            while (each(json_member(v, "alt"), &in, &a)) copy(p->text[p->n++], LA_MAX_TEXT + 1, decoded(a));
        }
    }
}

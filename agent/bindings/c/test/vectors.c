/* The shared vectors: license format, public signatures, fingerprint, recorded
 * hosts. Usage: vectors REPOSITORY [PROMISES-FILE] */
#include "test.h"

#ifndef _WIN32
#include <sys/wait.h>
#endif

static str DATA;

static int part_of(const char *kind) { return kind_of(text(kind)); }

static str input(str v) { /* "@name" stands for an entry of data */
    str s = decoded(v);
    return s.n && *s.s == '@' ? decoded(json_member(DATA, s.s + 1)) : s;
}

typedef struct {
    const char *code, *text, *text2, *state, *reason;
    str payload;
    int runs, expired;
    int64_t time;
} got;

static str payload_text(const payload *p) { return text(p->own); }

static const char *decide_vector(str v, got *g) {
    verifier *x = calloc(1, sizeof *x);
    str o = json_member(v, "options"), nonce = unhex(words(o, "nonce_hex"));
    uint8_t room[32] = {0};
    const char *bad[2] = {NULL, NULL}, *bad_anchor = read_anchor(input(json_member(v, "anchor")), &x->anchor);
    decision d[2];
    memset(d, 0, sizeof d);
    memcpy(room, nonce.s, nonce.n < 32 ? nonce.n : 32);
    question q = {words(o, "product"),
                  words(o, "issuer"),
                  member_number(o, "now"),
                  member_number(o, "tolerance"),
                  member_number(o, "min_keyset"),
                  is(json_member(v, "op"), "\"check\"") ? room : NULL,
                  member_number(o, "age_ms")};
    if (bad_anchor) return bad_anchor;
    if (q.nonce && nonce.n != 32) return "options"; /* this client draws its nonces itself */
    for (int i = 0; i < 2; i++) {                   /* what is remembered must not change any verdict */
        kept *k = NULL;
        bad[i] = decide(x, &q, input(json_member(v, "license")), input(json_member(v, "keyset")), input(json_member(v, "proof")), &k, &d[i]);
    }
    if (bad[0] != bad[1] && (!bad[0] || !bad[1] || strcmp(bad[0], bad[1]) != 0)) return "the second call says something else";
    if (bad[0] == NULL && (d[0].time != d[1].time || d[0].runs != d[1].runs || strcmp(d[0].state, d[1].state) != 0))
        return "the second call decides something else";
    g->state = d[0].state, g->reason = d[0].reason, g->runs = d[0].runs, g->time = d[0].time, g->expired = d[0].keyset_expired;
    return bad[0];
}

static const char *run_vector(str v, got *g) {
    const char *op = words(v, "op"), *bad;
    str in = json_member(v, "input_hex").n ? unhex(words(v, "input_hex")) : input(json_member(v, "input")), args[3], k = json_member(v, "key");
    const char *at = NULL;
    for (int i = 0; i < 3; i++)
        if (!each(json_member(v, "args"), &at, &args[i])) args[i] = text("");
    anchor *a = calloc(1, sizeof *a);
    keyset *ks = calloc(1, sizeof *ks), *prev = calloc(1, sizeof *prev);
    key *key_ = calloc(1, sizeof *key_);
    str alg = decoded(json_member(k, "alg")), pub = decoded(json_member(k, "pub"));
    if (strcmp(op, "check") == 0 || strcmp(op, "files") == 0) return decide_vector(v, g);
    if (strcmp(op, "time") == 0) {
        str t = json_member(v, "times");
        g->state =
            time_state(member_number(t, "nbf"), member_number(t, "ren"), member_number(t, "grc"), member_number(t, "exp"), member_number(t, "t"), &g->reason);
        return NULL;
    }
    if (strcmp(op, "verify") == 0) {
        str sig = unhex(decoded(args[1]).s);
        return read_key(alg, pub, key_) && sig.n == 64 && verify(key_, unhex(decoded(args[0]).s), (const uint8_t *)sig.s) ? NULL : "signature";
    }
    if (strcmp(op, "keyid") == 0) {
        char *id = malloc(100), *dev = malloc(100);
        if (!read_key(alg, pub, key_)) return "key";
        sprintf(id, "sha256:%s", key_->id);
        sprintf(dev, "dev:%s", key_->id);
        g->text = id, g->text2 = dev;
        return NULL;
    }
    if (strcmp(op, "pae") == 0) {
        str t = decoded(args[0]), p = decoded(args[1]);
        char *raw = malloc(t.n + p.n + 64), *out = malloc(2 * (t.n + p.n + 64));
        int n = sprintf(raw, "DSSEv1 %lu %s %lu ", (unsigned long)t.n, t.s, (unsigned long)p.n);
        memcpy(raw + n, p.s, p.n);
        hex((uint8_t *)raw, (size_t)n + p.n, out);
        g->text = out;
        return NULL;
    }
    if (strcmp(op, "hash") == 0) {
        char line[400], spelled[LA_MAX_TEXT + 1], *out = malloc(65);
        uint8_t sum[32];
        str value = decoded(args[2]);
        la_spell(part_of(decoded(args[1]).s), value.s, value.n, spelled);
        int n = snprintf(line, sizeof line, "license-agent fingerprint v1\n%s\n%s\n", decoded(args[1]).s, spelled);
        la_hmac_sha256((const uint8_t *)unhex(decoded(args[0]).s).s, line, (size_t)n, sum);
        hex(sum, 32, out);
        g->text = out;
        return NULL;
    }
    if (strcmp(op, "proof") == 0) {
        proof p;
        if (!read_key(alg, pub, key_)) return "signature";
        bad = open_proof(key_, in, &p);
        g->payload = bad ? text("") : payload_text(&p.p);
        return bad;
    }
    if ((bad = read_anchor(strcmp(op, "anchor") == 0 ? in : input(json_member(v, "anchor")), a)) != NULL || strcmp(op, "anchor") == 0) {
        g->payload = bad ? text("") : payload_text(&a->p);
        return bad;
    }
    if (strcmp(op, "keyset") == 0) {
        str before = input(json_member(v, "prev"));
        if (before.n && (bad = open_keyset(a, NULL, before, prev)) != NULL) return bad;
        bad = open_keyset(a, before.n ? prev : NULL, in, ks);
        g->payload = bad ? text("") : payload_text(&ks->p);
        return bad;
    }
    if ((bad = open_keyset(a, NULL, input(json_member(v, "keyset")), ks)) != NULL) return bad;
    if (strcmp(op, "license") == 0) {
        claims c;
        bad = open_license(ks, in, &c);
        g->payload = bad ? text("") : payload_text(&c.p);
        return bad;
    }
    notice n;
    bad = open_notice(ks, in, &n);
    g->payload = bad ? text("") : payload_text(&n.p);
    return bad;
}

static int equal(const char *have, str want) { return want.n == 0 || (have != NULL && strcmp(have, decoded(want).s) == 0); }

static int vectors(str list) {
    const char *at = NULL;
    int n = 0;
    for (str v; each(list, &at, &v);) {
        got g;
        memset(&g, 0, sizeof g);
        const char *name = words(v, "name"), *want = words(v, "want");
        if (strcmp(words(v, "op"), "request") == 0) continue; /* a program opens no requests: that is the merchant's side */
        const char *bad = run_vector(v, &g);
        str r = json_member(v, "result");
        int ok = strcmp(bad ? bad : "ok", want) == 0;
        if (ok && r.n) {
            ok = equal(g.text, json_member(r, "text")) && equal(g.text2, json_member(r, "text2")) && equal(g.state, json_member(r, "state")) &&
                 equal(g.state ? g.reason : NULL, json_member(r, "reason"));
            if (json_member(r, "payload").n) ok = ok && same(g.payload, decoded(json_member(r, "payload")));
            if (json_member(r, "time").n)
                ok = ok && g.time == member_number(r, "time") && g.runs == truth(r, "runs") && g.expired == truth(r, "keyset_expired");
        }
        result(ok, "vector", name, bad ? bad : "another result");
        n++;
    }
    return n;
}

static void enrolled_of(str preset, str then, const char *salt, la_enrolled *e) {
    static const char *const kinds[] = {"mac", "disk", "board", "cpu"};
    la_device *d = malloc(sizeof *d);
    int physical = strcmp(words(json_member(then, "env"), "kind"), "physical") == 0 || strcmp(words(json_member(then, "env"), "kind"), "") == 0;
    str p = json_member(preset, physical ? "phys" : "virt"), r;
    const char *at = NULL;
    memset(e, 0, sizeof *e);
    memcpy(e->salt, unhex(salt).s, 32);
    e->min = (int)member_number(p, "min"), e->floor = (int)member_number(p, "floor");
    while (each(json_member(p, "req"), &at, &r)) e->required |= 1 << part_of(decoded(r).s);
    device_of(then, d);
    for (int i = 0; i < 4; i++) {
        e->weight[i] = (int)member_number(json_member(p, "w"), kinds[i]);
        for (size_t j = 0; d->part[i].state == LA_READ && j < d->part[i].n && e->n[i] < 16; j++) {
            char spelled[LA_MAX_TEXT + 1], line[400], h[65];
            uint8_t sum[32];
            if (la_spell(i, d->part[i].text[j], strlen(d->part[i].text[j]), spelled) == 0 || la_placeholder(i, spelled)) continue;
            int n = snprintf(line, sizeof line, "license-agent fingerprint v1\n%s\n%s\n", kinds[i], spelled);
            la_hmac_sha256(e->salt, line, (size_t)n, sum);
            hex(sum, 32, h);
            memcpy(e->hash[i][e->n[i]++], h, 64);
        }
    }
    free(d);
}

static int fingerprints(str file, str presets) {
    static const char *const kinds[] = {"mac", "disk", "board", "cpu"};
    const char *at = NULL;
    char spelled[LA_MAX_TEXT + 1], name[32];
    int n = 0;
    for (str v; each(json_member(file, "canonical"), &at, &v); n++) {
        str in = json_member(v, "input_hex").n ? unhex(words(v, "input_hex")) : decoded(json_member(v, "input"));
        la_spell(2, in.s, in.n, spelled);
        result(strcmp(spelled, words(v, "output")) == 0, "canonical", words(v, "output"), spelled);
    }
    at = NULL;
    for (str v; each(json_member(file, "hash"), &at, &v); n++) {
        char line[400], h[65];
        uint8_t sum[32];
        str value = decoded(json_member(v, "value"));
        la_spell(part_of(words(v, "kind")), value.s, value.n, spelled);
        int size = snprintf(line, sizeof line, "license-agent fingerprint v1\n%s\n%s\n", words(v, "kind"), spelled);
        la_hmac_sha256((const uint8_t *)unhex(words(v, "salt")).s, line, (size_t)size, sum);
        hex(sum, 32, h);
        result(strcmp(h, words(v, "hash")) == 0, "hash", value.s, h);
    }
    at = NULL;
    for (str v; each(json_member(file, "placeholder"), &at, &v); n++) {
        str value = decoded(json_member(v, "value"));
        int kind = part_of(words(v, "kind"));
        la_spell(kind, value.s, value.n, spelled);
        result(la_placeholder(kind, spelled) == truth(v, "placeholder"), "placeholder", value.s, spelled);
    }
    at = NULL;
    la_device *d = malloc(sizeof *d);
    for (str v; each(json_member(file, "compare"), &at, &v); n++) {
        la_enrolled e;
        la_comparison c;
        enrolled_of(json_member(presets, words(v, "preset")), json_member(v, "then"), words(v, "salt"), &e);
        device_of(json_member(v, "now"), d);
        la_compare(&e, d, &c);
        str w = json_member(v, "want"), r = json_member(w, "results"), one;
        int ok = strcmp(c.outcome, words(w, "outcome")) == 0 && c.matched == member_number(w, "matched") && c.available == member_number(w, "available") &&
                 c.enrolled == member_number(w, "enrolled") && c.need == member_number(w, "need") && c.left == member_number(w, "left") &&
                 c.strong_match == truth(w, "strong_match") && c.strong_changed == truth(w, "strong_changed") && c.drift == truth(w, "drift");
        const char *in = NULL;
        for (int i = 0; i < 4 && r.n && *r.s == '{'; i++) ok = ok && strcmp(c.result[i], words(r, kinds[i])) == 0;
        while (r.n && *r.s == '[' && each(r, &in, &one)) ok = ok && strcmp(c.result[part_of(words(one, "kind"))], words(one, "result")) == 0;
        snprintf(name, sizeof name, "%s left %d", c.outcome, c.left);
        result(ok, "compare", words(v, "name"), name);
    }
    free(d);
    return n;
}

#ifndef _WIN32
static void make_way(const char *path) {
    char p[2048];
    snprintf(p, sizeof p, "%s", path);
    for (char *s = strchr(p + 1, '/'); s; s = strchr(s + 1, '/')) {
        *s = 0;
        mkdir(p, 0700);
        *s = '/';
    }
}

/* A name of an object's members in turn. */
static int each_member(str object, const char **at, str *name, str *value) {
    const char *end = object.s + object.n, *p = json_space(*at == NULL ? object.s + 1 : *at, end);
    if (p < end && *p == ',') p = json_space(p + 1, end);
    if (p >= end || *p == '}') return 0;
    const char *after = json_skip(p, end, 0);
    *name = (str){p, (size_t)(after - p)};
    p = json_space(json_space(after, end) + 1, end);
    *at = json_skip(p, end, 0);
    *value = (str){p, (size_t)(*at - p)};
    return 1;
}

static int same_values(const la_part *p, str want) {
    const char *at = NULL;
    size_t n = 0;
    for (str v; each(want, &at, &v); n++) {
        int found = 0;
        for (size_t i = 0; i < p->n; i++) found |= strcmp(p->text[i], decoded(v).s) == 0;
        if (!found) return 0;
    }
    return n == p->n;
}

static int hosts(str list) {
    const char *at = NULL;
    int n = 0;
    la_device *d = malloc(sizeof *d);
    for (str h; each(list, &at, &h); n++) {
        char root[] = "/tmp/license-agent-hostXXXXXX", path[2048], command[100];
        const char *in = NULL;
        str name, value;
        if (mkdtemp(root) == NULL) exit(1);
        while (each_member(json_member(h, "files"), &in, &name, &value)) {
            str b = decoded(value);
            uint8_t *raw = malloc(b.n + 1);
            long size = base64(b, raw, b.n + 1);
            snprintf(path, sizeof path, "%s/%s", root, decoded(name).s);
            make_way(path);
            FILE *f = fopen(path, "wb");
            if (f == NULL || size < 0) exit(1);
            fwrite(raw, 1, (size_t)size, f);
            fclose(f);
        }
        in = NULL;
        while (each_member(json_member(h, "links"), &in, &name, &value)) {
            snprintf(path, sizeof path, "%s/%s", root, decoded(name).s);
            make_way(path);
            if (symlink(decoded(value).s, path) != 0) exit(1);
        }
        la_observe(root, d);
        int ok = same_values(&d->part[0], json_member(h, "mac")) && same_values(&d->part[1], json_member(h, "disk")) && d->container == truth(h, "container");
        if (truth(h, "firmware")) ok = ok && same_values(&d->part[2], json_member(h, "board"));
        snprintf(path, sizeof path, "%s | %s | %s", d->part[0].text[0], d->part[1].text[0], d->part[2].text[0]);
        result(ok, "host", words(h, "name"), path);
        snprintf(command, sizeof command, "rm -rf %s", root);
        if (system(command) != 0) exit(1);
    }
    free(d);
    return n;
}
#endif

/* Control: without the checks of this client the libraries say yes to what must be refused. */
static int control(void) {
    uint8_t weak[32] = {1}, sig[64] = {1};
    return la_ed25519_verify(sig, "any message", 11, weak); /* R the neutral element, S zero */
}

int main(int argc, char **argv) {
    const char *repository = argc > 1 ? argv[1] : "../../..";
    str v = read_all(repository, "activation/license/testdata/vectors.json"), w = read_all(repository, "agent/bindings/testdata/wycheproof.json");
    str f = read_all(repository, "fingerprint/testdata/vectors.json"), talk = read_all(repository, "agent/bindings/testdata/conversation.json");
    DATA = json_member(v, "data");
    int own = vectors(json_member(v, "vectors")), wrong = failed, public_ = vectors(json_member(w, "vectors")),
        prints = fingerprints(f, json_member(talk, "presets"));
    wrong = failed;
    result(control(), "control", "the library alone accepts a key of small order", "it refuses");
    result(own >= 550 && public_ >= 351 && prints >= 150, "numbers", "of cases", "too few");
#ifndef _WIN32
    str h = read_all(repository, "agent/bindings/testdata/hosts.json");
    int machines = hosts(h);
    la_device *d = malloc(2 * sizeof *d);
    la_observe("", &d[0]);
    la_observe("", &d[1]);
    result(memcmp(&d[0], &d[1], sizeof *d) == 0, "this machine", "two readings", "differ");
#else
    int machines = 0;
    la_device *d = malloc(2 * sizeof *d);
    la_observe("", &d[0]);
    la_observe("", &d[1]);
    result(memcmp(&d[0], &d[1], sizeof *d) == 0, "this machine", "two readings", "differ");
    for (int i = 0; i < 4; i++)
        printf("part %d: state %d, %u values, unread %d, %s\n", i, (int)d->part[i].state, (unsigned)d->part[i].n, d->part[i].unread, d->part[i].text[0]);
#endif
    printf("count license %d\ncount signatures %d\ncount fingerprint %d\ncount hosts %d\n", own, public_, prints, machines);
    printf("promise P10|C: %d license vectors and %d public signatures, %d other verdicts|Ed25519 code alone, without the check of the key, accepts %d of 1 "
           "signature that fits any message\n",
           own, public_, wrong, control());
    printf("c: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

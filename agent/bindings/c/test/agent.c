/* Genuine and fake agents on a real socket. Usage: agent REPOSITORY */
#include "test.h"

#include <pthread.h>
#include <sys/wait.h>

void la_ed25519_create_keypair(unsigned char *pub, unsigned char *secret, const unsigned char *seed);
void la_ed25519_sign(unsigned char *sig, const unsigned char *msg, size_t n, const unsigned char *pub, const unsigned char *secret);

#define PROOF_TYPE "application/vnd.license-agent.proof.v1+json"

static str TALK, DATA, FIRST; /* FIRST is the genuine check */
static int64_t START;

static char *encode(const void *in, size_t n) {
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *b = in;
    char *out = malloc(n * 4 / 3 + 8), *o = out;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)b[i] << 16 | (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0) | (i + 2 < n ? b[i + 2] : 0);
        for (size_t j = 0; j < 4; j++) *o++ = j > n - i ? '=' : set[v >> (18 - 6 * j) & 63];
    }
    *o = 0;
    return out;
}

static str data(const char *name) { return decoded(json_member(DATA, name)); }

/* The proof that a side in possession of the named key makes. */
static str seal(str p, const char *nonce64, int reread) {
    if (p.n == 0) return text("");
    if (json_member(p, "data").n) return data(words(p, "data"));
    uint8_t nonce[32], pub[32], secret[64], sig[64];
    char sha[65], *payload_ = malloc(1024), *message = malloc(2048), *out = malloc(4096);
    str lic = data(words(p, "license")), seed = unhex(words(json_member(TALK, "seeds"), words(p, "key")));
    str missing = truth(p, "late") && !reread ? text("") : json_member(p, "missing");
    char list[100] = "[", *to = list + 1;
    for (size_t i = 1; i < missing.n; i++) /* without the white space */
        if (!strchr(" \n", missing.s[i])) *to++ = missing.s[i];
    if (missing.n == 0) *to++ = ']';
    *to = 0;
    base64(text(nonce64), nonce, 32);
    if (truth(p, "flip")) nonce[0] ^= 1;
    la_ed25519_create_keypair(pub, secret, (const uint8_t *)seed.s);
    la_sha256(lic.s, lic.n, sig);
    hex(sig, 32, sha);
    int n = sprintf(
        payload_, "{\"v\":1,\"nonce\":\"%s\",\"prod\":\"%s\",\"sha\":\"%s\",\"phase\":\"%s\",\"runs\":%s,\"missing\":%s,\"time\":%lld,\"boot\":\"boot-1\"}",
        encode(nonce, 32), words(p, "product"), sha, words(p, "phase"), truth(p, "runs") ? "true" : "false", list, (long long)member_number(p, "time"));
    int m = sprintf(message, "DSSEv1 %d %s %d %s", (int)strlen(PROOF_TYPE), PROOF_TYPE, n, payload_);
    la_ed25519_sign(sig, (uint8_t *)message, (size_t)m, pub, secret);
    key k;
    read_key(text("ed25519"), text(encode(pub, 32)), &k);
    m = sprintf(out, "{\"payloadType\":\"%s\",\"payload\":\"%s\",\"signatures\":[{\"keyid\":\"sha256:%s\",\"sig\":\"%s\"}]}", PROOF_TYPE,
                encode(payload_, (size_t)n), k.id, encode(sig, 64));
    return (str){out, (size_t)m};
}

/* What the answering side of a case sends as body. */
static str body_of(str c, const char *keyset_, const char *nonce64, int reread, int *status) {
    *status = json_member(c, "status").n ? (int)member_number(c, "status") : 200;
    if (json_member(c, "raw").n) return decoded(json_member(c, "raw"));
    str lic = data(words(c, "license")), ks = data(words(c, keyset_)), pf = seal(json_member(c, "proof"), nonce64, reread);
    char *out = malloc(lic.n + ks.n + pf.n + 65536);
    int n = sprintf(out,
                    "{\"license\":\"%s\",\"keyset\":\"%s\",\"proof\":\"%s\",\"verdict\":{\"phase\":\"active\",\"runs\":true,\"message\":\"Said by the "
                    "agent.\",\"flags\":[\"drift\"]}}",
                    encode(lic.s, lic.n), encode(ks.s, ks.n), encode(pf.s, pf.n));
    return (str){out, (size_t)n};
}

/* Listens as the agent would, in a private directory. */
typedef struct {
    char dir[40], path[60];
    int listener, requests, connections, hang, drip;
    int delay_ms; /* the first answer comes so much later, and no other */
    char target[8][128], asked[8][512];
    str check; /* answers as this case says */
    str seat;  /* what the request for a seat is answered with */
    int seat_status;
    str say;     /* or exactly this, and then silence or the end */
    str said[8]; /* or these bodies in turn; an empty one is status 500 */
    pthread_t thread;
} agent;

static void serve(agent *a, int fd) {
    char in[4096];
    for (;;) {
        size_t n = 0;
        char *end = NULL;
        int status = 200;
        str body = {NULL, 0};
        while (end == NULL || n < (size_t)(end + 4 - in) + (strstr(in, "Content-Length: ") ? (size_t)atoi(strstr(in, "Content-Length: ") + 16) : 0)) {
            ssize_t got = recv(fd, in + n, sizeof in - 1 - n, 0);
            if (got <= 0) return;
            in[n += (size_t)got] = 0;
            end = strstr(in, "\r\n\r\n");
        }
        int i = a->requests < 7 ? a->requests : 7;
        if (a->delay_ms && a->requests > 0) {
            a->requests++;
            while (recv(fd, in, sizeof in, 0) > 0)
                ;
            return;
        }
        if (a->delay_ms) poll(NULL, 0, a->delay_ms);
        sscanf(in, "%*s %127s", a->target[i]);
        snprintf(a->asked[i], sizeof a->asked[i], "%.511s", end + 4);
        if (a->say.s != NULL) {
            a->requests++;
            for (size_t at = 0; a->drip && at < a->say.n; at++) {
                struct timespec pause = {0, 10000000};
                if (send(fd, a->say.s + at, 1, MSG_NOSIGNAL) != 1) return;
                nanosleep(&pause, NULL);
            }
            for (size_t at = 0; !a->drip && at < a->say.n;) {
                ssize_t done = send(fd, a->say.s + at, a->say.n - at, MSG_NOSIGNAL);
                if (done <= 0) return;
                at += (size_t)done;
            }
            if (a->hang) /* until the program hangs up */
                while (recv(fd, in, sizeof in, 0) > 0)
                    ;
            return;
        }
        if (a->seat.s != NULL && strcmp(a->target[i], "/v1/seats") == 0) body = a->seat, status = a->seat_status;
        else if (a->check.s != NULL)
            body = body_of(a->check, a->requests == 0 && json_member(a->check, "first").n ? "first" : "keyset", words(text(end + 4), "nonce"),
                           truth(text(end + 4), "reread"), &status);
        else if ((body = a->said[i]).n == 0) status = 500, body = text("{}");
        a->requests++;
        char *out = malloc(body.n + 200);
        int m = sprintf(out, "HTTP/1.1 %d Said\r\nContent-Type: application/json\r\nContent-Length: %u\r\n\r\n", status, (unsigned)body.n);
        memcpy(out + m, body.s, body.n);
        if (send(fd, out, (size_t)m + body.n, MSG_NOSIGNAL) < 0) return;
        free(out);
    }
}

static void *run(void *p) {
    agent *a = p;
    for (int fd; (fd = accept(a->listener, NULL, NULL)) >= 0;) {
        a->connections++;
        serve(a, fd);
        close(fd);
    }
    return NULL;
}

/* Serves each connection of its own, as a seat stays open while others ask. */
static void *serve_one(void *p) {
    agent *a = ((agent **)p)[0];
    int fd = (int)(intptr_t)((void **)p)[1];
    serve(a, fd);
    close(fd);
    return NULL;
}

static void *run_many(void *p) {
    agent *a = p;
    for (int fd; (fd = accept(a->listener, NULL, NULL)) >= 0;) {
        void **one = malloc(2 * sizeof *one);
        pthread_t t;
        one[0] = a, one[1] = (void *)(intptr_t)fd;
        a->connections++;
        pthread_create(&t, NULL, serve_one, one);
        pthread_detach(t);
    }
    return NULL;
}

static agent *start(void) {
    agent *a = calloc(1, sizeof *a);
    struct sockaddr_un to;
    strcpy(a->dir, "/tmp/license-agentXXXXXX");
    if (mkdtemp(a->dir) == NULL) exit(1);
    snprintf(a->path, sizeof a->path, "%s/a.sock", a->dir);
    memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;
    strcpy(to.sun_path, a->path);
    a->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(a->listener, (struct sockaddr *)&to, sizeof to) != 0 || listen(a->listener, 16) != 0) exit(1);
    return a;
}

static agent *begin(agent *a) {
    pthread_create(&a->thread, NULL, run, a);
    return a;
}

static void stop(agent *a) {
    char command[100];
    shutdown(a->listener, SHUT_RDWR);
    pthread_join(a->thread, NULL);
    close(a->listener);
    snprintf(command, sizeof command, "rm -rf %s", a->dir);
    if (system(command) != 0) exit(1);
}

/* The clocks and the machine of a case. */
typedef struct {
    str observe, before;
    int64_t wall, mono, age;
    int calls, reads;
} world;

static void clock_of(void *user, int64_t *utc, int64_t *mono) {
    world *w = user;
    if (++w->calls % 2 == 0) w->mono += w->age;
    *utc = w->wall, *mono = w->mono;
}

static void observe_of(void *user, la_device *out) {
    world *w = user;
    device_of(w->reads++ == 0 && w->before.n ? w->before : w->observe, out);
}

static world world_of(str c) {
    world w = {json_member(c, "observe"), json_member(c, "before"), START + member_number(c, "late"), 100000, member_number(c, "age_ms"), 0, 0};
    if (w.observe.n == 0) w.observe = json_member(FIRST, "observe");
    return w;
}

static license_agent *checker(const char *path, world *w, la_options *o, la_error *e) {
    str a = decoded(json_member(TALK, "anchor"));
    la_options own;
    memset(&own, 0, sizeof own);
    if (o == NULL) o = &own;
    o->socket = path, o->clock = clock_of, o->observe = observe_of, o->user = w;
    return la_new(a.s, a.n, o, e);
}

static la_verdict V;

/* What a support engineer needs: a sentence always, the next step when this side found the error. */
static int sentences(const la_error *e) { return *e->message && (*e->hint || strncmp(e->code, "agent-", 6) != 0); }

/* The sentences, and the very one of this cause. */
static int says(const la_error *e, str want) {
    return sentences(e) && (json_member(want, "message").n == 0 || strcmp(e->message, words(want, "message")) == 0);
}

/* The words of a "no" that the client has to find. */
static int no_words(str want) {
    return json_member(want, "message").n == 0 || (strcmp(V.message, words(want, "message")) == 0 && strcmp(V.next_step, words(want, "next_step")) == 0);
}

/* A closed connection leaves no hanging server: freed before the agent stops. */
static int check_case(str c) {
    world w = world_of(c);
    agent *a = start();
    const char *name = words(c, "name");
    int fooled = 0;
    la_error e;
    a->check = c;
    license_agent *la = checker(begin(a)->path, &w, NULL, &e);
    for (int i = 0; i < 2; i++) { /* the second time license and key set are remembered */
        la_status s = la_check(la, words(TALK, "product"), &V, &e);
        int ok, before = i == 0 && json_member(c, "first").n;
        str want = json_member(c, before ? "want_first" : "want");
        if (s != LA_OK)
            ok = strcmp(e.code, words(want, "code")) == 0 && (json_member(want, "cause").n == 0 || strcmp(e.cause, words(want, "cause")) == 0) &&
                 says(&e, want) && !V.runs;
        else
            ok = json_member(want, "code").n == 0 && V.runs == truth(want, "runs") && strcmp(V.phase, words(want, "phase")) == 0 &&
                 strcmp(V.reason, words(want, "reason")) == 0 && V.keyset == member_number(want, "keyset") &&
                 strcmp(V.device.outcome, words(want, "outcome")) == 0 && no_words(want);
        fooled |= s == LA_OK && V.runs && !before;
        result(ok, "check", name, s != LA_OK ? e.code : V.phase);
    }
    la_free(la);
    stop(a);
    int again = (int)member_number(c, "again"), rereads = 0, repeated = 0;
    for (int i = 0; i < a->requests; i++) {
        rereads += truth(text(a->asked[i]), "reread");
        for (int j = 0; j < i; j++) repeated |= strcmp(words(text(a->asked[i]), "nonce"), words(text(a->asked[j]), "nonce")) == 0;
    }
    result(a->requests == 2 + again && rereads == again && !repeated && strcmp(a->target[1], "/v1/check") == 0 &&
               strcmp(words(text(a->asked[0]), "issuer"), "acme") == 0,
           "asked", name, a->asked[0]);
    return fooled;
}

static void file_case(str c) {
    world w = world_of(c);
    la_error e;
    license_agent *la = checker("/nowhere", &w, NULL, &e);
    str f = decoded(json_member(c, "file")), want = json_member(c, "want");
    la_status s = la_check_files(la, words(c, "product"), f.s, f.n, &V, &e);
    int ok = s != LA_OK ? strcmp(e.code, words(want, "code")) == 0 && (json_member(want, "cause").n == 0 || strcmp(e.cause, words(want, "cause")) == 0) &&
                              says(&e, want)
                        : json_member(want, "code").n == 0 && V.runs == truth(want, "runs") && strcmp(V.phase, words(want, "phase")) == 0 &&
                              strcmp(V.reason, words(want, "reason")) == 0 && no_words(want);
    result(ok, "file", words(c, "name"), s != LA_OK ? e.cause : V.phase);
    la_free(la);
}

static void endpoint_case(str c) {
    world w = world_of(FIRST);
    agent *a = start();
    str say = decoded(json_member(c, "say"));
    size_t fill = (size_t)member_number(c, "fill");
    char *all = malloc(say.n + fill + 1);
    la_options o;
    la_error e;
    memcpy(all, say.s, say.n);
    memset(all + say.n, *words(c, "with") ? *words(c, "with") : 'x', fill);
    a->say = (str){all, say.n + fill};
    a->hang = truth(c, "hang");
    memset(&o, 0, sizeof o);
    o.timeout_ms = strcmp(words(c, "want"), "agent-timeout") == 0 ? 400 : 20000;
    license_agent *la = checker(begin(a)->path, &w, &o, &e);
    int64_t from = now_ms();
    la_status s = la_check(la, "studio", &V, &e);
    result(s != LA_OK && strcmp(e.code, words(c, "want")) == 0 && sentences(&e) && now_ms() - from < 20000, "endpoint", words(c, "name"), e.code);
    la_free(la);
    stop(a);
}

static void slow_case(const char *repository, str c) {
    str said, list = json_member(TALK, "checks");
    const char *at = NULL;
    la_options o;
    la_error e;
    la_seat *seat;
    while (each(list, &at, &said) && strcmp(words(said, "name"), words(c, "answer")) != 0)
        ;
    world w = world_of(said);
    agent *a = start();
    a->check = said, a->seat = read_all(repository, "agent/api/testdata/seat-answer.json"), a->seat_status = 200;
    a->delay_ms = (int)member_number(c, "delay_ms");
    memset(&o, 0, sizeof o);
    o.timeout_ms = (int)member_number(c, "timeout_ms");
    license_agent *la = checker(a->path, &w, &o, &e);
    pthread_create(&a->thread, NULL, run_many, a);
    memset(&e, 0, sizeof e);
    int64_t from = now_ms();
    if (strcmp(words(c, "call"), "check") == 0) la_check(la, "studio", &V, &e);
    else la_seat_take(la, "studio", NULL, 0, &seat, &V, &e);
    int64_t took = now_ms() - from;
    result(strcmp(e.code, words(c, "want")) == 0 && a->requests == 2 && took < member_number(c, "at_most_ms"), "slow", words(c, "name"), e.code);
    la_free(la);
    stop(a);
}

static const char *code(const char *path, la_options *o) {
    static la_error e;
    world w = world_of(FIRST);
    license_agent *la = checker(path, &w, o, &e);
    if (la == NULL) return e.code;
    la_status s = la_check(la, "studio", &V, &e);
    la_free(la);
    return s == LA_OK ? "" : sentences(&e) ? e.code : "no sentences";
}

static void gives(const char *name, const char *have, const char *want) { result(strcmp(have, want) == 0, "behaviour", name, have); }

static void behaviour(const char *repository) {
    world w = world_of(FIRST);
    agent *a = start();
    la_error e;
    char path[100];
    a->check = FIRST;
    license_agent *la = checker(begin(a)->path, &w, NULL, &e);
    for (int i = 0; i < 5; i++) la_check(la, "studio", &V, &e);
    result(a->connections == 1 && w.reads == 1, "behaviour", "one connection and one reading", "more");
    result(la_has(&V, "mesh") && !la_has(&V, "none") && la_limit(&V, "max-projects") == 10 && la_limit(&V, "none") == -1, "behaviour", "features and limits",
           "others");
    result(strcmp(V.edition, "pro") == 0 && V.seats == 3 && strcmp(V.license, "lic-desk") == 0 && strcmp(V.message, "Said by the agent.") == 0 &&
               V.n_flags == 1 && strcmp(V.flags[0], "drift") == 0 && V.expires == START + 365 * DAY,
           "behaviour", "verdict", "another");
    w.mono += 3600 * 1000;
    la_check(la, "studio", &V, &e);
    result(w.reads == 2, "behaviour", "the machine is read again after an hour", "not");
    shutdown((int)la->conn, SHUT_RDWR);
    gives("the agent restarts", la_check(la, "studio", &V, &e) == LA_OK && V.runs ? "" : e.code, "");
    gives("no product", la_check(la, "", &V, &e) == LA_CONFIG ? "" : "accepted", "");
    la_free(la);

    snprintf(path, sizeof path, "%s/none.sock", a->dir);
    gives("nobody there", code(path, NULL), "agent-not-running");
    snprintf(path, sizeof path, "%s/no/such/dir.sock", a->dir);
    gives("no directory", code(path, NULL), "agent-not-running");
    agent *dead = start();
    close(dead->listener);
    gives("nobody listens", code(dead->path, NULL), "agent-not-running");
    snprintf(path, sizeof path, "%s/file", a->dir);
    fclose(fopen(path, "w"));
    gives("a plain file", code(path, NULL), "agent-wrong-owner");
    chmod(a->dir, 0777);
    gives("a directory for everybody", code(a->path, NULL), "agent-wrong-owner");
    chmod(a->dir, 0700);
    strcat(strcpy(path, a->dir), "/link");
    if (symlink(a->dir, path) != 0) exit(1);
    strcat(path, "/a.sock");
    gives("over a link", code(path, NULL), "");
    snprintf(path, sizeof path, "%s/../%s/./a.sock", a->dir, a->dir + 5);
    gives("over dots", code(path, NULL), "");
    if (geteuid() == 0) { /* root can make it another user's */
        uint32_t other = 65534;
        la_options o;
        memset(&o, 0, sizeof o);
        o.owners = &other, o.n_owners = 1;
        result(chown(a->path, 65534, 65534) == 0, "behaviour", "chown", "failed");
        gives("another user's socket", code(a->path, NULL), "agent-wrong-owner");
        gives("an expected user's socket", code(a->path, &o), "");
        result(chown(a->dir, 65534, 65534) == 0, "behaviour", "chown", "failed");
        gives("another user's directory", code(a->path, NULL), "agent-wrong-owner");
    }
    stop(a);

    la_options o;
    static const char *const bad_instances[] = {"Bad Name", "../x", "-a", "a-", "x123456789012345678901234567890123"};
    for (int i = 0; i < 5; i++) {
        memset(&o, 0, sizeof o);
        o.instance = bad_instances[i];
        gives("instance", code(NULL, &o), "config-invalid");
    }
    gives("a relative path", code("relative", NULL), "config-invalid");
    char *longer = calloc(1, 300);
    memset(longer, 'x', 200);
    *longer = '/';
    gives("a long path", code(longer, NULL), "config-invalid");
    memset(&o, 0, sizeof o);
    o.language = "zh-CN";
    static const char *const anchors[] = {"", "{}", "\xff", "{\"v\":1,\"iss\":\"ACME\",\"roots\":{\"threshold\":1,\"keys\":[]}}"};
    for (int i = 0; i < 4; i++)
        gives("anchor", la_new(anchors[i], strlen(anchors[i]), &o, &e) == NULL && strstr(e.message, "信任锚") ? e.code : "accepted", "anchor");

    static const char *const golden[] = {"agent/api/testdata/check-answer.json", "agent/api/testdata/error.json"};
    a = start();
    a->said[0] = read_all(repository, golden[0]);
    gives("golden answer", code(begin(a)->path, NULL), "agent-untrusted");
    stop(a);
    a = start();
    str error = read_all(repository, golden[1]);
    char *raw = malloc(error.n + 200);
    sprintf(raw, "HTTP/1.1 422 No\r\nContent-Length: %u\r\n\r\n%.*s", (unsigned)error.n, (int)error.n, error.s);
    a->say = text(raw);
    gives("golden error", code(begin(a)->path, NULL), "merchant-refused");
    stop(a);

    a = start();
    char *drip = calloc(1, 20000);
    strcpy(drip, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 2000; i++) strcat(drip + 17 + 6 * i, "X: y\r\n");
    a->say = text(drip), a->drip = 1;
    memset(&o, 0, sizeof o);
    o.timeout_ms = 300;
    gives("one byte at a time", code(begin(a)->path, &o), "agent-timeout");
    stop(a);
}

static void watching(const char *repository) {
    world w = world_of(FIRST);
    static const char *const want[] = {"/v1/events?since=0&wait=0ms", "/v1/events?since=5&wait=30000ms", "/v1/events?since=5&wait=30000ms",
                                       "/v1/events?since=7&wait=30000ms", "/v1/events?since=0&wait=0ms"};
    static const int changes[] = {1, 0, 1, 0, 1};
    agent *a = start();
    la_error e;
    uint64_t serial = 0;
    a->said[0] = a->said[1] = text("{\"serial\":5,\"events\":[]}");
    a->said[2] = read_all(repository, "agent/api/testdata/events.json");
    a->said[4] = text("{\"serial\":1,\"events\":[]}");
    license_agent *la = checker(begin(a)->path, &w, NULL, &e);
    for (int i = 0; i < 5; i++) {
        int changed = 0;
        la_status s = la_watch(la, &serial, 30000, &changed, &e);
        result((s == LA_OK) == (i != 3) && changed == changes[i] && strcmp(a->target[i], want[i]) == 0, "watch", want[i], a->target[i]);
        if (s != LA_OK) serial = 0;
    }
    la_free(la);
    stop(a);
}

/* The seat of the golden answer, with another total. */
static str seat_answer(const char *repository, const char *total) {
    str golden = read_all(repository, "agent/api/testdata/seat-answer.json");
    char *out = malloc(golden.n + 32), *at;
    memcpy(out, golden.s, golden.n);
    out[golden.n] = 0;
    at = strstr(out, "\"total\": 2");
    memcpy(at, total, 10);
    return text(out);
}

static void seats(const char *repository, str frozen) {
    world w = world_of(FIRST);
    agent *a = start();
    la_error e;
    la_seat *s = NULL;
    a->check = FIRST, a->seat = seat_answer(repository, "\"total\": 3"), a->seat_status = 200;
    license_agent *la = checker(a->path, &w, NULL, &e);
    pthread_create(&a->thread, NULL, run_many, a);
    result(la_seat_take(la, "studio", "ali\"ce", 1000, &s, &V, &e) == LA_OK && V.runs && la_seat_held(s, &e) == LA_OK, "seat", "taken and held", e.code);
    result(strcmp(a->target[0], "/v1/seats") == 0 && strcmp(words(text(a->asked[0]), "user"), "ali\"ce") == 0 &&
               member_number(text(a->asked[0]), "wait_ms") > 0 && strcmp(a->target[1], "/v1/check") == 0,
           "seat", "asked", a->asked[0]);
    int before = a->connections, asked = a->requests, status = -1;
    pid_t child = fork();
    if (child == 0) {
        int lost = la_seat_held(s, &e) == LA_NOT_LICENSED && la_seat_held(s, &e) == LA_NOT_LICENSED, ran = la_check(la, "studio", &V, &e) == LA_OK && V.runs;
        la_seat_free(s);
        la_free(la);
        _exit(lost && ran ? 0 : 1);
    }
    result(waitpid(child, &status, 0) == child && status == 0, "fork", "the child asks for itself and holds no seat", "no");
    result(la_seat_held(s, &e) == LA_OK && la_check(la, "studio", &V, &e) == LA_OK && a->connections == before + 1, "fork", "the parent keeps both", e.code);
    a->requests = asked; /* target[2] below is the next one */
    shutdown((int)s->line.conn, SHUT_RDWR);
    result(la_seat_held(s, &e) == LA_OK && strcmp(a->target[2], "/v1/seats") == 0, "seat", "taken up again after a restart", e.code);
    a->seat = text("{\"error\":{\"code\":\"seats-taken\",\"message\":\"All seats are taken.\"}}"), a->seat_status = 409;
    shutdown((int)s->line.conn, SHUT_RDWR);
    result(la_seat_held(s, &e) == LA_REFUSED && strcmp(e.code, "seats-taken") == 0, "seat", "lost", e.code);
    result(la_seat_held(s, &e) != LA_OK, "seat", "a lost seat stays lost", "held");
    la_seat_free(s);
    a->seat = seat_answer(repository, "\"total\": 3"), a->seat_status = 200;
    result(la_seat_take(la, "studio", NULL, 0, &s, &V, &e) == LA_OK, "fork", "another seat", e.code);
    int copy = dup((int)s->line.conn); /* as a child has it */
    la_seat_free(s);
    result(recv(copy, &status, 1, MSG_DONTWAIT) == 0, "fork", "a seat that is given back ends though a child has its socket", "open");
    close(copy);
    a->seat = seat_answer(repository, "\"total\": 4"), a->seat_status = 200;
    result(la_seat_take(la, "studio", NULL, 0, &s, &V, &e) == LA_UNTRUSTED && s == NULL && strcmp(e.cause, "seats") == 0, "seat",
           "more seats than the license has", e.code);
    a->seat = seat_answer(repository, "\"total\": 3"), a->check = frozen;
    result(la_seat_take(la, "studio", NULL, 0, &s, &V, &e) == LA_NOT_LICENSED && *e.message && strcmp(e.cause, "agent-says-no") == 0, "seat",
           "of a frozen license", e.code);
    la_free(la);
    la = checker("/nonexistent/agent.sock", &w, NULL, &e);
    int64_t began = now_ms();
    result(la_seat_take(la, "studio", NULL, 60000, &s, &V, &e) == LA_NOT_RUNNING && now_ms() - began < 60000, "seat", "nobody there is told at once", e.code);
    la_free(la);
    stop(a);
}

int main(int argc, char **argv) {
    const char *repository = argc > 1 ? argv[1] : "../../..", *at = NULL;
    int fakes = 0, fooled = 0, believing = 0, checks = 0, endpoints = 0;
    TALK = read_all(repository, "agent/bindings/testdata/conversation.json");
    DATA = json_member(TALK, "data");
    START = member_number(TALK, "start");
    each(json_member(TALK, "checks"), &at, &FIRST);
    at = NULL;
    for (str c; each(json_member(TALK, "checks"), &at, &c); checks++) {
        int yes = check_case(c), status;
        if (!truth(c, "fake")) continue;
        fakes++, fooled += yes;
        believing += truth(json_member(body_of(c, "keyset", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 0, &status), "verdict"), "runs");
    }
    at = NULL;
    for (str c; each(json_member(TALK, "files"), &at, &c);) file_case(c);
    at = NULL;
    for (str c; each(json_member(TALK, "endpoints"), &at, &c); endpoints++) endpoint_case(c);
    at = NULL;
    for (str c; each(json_member(TALK, "slow"), &at, &c);) slow_case(repository, c);
    behaviour(repository);
    watching(repository);
    at = NULL;
    for (str c; each(json_member(TALK, "checks"), &at, &c);)
        if (strcmp(words(c, "name"), "frozen") == 0) seats(repository, c);
    result(believing >= 10 && fakes >= 10 && fooled == 0, "control", "a program that believes the answer", "is hardly fooled");
    printf("count fakes %d\ncount endpoints %d\n", fakes, endpoints);
    printf("promise P14|C: %d kinds of fake agent, %d believed|a program that believes the answer is fooled by %d\n", fakes, fooled, believing);
    printf("c agent: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}

/* Against real agents: live SCRIPT PLACES
 * SCRIPT is agent/bindings/testdata/live.txt, PLACES a folder with own.json,
 * stranger.json and mirror.json and the endpoints in places.txt. Prints one line of
 * passes and one of latencies. Or: live watch PLACES, which prints the phase at the
 * start and after each change, until the license does not run. */
#ifndef _WIN32
#define _GNU_SOURCE
#endif
#include "../license_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef _WIN32
#include <windows.h>
#endif

static const char *places;
static license_agent *own;
static struct {
    char user[16];
    la_seat *seat;
} taken[16];
static la_verdict V;
static la_error E;

static char *load(const char *name, size_t *n) {
    char path[1024], *b = malloc(1 << 20);
    snprintf(path, sizeof path, "%s/%s", places, name);
    FILE *f = fopen(path, "rb");
    *n = f ? fread(b, 1, 1 << 20, f) : 0;
    if (f) fclose(f);
    return b;
}

static license_agent *make(const char *place, const char *anchor) {
    static char line[600], socket[500];
    char name[40], path[1024];
    size_t n;
    la_options o;
    memset(&o, 0, sizeof o);
    snprintf(path, sizeof path, "%s/places.txt", places);
    if (strcmp(place, "instance") == 0) o.instance = "no-such-instance";
    else {
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f))
            if (sscanf(line, "%39s %499s", name, socket) == 2 && strcmp(name, place) == 0) break;
        if (f) fclose(f);
        o.socket = socket;
    }
    snprintf(path, sizeof path, "%s.json", anchor);
    char *a = load(path, &n);
    license_agent *la = la_new(a, n, &o, &E);
    free(a);
    return la;
}

/* The phase of a verdict that runs, or the code of an error with its sentences. */
static const char *said(la_status status) {
    if (status == LA_OK) return V.runs ? V.phase : "no";
    static char said[140];
    snprintf(said, sizeof said, "%s%s%s", E.code, E.cause[0] ? "/" : "", E.cause);
    return E.message[0] && E.hint[0] ? said : "no sentences";
}

static const char *check(const char *place, const char *anchor, const char *product) {
    static la_error none;
    E = none;
    license_agent *la = make(place, anchor);
    const char *out = said(la ? la_check(la, product, &V, &E) : LA_UNTRUSTED);
    la_free(la);
    return out;
}

static const char *files(const char *product) {
    size_t n;
    char *file = load("mirror.json", &n);
    la_status s = la_check_files(own, product, file, n, &V, &E);
    free(file);
    return said(s);
}

static const char *watch(void) {
    uint64_t serial = 0;
    int changed = 0;
    la_status s = la_watch(own, &serial, 1000, &changed, &E);
    return s == LA_OK && changed && serial > 0 ? "changed" : said(s);
}

static int watch_on(void) {
    uint64_t serial = 0;
    for (int changed; la_watch(own, &serial, 30000, &changed, &E) == LA_OK;) {
        if (!changed) continue;
        if (la_check(own, "studio", &V, &E) != LA_OK) break;
        printf("%s\n", V.phase);
        fflush(stdout);
        if (!V.runs) return la_free(own), 0;
    }
    return printf("FAILED live: %s %s\n", E.code, E.detail), 1;
}

static const char *seat(const char *user, int wait) {
    int i = 0;
    while (i < 15 && taken[i].seat) i++;
    la_status s = la_seat_take(own, "studio", user, wait, &taken[i].seat, &V, &E);
    if (s == LA_OK && la_seat_held(taken[i].seat, &E) != LA_OK) return "not held";
    if (s != LA_OK) taken[i].seat = NULL;
    snprintf(taken[i].user, sizeof taken[i].user, "%s", user);
    return said(s);
}

static const char *give_back(const char *user) {
    for (int i = 0; i < 16; i++)
        if (taken[i].seat && strcmp(taken[i].user, user) == 0) la_seat_free(taken[i].seat), taken[i].seat = NULL;
    return "";
}

/* A checker must outlive its seats, so that the seat ends first. */
static const char *close_own(const char *user) {
    la_seat *s = NULL;
    license_agent *la = make("own", "own");
    la_status bad = la_seat_take(la, "studio", user, 2000, &s, &V, &E);
    la_seat_free(s);
    la_free(la);
    return bad == LA_OK ? "ended" : said(bad);
}

static const char *step(char w[5][64]) {
    if (strcmp(w[0], "check") == 0) return check(w[1], w[2], w[3]);
    if (strcmp(w[0], "files") == 0) return files(w[1]);
    if (strcmp(w[0], "watch") == 0) return watch();
    if (strcmp(w[0], "seat") == 0) return seat(w[1], atoi(w[2]));
    if (strcmp(w[0], "close") == 0) return close_own(w[1]);
    return strcmp(w[0], "free") == 0 ? give_back(w[1]) : "no such step";
}

static double now_us(void) {
#ifdef _WIN32
    LARGE_INTEGER t, f;
    QueryPerformanceCounter(&t);
    QueryPerformanceFrequency(&f);
    return (double)t.QuadPart * 1e6 / (double)f.QuadPart;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
#endif
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *before, const char *kind, int n) {
    static double took[2000];
    for (int i = 0; i < n; i++) {
        double from = now_us();
        if (strcmp(kind, "cached") == 0) la_check(own, "studio", &V, &E);
        else if (strcmp(kind, "uncached") == 0) check("own", "own", "studio");
        else {
            la_seat *s = NULL;
            la_seat_take(own, "studio", NULL, 2000, &s, &V, &E);
            la_seat_free(s);
        }
        took[i] = now_us() - from;
    }
    qsort(took, (size_t)n, sizeof *took, by_value);
    printf("%s%s p50 %.0f us", before, kind, took[n / 2]);
    if (strcmp(kind, "seat") != 0) printf(", p99 %.0f us", took[n * 99 / 100]);
}

int main(int argc, char **argv) {
    char line[256], w[5][64];
    int passed = 0, failed = 0;
    int watching = argc == 3 && strcmp(argv[1], "watch") == 0;
    FILE *f = argc == 3 && !watching ? fopen(argv[1], "r") : NULL;
    places = argv[argc - 1];
    if (!f && !watching) return fprintf(stderr, "usage: live SCRIPT PLACES\n"), 2;
    own = make("own", "own");
    if (!own) return printf("FAILED live: %s %s\n", E.code, E.detail), 1;
    if (watching) return watch_on();
    while (fgets(line, sizeof line, f)) {
        int n = sscanf(line, "%63s %63s %63s %63s %63s", w[0], w[1], w[2], w[3], w[4]);
        if (n < 2 || line[0] == '#') continue;
        const char *want = strcmp(w[0], "free") == 0 ? "" : w[n - 1], *got = step(w);
        passed += strcmp(got, want) == 0, failed += strcmp(got, want) != 0;
        if (strcmp(got, want) != 0) printf("FAILED live: %sgot %s %s %s\n", line, got, E.code, E.detail);
    }
    fclose(f);
    for (int i = 0; i < 3000; i++) la_check(own, "studio", &V, &E);
    printf("c live: %d passed, %d failed\n", passed, failed);
#ifdef __VERSION__
    printf("c " __VERSION__ ": ");
#endif
    measure("", "cached", 2000);
    measure("; ", "uncached", 200);
    measure("; ", "seat", 200);
    printf("\n");
    la_free(own);
    return failed != 0 || passed == 0;
}

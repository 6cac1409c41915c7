/* A licensed program in miniature: example ANCHOR-FILE PRODUCT [SOCKET] */
#include "../license_agent.h"
#include <stdio.h>

int main(int argc, char **argv) {
    static char anchor[65536]; /* a real product carries it inside */
    static la_verdict v;
    la_options options = {.socket = argc > 3 ? argv[3] : NULL};
    la_error e = {.code = "usage"};
    FILE *f = argc > 2 ? fopen(argv[1], "rb") : NULL;
    size_t size = f ? fread(anchor, 1, sizeof anchor, f) : 0;
    license_agent *la = la_new(anchor, size, &options, &e);
    if (!la || la_check(la, argv[2], &v, &e) != LA_OK) return fprintf(stderr, "not licensed: %s %s %s %s\n", e.code, e.cause, e.message, e.hint), 1;
    if (!v.runs) return fprintf(stderr, "not licensed: %s %s\n", v.phase, v.reason), 1;
    printf("licensed: %s features", v.phase);
    for (size_t i = 0; i < v.n_features; i++) printf(" %s", v.features[i]);
    printf(" until %lld\n", (long long)v.grace_until);
    return la_free(la), 0;
}

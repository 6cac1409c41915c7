// The header from C++, with everything that it declares.
#include "../license_agent.h"
#include <cstdio>
#include <cstring>

int main() {
    la_error error = {};
    la_options options = {};
    options.instance = "Bad Name";
    license_agent *agent = la_new("{}", 2, &options, &error);
    la_verdict *verdict = new la_verdict();
    uint64_t serial = 0;
    int changed = 0;
    bool ok = agent == nullptr && std::strcmp(error.code, "config-invalid") == 0;
    options.instance = nullptr;
    agent = la_new("{}", 2, &options, &error);
    ok = ok && agent == nullptr && std::strcmp(error.code, "anchor") == 0 && *error.message;
    if (agent) ok = la_check(agent, "x", verdict, &error) != LA_OK && la_check_files(agent, "x", "", 0, verdict, &error) != LA_OK && la_watch(agent, &serial, 1, &changed, &error) != LA_OK;
    ok = ok && !la_has(verdict, "x") && la_limit(verdict, "x") == -1;
    la_free(agent);
    delete verdict;
    std::printf("c++: %d passed, %d failed\n", ok ? 1 : 0, ok ? 0 : 1);
    return ok ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* check_history FILE...: 0 when every history is linearizable, 1 when one is not, 2 when one
 * cannot be read or is too hard. */
#include <stdio.h>
#include <stdlib.h>

#include "linear.h"

#define BUDGET 20000000

int main(int argc, char **argv)
{
    int code = argc > 1 ? 0 : 2;
    for (int i = 1; i < argc && code == 0; i++) {
        struct linear_call *calls;
        struct linear_report report;
        char why[256];
        size_t n;
        if (linear_read_file(argv[i], &calls, &n, why, sizeof why)) {
            enum linear_verdict v = linear_check(calls, n, BUDGET, &report);
            printf("%s: ", argv[i]);
            linear_print(&report, v);
            code = v == LINEAR_YES ? 0 : v == LINEAR_NO ? 1 : 2;
        } else {
            fprintf(stderr, "%s\n", why);
            code = 2;
        }
        free(calls);
    }
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a call that was passed on to a leader, when raft says who leads now. Pure. */
#pragma once
#include <stdbool.h>

enum forward_fate {
    FORWARD_WAIT,  /* the answer will come */
    FORWARD_AGAIN, /* give the asked server up, ask whoever leads as soon as somebody does */
    FORWARD_DOUBT, /* a write that may have happened: only who was asked can tell, and as long as
                    * nobody else leads it may come back; for so long as a call may be held */
    FORWARD_LAST,  /* the same, and another server leads: a server that lost leadership says so at
                    * once, one that does not is gone. For a short time */
};

struct forward_view {
    bool asked_leads; /* as far as is known */
    bool other_leads;
    bool sent; /* the request may have left */
    bool write;
};

enum forward_fate server__forward_judge(const struct forward_view *v);

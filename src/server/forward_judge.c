/* SPDX-License-Identifier: Apache-2.0 */
#include "forward_judge.h"

enum forward_fate server__forward_judge(const struct forward_view *v)
{
    if (v->asked_leads) return FORWARD_WAIT;
    if (!v->sent || !v->write) return FORWARD_AGAIN;
    return v->other_leads ? FORWARD_LAST : FORWARD_DOUBT;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* No listeners: connections are made by the test. Included by one file of a test binary. */
#pragma once
#include "consuld/base/outside.h"

int listener_open(
    struct world *world, const struct listener_options *o, struct listener **out, struct error *err)
{
    (void)world;
    (void)o;
    (void)out;
    return error_set(err, ERR_IO, "no listeners here");
}
uint16_t listener_port(const struct listener *l)
{
    (void)l;
    return 0;
}
void listener_close(struct listener *l)
{
    (void)l;
}

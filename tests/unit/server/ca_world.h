/* SPDX-License-Identifier: Apache-2.0 */
/* A server whose certificates are made by a fake. Included by one file of a test binary. */
#pragma once
#include "server_world.h"

#include <string.h>

#include "consuld/store/tables.h"
#include "server.h"
#include "world/fake_certifier.h"

static struct indexed_ca_roots roots_of(struct fixture *f)
{
    struct test_call c = { 0 };
    struct dc_specific_request req = { .datacenter = STR("dc1") };
    struct indexed_ca_roots out;
    submit(f, &c, "ConnectCA.Roots", &req);
    settle(f, &c);
    assert_int_equal(c.rpc.code, 0);
    record_copy(&f->arena, &type_indexed_ca_roots, &out, c.rpc.reply->record);
    release(&c);
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Consul's records and messages as descriptor tables: what travels by RPC, what the raft log and
 * snapshots hold, what HTTP bodies say. */
#pragma once
#include "consuld/model/acl.h"
#include "consuld/model/api.h"
#include "consuld/model/ca_settings.h"
#include "consuld/model/catalog.h"
#include "consuld/model/chain.h"
#include "consuld/model/command.h"
#include "consuld/model/config_entry.h"
#include "consuld/model/connect.h"
#include "consuld/model/coordinate.h"
#include "consuld/model/federation.h"
#include "consuld/model/health.h"
#include "consuld/model/kv.h"
#include "consuld/model/limits.h"
#include "consuld/model/loose.h"
#include "consuld/model/method.h"
#include "consuld/model/operator.h"
#include "consuld/model/query.h"
#include "consuld/model/rpc.h"
#include "consuld/model/session.h"
#include "consuld/model/txn.h"

/* Prepares every record for the walkers. Once at start, before any other thread. */
void model_init(void);

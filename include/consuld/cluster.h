/* SPDX-License-Identifier: Apache-2.0 */
/* Drivers: what joins the pure cores with disk, clock and network, written against world.h. */
#pragma once
#include "consuld/cluster/raft_driver.h"
#include "consuld/cluster/rpc.h"

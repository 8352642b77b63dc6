/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on agents and the cluster, one file per command that is more than a call. */
#pragma once
#include "client.h"

int cluster_event(struct cli *c);
int cluster_maint(struct cli *c);
int cluster_members(struct cli *c);
int cluster_monitor(struct cli *c);
int cluster_rtt(struct cli *c);

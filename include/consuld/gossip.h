/* SPDX-License-Identifier: Apache-2.0 */
/* gossip: who is in the pool. From the bytes upwards: addresses, keys, packets, the broadcast
 * queue, SWIM itself, and serf on top of it with coordinates and events. */
#pragma once
#include "consuld/gossip/address.h"
#include "consuld/gossip/coordinate.h"
#include "consuld/gossip/event_payload.h"
#include "consuld/gossip/keyring.h"
#include "consuld/gossip/packet.h"
#include "consuld/gossip/queue.h"
#include "consuld/gossip/serf.h"
#include "consuld/gossip/swim.h"

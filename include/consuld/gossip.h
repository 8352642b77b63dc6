/* SPDX-License-Identifier: Apache-2.0 */
/* gossip: who is in the pool. From the bytes upwards: addresses, keys, packets, the broadcast queue
 * and SWIM itself. */
#pragma once
#include "consuld/gossip/address.h"
#include "consuld/gossip/keyring.h"
#include "consuld/gossip/packet.h"
#include "consuld/gossip/queue.h"
#include "consuld/gossip/swim.h"

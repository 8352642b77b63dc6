/* SPDX-License-Identifier: Apache-2.0 */
/* base: what every module stands on. Depends on libc alone. */
#pragma once
#include "consuld/base/arena.h"
#include "consuld/base/buf.h"
#include "consuld/base/error.h"
#include "consuld/base/list.h"
#include "consuld/base/log.h"
#include "consuld/base/map.h"
#include "consuld/base/random.h"
#include "consuld/base/str.h"
#include "consuld/base/world.h"

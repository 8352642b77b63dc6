/* SPDX-License-Identifier: Apache-2.0 */
/* wire: records as tables, and the encodings that walk them. */
#pragma once
#include "consuld/wire/gotime.h"
#include "consuld/wire/json.h"
#include "consuld/wire/msgpack.h"
#include "consuld/wire/quote.h"
#include "consuld/wire/record.h"
#include "consuld/wire/value.h"

/* SPDX-License-Identifier: Apache-2.0 */
/* The digest as it is shipped, for tests of modules below `net`. Link with crypto. */
#pragma once
#include "../../src/net/digest.c"

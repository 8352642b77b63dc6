/* SPDX-License-Identifier: Apache-2.0 */
/* The form rows have on disk: the fields of a record one after another without their names, walked
 * by the record's descriptor. Only this machine reads it back, with the same descriptors: their
 * fingerprint is part of the state's format, so a change of a record makes the state be rebuilt.
 *
 *   BOOL               a byte
 *   UINT               base-128 varint; INT, DUR the same, zigzag
 *   F32 F64            8 bytes of a double
 *   STR BYTES          varint 0: nil, else length + 1 and the bytes
 *   TIME               zigzag seconds, zigzag nanoseconds, zigzag offset
 *   LIST MAP           varint 0: nil, else count + 1 and the elements (key first)
 *   PTR                a byte, then the record unless nil
 *   ANY and records with a msgpack form of their own: varint length, msgpack */
#pragma once
#include "consuld/wire.h"

void pack_value(const struct type *t, const void *obj, struct buf *out);
/* Fills *obj (any content before). Strings borrow from the bytes. False if they do not fit. */
bool unpack_value(const struct type *t, struct str bytes, struct arena *a, void *obj);
/* Folds the shape of a type into a fingerprint. */
uint64_t pack_fingerprint(uint64_t seed, const struct type *t);

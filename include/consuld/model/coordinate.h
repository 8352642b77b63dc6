/* SPDX-License-Identifier: Apache-2.0 */
/* Network coordinates. */
#pragma once
#include "consuld/model/rpc.h"

/* clang-format off */
#define VIVALDI_COORDINATE_FIELDS(X, S) \
    X(S, vec,        LIST_F64, "Vec") \
    X(S, error,      F64,      "Error") \
    X(S, adjustment, F64,      "Adjustment") \
    X(S, height,     F64,      "Height")
DECLARE_RECORD(vivaldi_coordinate, VIVALDI_COORDINATE_FIELDS)

#define COORDINATE_FIELDS(X, S) \
    X(S, node,    STR,                     "Node") \
    X(S, segment, STR,                     "Segment") \
    X(S, coord,   PTR(vivaldi_coordinate), "Coord")
DECLARE_RECORD(coordinate, COORDINATE_FIELDS)

#define COORDINATE_UPDATE_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,                     "Datacenter") \
    X(S, node,       STR,                     "Node") \
    X(S, segment,    STR,                     "Segment") \
    X(S, coord,      PTR(vivaldi_coordinate), "Coord") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(coordinate_update_request, COORDINATE_UPDATE_REQUEST_FIELDS)

#define INDEXED_COORDINATES_FIELDS(X, S) \
    X(S, coordinates, LIST(coordinate), "Coordinates") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_coordinates, INDEXED_COORDINATES_FIELDS)

#define DATACENTER_MAP_FIELDS(X, S) \
    X(S, datacenter,  STR,              "Datacenter") \
    X(S, area_id,     STR,              "AreaID") \
    X(S, coordinates, LIST(coordinate), "Coordinates")
DECLARE_RECORD(datacenter_map, DATACENTER_MAP_FIELDS)

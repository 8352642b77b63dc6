/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of gossip: the IP bytes as they stand in messages (4 or 16 of them) and a port. */
#pragma once
#include "consuld/base.h"

struct gossip_address {
    uint8_t ip[16];
    uint8_t ip_n; /* 4 or 16; 0: none */
    uint16_t port;
};

#define GOSSIP_ADDRESS_TEXT_MAX 56

/* Byte for byte: an IPv4 address and its IPv6-mapped form differ. */
bool gossip_address_equal(const struct gossip_address *a, const struct gossip_address *b);
/* False if `ip` has neither 4 nor 16 bytes. */
bool gossip_address_set(struct gossip_address *a, struct str ip, uint16_t port);
/* Parses an IP address without brackets; IPv4-mapped text gives 4 bytes. */
bool gossip_address_parse(struct gossip_address *a, const char *ip, uint16_t port);
struct str gossip_address_ip(const struct gossip_address *a);
/* "10.0.0.1", "fe80::1"; mapped addresses as IPv4, as Go prints them. "<nil>" for none. */
const char *gossip_ip_text(const struct gossip_address *a, char out[GOSSIP_ADDRESS_TEXT_MAX]);
/* "10.0.0.1:8301", "[fe80::1]:8301" */
const char *gossip_address_text(const struct gossip_address *a, char out[GOSSIP_ADDRESS_TEXT_MAX]);

struct gossip_network {
    struct gossip_address base;
    uint8_t bits;
};
/* "10.0.0.0/8"; the mapped form of an IPv4 address lies in IPv4 networks. */
bool gossip_network_parse(struct gossip_network *n, struct str text);
bool gossip_network_contains(const struct gossip_network *n, const struct gossip_address *a);

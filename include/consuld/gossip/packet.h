/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of memberlist and their framing (gossip.md 3 to 6): records as tables, compound,
 * compression, CRC, sealing, and the reader of streams. Pure functions over bytes. */
#pragma once
#include "consuld/gossip/address.h"
#include "consuld/gossip/keyring.h"
#include "consuld/wire.h"

#define PACKET_BUDGET 1400                     /* bytes a packet is filled up to */
#define PACKET_PARTS_MAX 127                   /* of one compound message that we write */
#define PACKET_DEPTH_MAX 8                     /* of compound and compressed in each other */
#define PACKET_UNPACK_MAX (256u * 1024)        /* what compression in one packet may give */
#define PACKET_RECEIVE_MAX 65536               /* longest datagram */
#define STREAM_MESSAGE_MAX (20u * 1024 * 1024) /* a stream message, packed or not */
#define STREAM_SEAL_HEAD 5                     /* type and length before a sealed stream */
#define SEAL_OVERHEAD_V0 45
#define SEAL_OVERHEAD_V1 29

enum swim_message_type {
    SWIM_MSG_PING = 0,
    SWIM_MSG_INDIRECT_PING = 1,
    SWIM_MSG_ACK = 2,
    SWIM_MSG_SUSPECT = 3,
    SWIM_MSG_ALIVE = 4,
    SWIM_MSG_DEAD = 5,
    SWIM_MSG_PUSH_PULL = 6,
    SWIM_MSG_COMPOUND = 7,
    SWIM_MSG_USER = 8,
    SWIM_MSG_COMPRESSED = 9,
    SWIM_MSG_ENCRYPTED = 10,
    SWIM_MSG_NACK = 11,
    SWIM_MSG_CRC = 12,
    SWIM_MSG_ERROR = 13,
    SWIM_MSG_LABEL = 244, /* of younger versions; refused */
};

#define SWIM_PING_FIELDS(X, S) \
    X(S, seq_no, UINT, "SeqNo", .bits = 32) \
    X(S, node, STR, "Node") \
    X(S, source_addr, BYTES, "SourceAddr", .flags = WIRE_OMIT) \
    X(S, source_port, UINT, "SourcePort", .bits = 16, .flags = WIRE_OMIT) \
    X(S, source_node, STR, "SourceNode", .flags = WIRE_OMIT)
DECLARE_RECORD(swim_ping, SWIM_PING_FIELDS)

#define SWIM_INDIRECT_PING_FIELDS(X, S) \
    X(S, seq_no, UINT, "SeqNo", .bits = 32) \
    X(S, target, BYTES, "Target") \
    X(S, port, UINT, "Port", .bits = 16) \
    X(S, node, STR, "Node") \
    X(S, nack, BOOL, "Nack") \
    X(S, source_addr, BYTES, "SourceAddr", .flags = WIRE_OMIT) \
    X(S, source_port, UINT, "SourcePort", .bits = 16, .flags = WIRE_OMIT) \
    X(S, source_node, STR, "SourceNode", .flags = WIRE_OMIT)
DECLARE_RECORD(swim_indirect_ping, SWIM_INDIRECT_PING_FIELDS)

#define SWIM_ACK_FIELDS(X, S) \
    X(S, seq_no, UINT, "SeqNo", .bits = 32) \
    X(S, payload, BYTES, "Payload")
DECLARE_RECORD(swim_ack, SWIM_ACK_FIELDS)

#define SWIM_NACK_FIELDS(X, S) X(S, seq_no, UINT, "SeqNo", .bits = 32)
DECLARE_RECORD(swim_nack, SWIM_NACK_FIELDS)

#define SWIM_ERROR_FIELDS(X, S) X(S, error, STR, "Error")
DECLARE_RECORD(swim_error, SWIM_ERROR_FIELDS)

/* suspect and dead */
#define SWIM_ACCUSATION_FIELDS(X, S) \
    X(S, incarnation, UINT, "Incarnation", .bits = 32) \
    X(S, node, STR, "Node") \
    X(S, from, STR, "From")
DECLARE_RECORD(swim_accusation, SWIM_ACCUSATION_FIELDS)

#define SWIM_ALIVE_FIELDS(X, S) \
    X(S, incarnation, UINT, "Incarnation", .bits = 32) \
    X(S, node, STR, "Node") \
    X(S, addr, BYTES, "Addr") \
    X(S, port, UINT, "Port", .bits = 16) \
    X(S, meta, BYTES, "Meta") \
    X(S, vsn, BYTES, "Vsn")
DECLARE_RECORD(swim_alive, SWIM_ALIVE_FIELDS)

#define SWIM_COMPRESSED_FIELDS(X, S) \
    X(S, algo, UINT, "Algo", .bits = 8) \
    X(S, bytes, BYTES, "Buf")
DECLARE_RECORD(swim_compressed, SWIM_COMPRESSED_FIELDS)

#define SWIM_PUSH_PULL_FIELDS(X, S) \
    X(S, nodes, INT, "Nodes") \
    X(S, user_state_len, INT, "UserStateLen") \
    X(S, join, BOOL, "Join")
DECLARE_RECORD(swim_push_pull, SWIM_PUSH_PULL_FIELDS)

#define SWIM_PUSH_NODE_FIELDS(X, S) \
    X(S, name, STR, "Name") \
    X(S, addr, BYTES, "Addr") \
    X(S, port, UINT, "Port", .bits = 16) \
    X(S, meta, BYTES, "Meta") \
    X(S, incarnation, UINT, "Incarnation", .bits = 32) \
    X(S, state, INT, "State") \
    X(S, vsn, BYTES, "Vsn")
DECLARE_RECORD(swim_push_node, SWIM_PUSH_NODE_FIELDS)

#define SWIM_USER_HEADER_FIELDS(X, S) X(S, user_msg_len, INT, "UserMsgLen")
DECLARE_RECORD(swim_user_header, SWIM_USER_HEADER_FIELDS)

/* Prepares the record tables; called by swim_create and by whoever uses the records alone. */
void swim_message_init(void);

/* Appends the type byte and the record. */
void swim_message_encode(
    enum swim_message_type type, const struct type *t, const void *obj, struct buf *out);
/* `body` is what stands behind the type byte; bytes after the record are ignored. *obj is zeroed
 * first; texts point into the body. */
int swim_message_decode(struct str body, struct arena *a, const struct type *t, void *obj,
    struct error *err) must_check;

/* --- compression ----------------------------------------------------------------------------- */

/* LZW, least significant bit first, 8-bit literals: the bytes Go's compress/lzw gives. */
void lzw_compress(struct str plain, struct buf *out);
/* ERR_TOO_LARGE when *out overflows its maximum. */
int lzw_decompress(struct str packed, struct buf *out, struct error *err) must_check;
/* Appends a compressed message. */
void packet_compress(struct str message, struct buf *out);
/* `body` of a compressed message; refuses other algorithms, and messages that unpack to nothing. */
int packet_decompress(struct str body, struct buf *out, struct error *err) must_check;

/* --- compound ----------------------------------------------------------------------------------
 */

/* Appends one compound message of at most PACKET_PARTS_MAX parts, none of them empty. */
void packet_compound(const struct str *parts, size_t n, struct buf *out);

struct packet_parts {
    struct str lengths, rest; /* what is left to give */
    size_t truncated;         /* parts dropped because they run past the end */
};
/* False if the list of lengths is not whole. `body` is what stands behind the type byte. */
bool packet_parts_begin(struct packet_parts *p, struct str body);
/* Next part, which may be empty; false at the end. */
bool packet_parts_next(struct packet_parts *p, struct str *part);

/* --- CRC and sealing ---------------------------------------------------------------------------
 */

/* Appends the CRC head; the message follows. */
void packet_put_crc(struct str message, struct buf *out);

/* Length of a sealed block over n bytes. */
size_t packet_sealed_length(uint8_t version, size_t n);
/* Appends version, nonce, ciphertext and tag. Version 0 pads. */
int packet_seal(const struct cipher *c, uint8_t version, struct str key,
    const uint8_t nonce[CIPHER_NONCE_SIZE], struct str aad, struct str plain, struct buf *out,
    struct error *err) must_check;
/* Tries each key of the ring, the primary first, and counts the one that fits. Appends the plain
 * bytes to *out; none are an error. */
int packet_open(const struct cipher *c, struct keyring *ring, struct str aad, struct str sealed,
    struct buf *out, struct error *err) must_check;

/* --- whole packets and streams -----------------------------------------------------------------
 */

struct packet_sealing {
    const struct cipher *cipher;
    struct keyring *keys; /* NULL or empty: nothing is sealed */
    uint8_t version;      /* 1, or 0 to speak to protocol 1 */
    bool verify_incoming, verify_outgoing;
};

/* Bytes that sealing adds to an outgoing packet; 0 if it is not sealed. */
size_t packet_seal_overhead(const struct packet_sealing *s);
/* Writes the packet of one message: compressed if that is shorter, with CRC if asked, sealed by the
 * rules. *out is cleared first. */
int packet_write(const struct packet_sealing *s, struct str message, bool compress, bool crc,
    struct buf *out, struct error *err) must_check;
/* Opens a datagram: *message is what stands within sealing and CRC, in the datagram or in `room`
 * (cleared first). */
int packet_read(const struct packet_sealing *s, struct str datagram, struct buf *room,
    struct str *message, struct error *err) must_check;

/* Writes the bytes of one stream message. *out is cleared first. */
int stream_wrap(const struct packet_sealing *s, struct str message, bool compress, struct buf *out,
    struct error *err) must_check;

/* Takes a stream as it comes and says when its one message is whole. */
enum stream_progress { STREAM_MORE, STREAM_WHOLE, STREAM_BAD };
struct stream_reader {
    struct buf in;       /* bytes as received */
    struct buf opened;   /* plain message when it was sealed */
    struct buf unpacked; /* plain message when it was compressed */
    size_t at;           /* of the plain message: scanned up to here */
    int64_t nodes_left;  /* push/pull: records still to come; -1: head not read yet */
    uint64_t need;       /* push/pull, user: bytes behind the records */
    struct str message;  /* STREAM_WHOLE: the message with its type byte */
    struct error err;    /* STREAM_BAD */
    bool empty;          /* nothing was received yet */
};
void stream_reader_init(struct stream_reader *r);
void stream_reader_deinit(struct stream_reader *r);
enum stream_progress stream_reader_add(
    struct stream_reader *r, const struct packet_sealing *s, struct str bytes);

/* A push/pull as read: node records and user state point into the message. */
struct push_pull {
    bool join;
    struct list nodes; /* of struct swim_push_node */
    struct str user_state;
};
/* `message` begins with its type byte. Refuses negative and exceeding counts. */
int push_pull_decode(
    struct str message, struct arena *a, struct push_pull *out, struct error *err) must_check;

/* Version check of gossip.md 6.3 over the received nodes and the local ones. */
int push_pull_versions(const struct swim_push_node *remote, size_t remote_n,
    const struct swim_push_node *local, size_t local_n, struct error *err) must_check;

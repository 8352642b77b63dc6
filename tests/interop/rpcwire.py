# SPDX-License-Identifier: Apache-2.0
"""A small independent client of port 8300: msgpack, yamux streams, net/rpc calls."""
import socket
import struct

FIXED = {0xca: '>f', 0xcb: '>d', 0xcc: '>B', 0xcd: '>H', 0xce: '>I', 0xcf: '>Q',
         0xd0: '>b', 0xd1: '>h', 0xd2: '>i', 0xd3: '>q'}
SIZED = {0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4}


class Short(Exception):
    """More bytes are needed."""


def _take(data, at, n):
    if at + n > len(data):
        raise Short
    return data[at:at + n], at + n


def unpack(data, at=0):
    """One value and where it ends. Raws stay bytes, map keys become text."""
    head, at = _take(data, at, 1)
    b = head[0]
    if b <= 0x7f:
        return b, at
    if b >= 0xe0:
        return b - 256, at
    if b <= 0x8f:
        return _map(data, at, b & 15)
    if b <= 0x9f:
        return _list(data, at, b & 15)
    if b <= 0xbf:
        return _take(data, at, b & 31)
    if b == 0xc0:
        return None, at
    if b in (0xc2, 0xc3):
        return b == 0xc3, at
    if b in FIXED:
        raw, at = _take(data, at, struct.calcsize(FIXED[b]))
        return struct.unpack(FIXED[b], raw)[0], at
    if b in SIZED:
        raw, at = _take(data, at, SIZED[b])
        return _take(data, at, int.from_bytes(raw, 'big'))
    if b in (0xdc, 0xdd, 0xde, 0xdf):
        raw, at = _take(data, at, 2 if b in (0xdc, 0xde) else 4)
        n = int.from_bytes(raw, 'big')
        return _list(data, at, n) if b <= 0xdd else _map(data, at, n)
    raise ValueError('byte %02x' % b)


def _list(data, at, n):
    out = []
    for _ in range(n):
        value, at = unpack(data, at)
        out.append(value)
    return out, at


def _map(data, at, n):
    out = {}
    for _ in range(n):
        key, at = unpack(data, at)
        out[key.decode('utf-8', 'replace')], at = unpack(data, at)
    return out, at


def pack(v):
    if v is None:
        return b'\xc0'
    if isinstance(v, bool):
        return b'\xc3' if v else b'\xc2'
    if isinstance(v, int):
        if 0 <= v <= 127:
            return bytes([v])
        return b'\xcf' + struct.pack('>Q', v) if v >= 0 else b'\xd3' + struct.pack('>q', v)
    if isinstance(v, float):
        return b'\xcb' + struct.pack('>d', v)
    if isinstance(v, str):
        v = v.encode()
    if isinstance(v, bytes):
        n = len(v)
        head = bytes([0xa0 + n]) if n < 32 else b'\xda' + struct.pack('>H', n) if n < 65536 \
            else b'\xdb' + struct.pack('>I', n)
        return head + v
    if isinstance(v, (list, tuple)):
        return b'\xdc' + struct.pack('>H', len(v)) + b''.join(map(pack, v))
    return b'\xde' + struct.pack('>H', len(v)) + b''.join(pack(k) + pack(v[k]) for k in sorted(v))


def unlzw(data):
    """Least significant bit first, literals of 8 bits."""
    table, out, previous = {}, bytearray(), b''
    width, high, bits, held = 9, 257, 0, 0
    for byte in data:
        bits |= byte << held
        held += 8
        if held < width:
            continue
        code, bits, held = bits & ((1 << width) - 1), bits >> width, held - width
        if code == 256:
            table, width, high, previous = {}, 9, 257, b''
            continue
        if code == 257:
            break
        text = bytes([code]) if code < 256 else table.get(code, previous + previous[:1])
        out += text
        if previous:
            table[high] = previous + text[:1]
        previous = text
        high += 1
        if high == 1 << width:
            if width == 12:
                previous, high = b'', high - 1
            else:
                width += 1
    return bytes(out)


def messages(packet):
    """The plain messages of a gossip packet without encryption."""
    kind = packet[0]
    if kind == 12:
        yield from messages(packet[5:])
    elif kind == 9:
        yield from messages(unlzw(unpack(packet, 1)[0]['Buf']))
    elif kind == 7:
        at = 2 + 2 * packet[1]
        for n in struct.unpack('>%dH' % packet[1], packet[2:at]):
            yield from messages(packet[at:at + n])
            at += n
    else:
        yield kind, packet[1:]


def connect(address, port, marker, timeout=30):
    s = socket.create_connection((address, port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(bytes([marker]))
    return s


class Closed(Exception):
    pass


def read_reply(receive, pending=b''):
    """Header, body and the bytes of both from receive(), which gives b'' at the end."""
    data = pending
    while True:
        try:
            header, at = unpack(data)
            body, end = unpack(data, at)
            return header, body, data[:at], data[at:end], data[end:]
        except Short:
            more = receive()
            if not more:
                raise Closed()
            data += more


DATA, WINDOW, PING, GOAWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
CREDIT = 262144


class Mux:
    """A yamux session as client; one thread, streams are read on demand."""

    def __init__(self, address, port, timeout=30, sock=None):
        self.sock = sock or connect(address, port, 4, timeout)
        self.buffer, self.next_id, self.streams, self.pongs = b'', 1, {}, 0
        self.goaway = None

    def frame(self, kind, flags, stream, length, payload=b''):
        self.sock.sendall(struct.pack('>BBHII', 0, kind, flags, stream, length) + payload)

    def open(self):
        st = MuxStream(self, self.next_id)
        self.next_id += 2
        self.streams[st.id] = st
        self.frame(WINDOW, SYN, st.id, 0)
        return st

    def pump(self):
        """Handles one frame."""
        while len(self.buffer) < 12:
            self.more()
        version, kind, flags, stream, length = struct.unpack('>BBHII', self.buffer[:12])
        assert version == 0 and kind <= GOAWAY, self.buffer[:12].hex()
        self.buffer = self.buffer[12:]
        payload = b''
        if kind == DATA:
            while len(self.buffer) < length:
                self.more()
            payload, self.buffer = self.buffer[:length], self.buffer[length:]
        if kind == PING:
            if flags & SYN:
                self.frame(PING, ACK, 0, length)
            else:
                self.pongs += 1
            return
        if kind == GOAWAY:
            self.goaway = length
            return
        st = self.streams.get(stream)
        if st:
            st.got(kind, flags, length, payload)

    def more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Closed()
        self.buffer += data

    def close(self):
        self.sock.close()


class MuxStream:
    def __init__(self, mux, number):
        self.mux, self.id = mux, number
        self.data, self.credit, self.owed = b'', CREDIT, 0
        self.ended = self.reset = self.acked = False

    def got(self, kind, flags, length, payload):
        self.acked |= bool(flags & ACK)
        if kind == WINDOW:
            self.credit += length
        else:
            self.data += payload
            self.owed += length
            if self.owed >= CREDIT // 2:
                self.mux.frame(WINDOW, 0, self.id, self.owed)
                self.owed = 0
        self.ended |= bool(flags & FIN)
        self.reset |= bool(flags & RST)

    def send(self, data):
        while data:
            while not self.credit:
                self.mux.pump()
            part, data = data[:self.credit], data[self.credit:]
            self.credit -= len(part)
            self.mux.frame(DATA, 0, self.id, len(part), part)

    def receive(self):
        while not self.data and not self.ended and not self.reset:
            self.mux.pump()
        data, self.data = self.data, b''
        return data

    def reply(self):
        header, body, _, raw, rest = read_reply(self.receive)
        self.data = rest + self.data
        return header, body, raw

    def finish(self):
        self.mux.frame(WINDOW, FIN, self.id, 0)

    def call(self, method, args, seq=1):
        self.send(pack({'Seq': seq, 'ServiceMethod': method}) + pack(args))
        header, body, _ = self.reply()
        return header['Error'].decode(), body

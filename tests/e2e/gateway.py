# SPDX-License-Identifier: Apache-2.0
"""A mesh gateway as TCP sees it: it reads the server name and the protocol names out of a
ClientHello, chooses where the bytes go, and never answers by itself. Every connection is recorded.
Decoys stand where nobody may ever connect to."""
import socket
import struct
import threading
import time


def read_hello(sock):
    """The raw bytes of a whole ClientHello, its server name and its protocol names."""
    raw = b''
    body = b''
    need = None
    while need is None or len(body) < need:
        while True:
            if len(raw) >= 5 and raw[0] != 0x16:
                raise ValueError('no TLS')
            records, at = [], 0
            while len(raw) - at >= 5 and len(raw) - at - 5 >= struct.unpack('>H', raw[at + 3:at + 5])[0]:
                n = struct.unpack('>H', raw[at + 3:at + 5])[0]
                records.append(raw[at + 5:at + 5 + n])
                at += 5 + n
            body = b''.join(records)
            if len(body) >= 4:
                need = 4 + int.from_bytes(body[1:4], 'big')
                if len(body) >= need:
                    break
            got = sock.recv(16384)
            if not got:
                raise EOFError
            raw += got
    at = 4 + 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack('>H', body[at:at + 2])[0]
    at += 1 + body[at]
    end = at + 2 + struct.unpack('>H', body[at:at + 2])[0]
    at += 2
    name, alpn = '', []
    while at + 4 <= end:
        kind, n = struct.unpack('>HH', body[at:at + 4])
        value = body[at + 4:at + 4 + n]
        at += 4 + n
        if kind == 0:
            name = value[5:5 + struct.unpack('>H', value[3:5])[0]].decode()
        elif kind == 16:
            k = 2
            while k < len(value):
                alpn.append(value[k + 1:k + 1 + value[k]].decode())
                k += 1 + value[k]
    return raw, name, alpn


class Gateway:
    """`routes`: server name -> (host, port); a key that begins with '*.' matches by suffix."""

    def __init__(self, address, port=8443, routes=None):
        self.address, self.port, self.routes = address, port, dict(routes or {})
        self.seen = []      # (server name, protocol, ok)
        self.hold = False   # takes bytes and passes none on
        self.lock = threading.Lock()
        self.open = set()
        self.listener = None
        self.black_hole = False

    def __str__(self):
        return '%s:%d' % (self.address, self.port)

    def start(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.address, self.port))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        if self.listener:
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listener.close()
            self.listener = None
        self.cut()

    def cut(self):
        """Ends every connection."""
        with self.lock:
            for s in self.open:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def backend(self, name):
        if name in self.routes:
            return self.routes[name]
        for key, to in self.routes.items():
            if key.startswith('*.') and name.endswith(key[1:]):
                return to
        return None

    def serve(self, sock):
        with self.lock:
            self.open.add(sock)
        up = None
        try:
            raw, name, alpn = read_hello(sock)
            to = self.backend(name)
            ok = to is not None
            if ok:
                try:
                    up = socket.create_connection(to, 5, (self.address, 0))
                    up.settimeout(None)
                except OSError:
                    ok = False
            with self.lock:
                self.seen.append((name, alpn[0] if alpn else '', ok))
                if up:
                    self.open.add(up)
            if not ok:
                return
            up.sendall(raw)
            back = threading.Thread(target=self.copy, args=(up, sock), daemon=True)
            back.start()
            self.copy(sock, up)
            back.join()
        except (OSError, EOFError, ValueError, IndexError):
            pass
        finally:
            with self.lock:
                for s in (sock, up):
                    self.open.discard(s)
                    if s:
                        s.close()

    def copy(self, src, dst):
        try:
            while True:
                data = src.recv(65536)
                if not data:
                    break
                while self.hold and self.listener:
                    time.sleep(0.05)
                dst.sendall(data)
        except OSError:
            pass
        for s in (src, dst):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pairs(self):
        with self.lock:
            return {(name, alpn) for name, alpn, _ in self.seen}

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Decoy:
    """Counts what arrives at an address where nothing may arrive, over TCP and UDP."""

    def __init__(self, address, ports):
        self.address, self.ports, self.arrived, self.socks = address, ports, [], []

    def __enter__(self):
        for port in self.ports:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                s = socket.socket(socket.AF_INET, kind)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((self.address, port))
                if kind == socket.SOCK_STREAM:
                    s.listen(16)
                self.socks.append(s)
                threading.Thread(target=self.watch, args=(s, kind, port), daemon=True).start()
        return self

    def watch(self, s, kind, port):
        while True:
            try:
                if kind == socket.SOCK_STREAM:
                    conn, peer = s.accept()
                    conn.close()
                    self.arrived.append(('tcp', port, peer))
                else:
                    _, peer = s.recvfrom(65536)
                    self.arrived.append(('udp', port, peer))
            except OSError:
                return

    def __exit__(self, *_):
        for s in self.socks:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

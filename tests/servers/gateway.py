#!/usr/bin/env python3
"""A gateway before several servers: who is asked, what is passed on and what is not, and what
happens when a server dies, is slow, or comes back.

The servers behind it are `rest` and `hello`, and, where a misbehaving one is due, sockets of this
test (Behind), which answer as they are told. What a test waits for is told by the gateway's own
metrics. See server.py for how to run it.

SPDX-License-Identifier: MIT
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import struct
import tempfile
import threading

from server import (Server, Skip, ask, equal, expect, main, measured, program, raw, reserved_port,
                    run, test, together)


class Gateway(Server):
    """The gateway before some servers (with a port), or ports."""

    def __init__(self, *behind, options=(), **more):
        ports = [getattr(each, 'port', each) for each in behind]
        self.names = [f'127.0.0.1:{port}' for port in ports]
        arguments = [word for name in self.names for word in ('--upstream', name)]
        super().__init__('gateway', '--admin', '0', *arguments, *options, **more)
        self.admin = int(re.search(r'metrics on http://127\.0\.0\.1:(\d+)', self.said())[1])

    def ask_admin(self, path):
        client = http.client.HTTPConnection('127.0.0.1', self.admin)
        with contextlib.closing(client):
            return ask(client, 'GET', path)

    def figure(self, name, number=0):
        """gateway_upstream_NAME of one server."""
        text = self.ask_admin('/metrics')[2].decode()
        found = re.search(rf'^gateway_upstream_{name}{{upstream="{self.names[number]}"}} (\d+)$',
                          text, re.MULTILINE)
        return int(found[1])

    def until(self, condition):
        """Probes come by themselves, and each may make it true."""
        while not condition():
            expect(self.process.poll() is None, 'the gateway has ended')


def quiet(*more):
    """Options for a gateway that in this test finds out nothing by probes, but for the first."""
    return ['--check', '86400000', *more]


class Behind:
    """A server that does with each request what a function says: serve(peer, head, rest)."""

    def __init__(self, serve):
        self.serve = serve
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        self.heads = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.socket.accept()
                threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    def answer(self, peer):
        with peer, contextlib.suppress(OSError):
            got = b''
            while b'\r\n\r\n' not in got:
                piece = peer.recv(65536)
                if not piece:
                    return
                got += piece
            head, rest = got.split(b'\r\n\r\n', 1)
            if head.startswith(b'GET /health '):
                peer.sendall(simple(b'ok'))
                return
            self.heads.append(head.decode('latin-1'))
            self.serve(peer, head, rest)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def simple(body, *headers, status='200 OK'):
    lines = [f'HTTP/1.1 {status}', f'Content-Length: {len(body)}', 'Connection: close', *headers]
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + body


def answering(*arguments, **options):
    return Behind(lambda peer, head, rest: peer.sendall(simple(*arguments, **options)))


@test
def requests_are_shared_among_servers():
    for options in [], ['--round-robin']:
        with Server('hello') as one, Server('hello') as two, Server('hello') as three, \
                Gateway(one, two, three, options=options) as gateway:
            client = gateway.client()
            for _ in range(30):
                equal(ask(client, 'GET', '/')[::2], (200, b'Hello, world\n'))
            client.close()
            equal([gateway.figure('requests_total', number) for number in range(3)], [10] * 3)
            expect(gateway.figure('connections_reused_total') >= 9, 'connections are not kept')


@test
def who_has_less_to_do_is_asked():
    hold = threading.Event()

    def slow(peer, head, rest):
        hold.wait()
        peer.sendall(simple(b'slow'))

    with Behind(slow) as one, answering(b'quick') as two, \
            Gateway(one, two, options=quiet()) as gateway:
        with gateway.connect() as waiting:
            waiting.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
            gateway.until(lambda: gateway.figure('active') == 1)
            for _ in range(10):
                equal(gateway.request('GET', '/')[2], b'quick')
            hold.set()
            expect(b'slow' in waiting.recv(65536), 'the first is answered, too')


@test
def notes_are_written_and_read_through_it():
    with Server('rest') as rest, Gateway(rest) as gateway:
        body = json.dumps({'title': 'ü' * 20, 'text': 'x' * 2000})
        status, headers, _ = gateway.request('POST', '/notes', body,
                                             {'Content-Type': 'application/json'})
        equal(status, 201)
        status, found, text = gateway.request('GET', headers['location'])
        equal((status, json.loads(text)['title']), (200, 'ü' * 20))
        equal(gateway.request('HEAD', headers['location'])[1]['content-length'],
              found['content-length'])
        equal(gateway.request('GET', headers['location'], None,
                              {'If-None-Match': found.get('etag', '')})[0],
              304 if found.get('etag') else 200)
        equal(gateway.request('GET', '/notes/999999')[0], 404)
        expect(gateway.request('DELETE', headers['location'])[0] in (200, 204), 'deleted')


@test
def headers_of_a_connection_stay_on_it():
    with answering(b'', 'Connection: X-Inner, close', 'X-Inner: 1', 'Keep-Alive: timeout=5',
                   'X-Outer: 2', 'Set-Cookie: a=1', 'Set-Cookie: b=2',
                   'Via: 1.1 inner') as behind, \
            Gateway(behind, options=quiet()) as gateway:
        _, headers, _ = gateway.request('GET', '/a%20b/../c?d=%2F&e', None, {
            'Host': 'www.example.org', 'Connection': 'X-Secret, keep-alive', 'X-Secret': '1',
            'Keep-Alive': '3', 'TE': 'trailers', 'Proxy-Authorization': 'x', 'X-Kept': 'yes',
            'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Host': 'evil', 'Forwarded': 'for=6.6.6.6',
            'X-Real-IP': '6.6.6.6', 'Via': '1.0 outer'})
        head = behind.heads[0]
        lines = head.split('\r\n')
        equal(lines[0], 'GET /a%20b/../c?d=%2F&e HTTP/1.1')
        for gone in 'x-secret', 'keep-alive', 'te', 'proxy-authorization', 'x-real-ip':
            expect(not re.search(rf'(?im)^{gone}:', head), head)
        expect('6.6.6.6' not in head and 'evil' not in head, head)
        for wanted in (f'Host: {gateway.names[0]}', 'x-kept: yes', 'X-Forwarded-For: 127.0.0.1',
                       'X-Forwarded-Host: www.example.org', 'X-Forwarded-Proto: http',
                       'Forwarded: for=127.0.0.1;host="www.example.org";proto=http',
                       'via: 1.0 outer', 'Via: 1.1 gateway'):
            expect(wanted in lines, (wanted, lines))
        expect('x-inner' not in headers and 'x-outer' in headers, headers)
        expect('timeout=5' not in str(headers), headers)
        equal(headers.get_all('set-cookie'), ['a=1', 'b=2'])
        equal(headers.get_all('via'), ['1.1 inner', '1.1 gateway'])
        equal(len(headers.get_all('date')), 1)


@test
def a_proxy_before_it_is_believed_if_told_to():
    with answering(b'') as behind, Gateway(behind, options=quiet('--trust')) as gateway:
        gateway.request('GET', '/', None, {'X-Forwarded-For': '9.9.9.9'})
        expect('x-forwarded-for: 9.9.9.9' in behind.heads[0]
               and 'X-Forwarded-For: 127.0.0.1' in behind.heads[0], behind.heads)


@test
def over_tls_it_tells_so():
    if not shutil.which('openssl'):
        raise Skip('openssl is not installed')
    with tempfile.TemporaryDirectory() as folder:
        cert = os.path.join(folder, 'cert.pem')
        equal(run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                   'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
                   '/CN=localhost', '-keyout', cert + '.key', '-out', cert])[0], 0)
        with answering(b'secret') as behind, \
                Gateway(behind, options=quiet('--cert', cert, '--key', cert + '.key')) as gateway:
            client = http.client.HTTPSConnection('127.0.0.1', gateway.port,
                                                 context=ssl._create_unverified_context())
            with contextlib.closing(client):
                equal(ask(client, 'GET', '/')[::2], (200, b'secret'))
            expect('X-Forwarded-Proto: https' in behind.heads[0]
                   and 'proto=https' in behind.heads[0], behind.heads)


@test
def nothing_can_be_smuggled():
    with answering(b'') as behind, Gateway(behind, options=quiet()) as gateway:
        for text in (b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n'
                     b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n',
                     b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
                     b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2'
                     b'\r\n\r\nab',
                     b'GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nabcde',
                     b'GET / HTTP/1.1\r\nHost: a"b\r\n\r\n',
                     b'GET /# HTTP/1.1\r\nHost: x\r\n\r\n',
                     b'GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n',
                     b'GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n'):
            answer = raw(gateway, text)
            expect(answer.startswith(b'HTTP/1.1 400'), (text, answer))
        equal(behind.heads, [])


@test
def other_protocols_and_trace_are_refused():
    with answering(b'') as behind, Gateway(behind, options=quiet()) as gateway:
        equal(gateway.request('GET', '/', None, {'Connection': 'Upgrade',
                                                 'Upgrade': 'websocket'})[0], 501)
        equal(gateway.request('TRACE', '/')[0], 405)
        expect(b'HTTP/1.1 200' not in raw(gateway, b'CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n'),
               'CONNECT')
        equal(behind.heads, [])


@test
def a_body_in_chunks_goes_through_as_it_comes():
    first = threading.Event()

    def echo(peer, head, rest):
        stream = peer.makefile('rb')
        got = rest
        while b'one' not in got:
            got += peer.recv(65536)
        first.set()  # before the client has sent the rest
        while not got.endswith(b'0\r\n\r\n'):
            got += peer.recv(65536)
        stream.close()
        peer.sendall(simple(str(sum(map(len, re.findall(rb'x+', got)))).encode()))

    with Behind(echo) as behind, Gateway(behind, options=quiet()) as gateway, \
            gateway.connect() as client:
        client.sendall(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
                       b'3\r\none\r\n')
        first.wait()
        for _ in range(200):
            client.sendall(b'2710\r\n' + b'x' * 10000 + b'\r\n')
        client.sendall(b'0\r\n\r\n')
        answer = client.recv(65536)
        while b'\r\n\r\n' not in answer or not answer.split(b'\r\n\r\n', 1)[1]:
            answer += client.recv(65536)
        expect(answer.endswith(b'2000000'), answer)
        expect('transfer-encoding: chunked' in behind.heads[0].lower(), behind.heads)


@test
def a_large_body_waits_for_a_slow_client():
    size = 100 << 20
    wrote = [0]

    def pour(peer, head, rest):
        peer.sendall(f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n'.encode())
        piece = b'x' * (1 << 20)
        for _ in range(size >> 20):
            peer.sendall(piece)
            wrote[0] += len(piece)

    with Behind(pour) as behind, \
            Gateway(behind, options=quiet(), environment=measured()) as gateway, \
            gateway.connect() as client:
        gateway.ask_admin('/metrics')
        before = gateway.memory_peak()
        client.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        got = len(client.recv(1000))
        for _ in range(200):  # many turns of the gateway, in which this client takes nothing
            equal(gateway.ask_admin('/health')[0], 200)
        expect(wrote[0] < size // 2, 'the gateway takes what nobody wants')
        while got < size:
            piece = client.recv(1 << 16)
            expect(piece, f'it ended after {got}')
            got += len(piece)
        grown = gateway.memory_peak() - before
        expect(grown < 16 << 20, f'{grown} bytes of memory')


@test
def a_large_upload_waits_for_a_slow_server():
    size = 64 << 20
    hold = threading.Event()

    def take(peer, head, rest):
        hold.wait()
        left = size - len(rest)
        while left:
            left -= len(peer.recv(1 << 16))
        peer.sendall(simple(b'all'))

    with Behind(take) as behind, \
            Gateway(behind, options=quiet(), environment=measured()) as gateway, \
            gateway.connect() as client:
        before = gateway.memory_peak()
        client.sendall(f'PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n'.encode())
        sender = threading.Thread(target=client.sendall, args=(b'x' * size,), daemon=True)
        sender.start()
        for _ in range(200):
            gateway.ask_admin('/health')
        expect(sender.is_alive(), 'the gateway takes what nobody wants')
        hold.set()
        sender.join()
        expect(b'all' in client.recv(65536), 'the answer')
        expect(gateway.memory_peak() - before < 16 << 20, 'memory grows')
        expect(f'content-length: {size}' in behind.heads[0].lower(), behind.heads)


@test
def an_answer_may_come_before_the_body_has():
    def refuse(peer, head, rest):
        peer.sendall(simple(b'too much', status='413 Content Too Large'))
        while peer.recv(1 << 16):
            pass

    with Behind(refuse) as behind, Gateway(behind, options=quiet()) as gateway, \
            gateway.connect() as client:
        client.sendall(b'PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nxxx')
        answer = b''
        while not answer.endswith(b'too much'):
            piece = client.recv(65536)
            expect(piece, answer)
            answer += piece
        expect(answer.startswith(b'HTTP/1.1 413 '), answer)


@test
def answers_without_an_end_come_as_they_are_made():
    go_on = threading.Event()

    def tell(peer, head, rest):
        peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
        for number in range(3):
            go_on.wait()
            go_on.clear()
            peer.sendall(b'data: %d\n\n' % number)

    with Behind(tell) as behind, Gateway(behind, options=quiet()) as gateway:
        client = gateway.client()
        client.request('GET', '/')
        answer = client.getresponse()  # its head is there before any event
        for number in range(3):
            go_on.set()
            equal((answer.readline(), answer.readline()), (b'data: %d\n' % number, b'\n'))
        equal(answer.read(), b'')
        client.close()


@test
def a_server_that_dies_under_load_costs_no_request():
    doomed = Server('hello')
    with Server('hello') as one, Gateway(one, doomed, options=quiet()) as gateway:
        begun, killed = threading.Barrier(9), threading.Event()

        def load(number):
            statuses = set()
            client = gateway.client()
            for round_number in range(300):
                if round_number == 50:
                    begun.wait()
                if round_number == 299:
                    killed.wait()  # whatever it was doing, it is now asked in vain
                status, _, body = ask(client, 'GET', f'/{number}/{round_number}')
                statuses.add((status, body))
            client.close()
            return statuses

        def kill(number):
            if number < 8:
                return load(number)
            begun.wait()
            doomed.process.kill()
            doomed.process.wait()
            killed.set()
            return None

        results = together(9, kill)
        equal(results[:8], [{(200, b'Hello, world\n')}] * 8)
        gateway.until(lambda: gateway.figure('up', 1) == 0)
        expect(gateway.figure('took_over_total', 0) > 0, 'nothing was tried again')
        with contextlib.suppress(AssertionError):
            doomed.__exit__(ValueError)


@test
def what_may_not_be_sent_twice_is_not():
    calls = []

    def hang_up(peer, head, rest):
        calls.append(head.split()[0])

    for method, body, times in (('GET', None, 2), ('PUT', None, 2), ('DELETE', None, 2),
                                ('POST', None, 1), ('POST', b'x', 1), ('PUT', b'x', 1),
                                ('PATCH', b'x', 1)):
        with Behind(hang_up) as one, Behind(hang_up) as two, \
                Gateway(one, two, options=quiet()) as gateway:
            calls.clear()
            status, _, text = gateway.request(method, '/', body)
            expect(status == 502 and b'failed' in text, (status, text))
            equal((method, body, len(calls)), (method, body, times))


@test
def an_answer_that_breaks_off_is_seen_to():
    def half(peer, head, rest):
        peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')

    def half_chunk(peer, head, rest):
        peer.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')

    for serve in half, half_chunk:
        with Behind(serve) as behind, Gateway(behind, options=quiet()) as gateway:
            answer = raw(gateway, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
            expect(b'half' in answer and not answer.endswith(b'0\r\n\r\n'), answer)
            try:
                text = gateway.request('GET', '/')[2]
            except http.client.IncompleteRead:
                continue
            raise AssertionError(text)


@test
def what_is_no_answer_is_502():
    for bytes_ in (b'hello\r\n\r\n', b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n'
                   b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
                   b'HTTP/1.1 200 OK\r\nX: ' + b'x' * 70000 + b'\r\n\r\n', b''):
        with Behind(lambda peer, head, rest, text=bytes_: peer.sendall(text)) as behind, \
                Gateway(behind, options=quiet()) as gateway:
            equal((bytes_[:50], gateway.request('GET', '/')[0]), (bytes_[:50], 502))


@test
def without_a_server_it_is_503():
    with reserved_port() as one, reserved_port() as other, \
            Gateway(one, other, options=quiet()) as gateway:
        gateway.request('GET', '/')  # both are tried, at the latest now
        gateway.request('GET', '/')
        status, headers, text = gateway.request('GET', '/')
        equal((status, headers['retry-after']), (503, '1'))
        expect(b'No server' in text, text)
        equal(gateway.ask_admin('/health')[0], 503)
        equal(gateway.request('POST', '/', b'x' * 100000)[0], 503)


@test
def a_slow_server_is_504():
    hold = threading.Event()

    def slow(peer, head, rest):
        if b'/half' in head:
            peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
        hold.wait()

    with Behind(slow) as behind, Gateway(behind, options=quiet('--first-byte', '100')) as gateway:
        status, _, text = gateway.request('GET', '/')
        expect(status == 504 and b'too long' in text, (status, text))
    with Behind(slow) as behind, Gateway(behind, options=quiet('--total', '100')) as gateway:
        equal(gateway.request('GET', '/')[0], 504)
        answer = raw(gateway, b'GET /half HTTP/1.1\r\nHost: x\r\n\r\n')
        expect(b' 504 ' in answer or answer.endswith(b'half'), answer)  # it ends in either way
    hold.set()


@test
def one_that_comes_back_is_tried_and_then_asked():
    with Server('hello') as one, reserved_port() as port, \
            Gateway(one, port, options=['--check', '50']) as gateway:
        gateway.until(lambda: gateway.figure('up', 1) == 0)
        with Server('hello', '--port', str(port)):
            gateway.until(lambda: gateway.figure('up', 1) == 1)
            before = gateway.figure('requests_total', 1)

            def is_asked():
                equal(gateway.request('GET', '/')[0], 200)
                return gateway.figure('requests_total', 1) > before

            gateway.until(is_asked)
            name = gateway.names[1]
            said = gateway.said()
            expect(said.index(f'{name} is down') < said.index(f'{name} is trying'), said)


@test
def a_probe_that_fails_takes_a_server_out():
    health = [200]
    with Behind(lambda peer, head, rest: peer.sendall(
            simple(b'', status=f'{health[0]} X'))) as behind, \
            Gateway(behind, options=['--check', '50', '--health', '/well']) as gateway:
        equal(gateway.ask_admin('/health')[0], 200)
        health[0] = 500
        gateway.until(lambda: gateway.figure('up') == 0)
        equal(gateway.request('GET', '/')[0], 503)
        health[0] = 204
        gateway.until(lambda: gateway.figure('up') == 1)
        equal(gateway.request('GET', '/')[0], 204)


@test
def a_client_that_goes_lets_go_of_the_server():
    arrived, hung_up = threading.Event(), threading.Event()

    def wait(peer, head, rest):
        arrived.set()
        with contextlib.suppress(ConnectionError):
            peer.recv(1)
        hung_up.set()

    with Behind(wait) as behind, Gateway(behind, options=quiet()) as gateway:
        with gateway.connect() as client:
            client.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
            arrived.wait()
            # A plain close could be that of a client which only sends no more, and still reads.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        hung_up.wait()  # or the server works for nobody
        gateway.until(lambda: gateway.figure('active') == 0)
        equal(gateway.figure('failures_total'), 0)


@test
def ctrl_c_lets_requests_end():
    hold = threading.Event()

    def slow(peer, head, rest):
        hold.wait()
        peer.sendall(simple(b'after all'))

    with Behind(slow) as behind, Gateway(behind) as gateway, gateway.connect() as client:
        client.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        gateway.until(lambda: behind.heads)
        gateway.process.terminate()
        gateway.until(lambda: 'finishing' in gateway.said())
        hold.set()
        answer = b''.join(iter(lambda: client.recv(65536), b''))
        expect(answer.endswith(b'after all'), answer)
        gateway.ended()


@test
def options_that_will_not_do_are_refused():
    for arguments in ([], ['--upstream', 'x:y'], ['--upstream', '127.0.0.1:1/path'],
                      ['--upstream', 'u@127.0.0.1:1'],
                      ['--upstream', '127.0.0.1:1', '--check', '0'],
                      ['--upstream', '127.0.0.1:1', '--admin', 'x'],
                      ['--upstream', '127.0.0.1:1', '--health', 'x'],
                      ['--upstream', '127.0.0.1:1'] * 33):
        equal((arguments, run([program('gateway'), '--port', '0', *arguments])[0]), (arguments, 1))
    with Server('hello') as hello:
        status, _, errors = run([program('gateway'), '--port', str(hello.port), '--admin', '0',
                                 '--upstream=127.0.0.1:1'])
        expect(status == 1 and 'Address already in use' in errors, errors)


main()

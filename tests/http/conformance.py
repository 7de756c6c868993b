#!/usr/bin/env python3
"""Sends the requests of conformance.txt to our server, to nginx and to node, and compares.

    conformance.py PROGRAM BUILD_FOLDER     prints TAP

PROGRAM --serve is our server. The others run where they are installed, each with a configuration,
a folder and a port of its own. In rows that are marked "framing" we must not be laxer than any of
them: what one of them refuses we refuse, and where both take it, they find as many requests in the
bytes as we do. Other rows may differ where the table has a line that says so, and why.

A peer that neither answers the probe nor closes waits for more. That is found out by order and not
by time: it has one thread, so once it has answered others often enough that came behind, it has
done with this one what it will. Our own server ends with the client.

SPDX-License-Identifier: MIT
"""

import concurrent.futures
import os
import re
import shutil
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROBE = b'GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n'
OTHERS = b'GET / HTTP/1.1\r\nHost: others\r\nConnection: close\r\n\r\n'
OFTEN = 20  # a request of a pipeline takes some turns of node's loop, and so does each of these
MEANINGS = {'r': b'\r', 'n': b'\n', 't': b'\t', '0': b'\0', '\\': b'\\'}
ESCAPE = re.compile(r'\\(?:x([0-9a-f]{2})|\{(\d+):([^}]*)\}|([rnt0\\]))|([^\\]+)')

NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi; keepalive_requests 100000;
    server {{ listen 127.0.0.1:{port}; return 200 "$request_method $request_uri "; }}
}}
"""

NODE = """
const server = require('http').createServer((req, res) => {
    const body = [];
    req.on('data', (piece) => body.push(piece));
    req.on('end', () => res.end(req.method + ' ' + req.url + ' ' + Buffer.concat(body)));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume();
"""


def decode(text):
    """The bytes of a line of the table."""
    out = b''
    for byte, count, repeated, letter, plain in ESCAPE.findall(text):
        if byte:
            out += bytes([int(byte, 16)])
        elif count:
            out += int(count) * decode(repeated)
        else:
            out += MEANINGS[letter] if letter else plain.encode()
    return out


class Row:
    """One request, or several, and what is said of it."""

    def __init__(self, text):
        lines = [line for line in text.split('\n') if not line.startswith('#')]
        marked = {mark: [line[4:] for line in lines if line.startswith(f'  {mark} ')]
                  for mark in '>=!:'}
        self.name = lines[0]
        words = marked['>'][0].split(' ')
        self.framing = 'framing' in words
        self.bare = 'bare' in words
        self.verdict = ' '.join(word for word in words if word not in ('framing', 'bare'))
        self.says = marked['='][0] if marked['='] else ''
        self.differs = {line.split(':')[0] for line in marked['!']}
        self.bytes = b''.join(decode(line) for line in marked[':'])


def read_table():
    with open(os.path.join(HERE, 'conformance.txt'), encoding='utf-8') as file:
        parts = [part.strip('\n') for part in file.read().split('\n\n')]
    return [Row(part) for part in parts if '\n  : ' in part]


# --- asking ---


def answers_of(received):
    """The statuses, and whether the last of them is the probe's."""
    found = [match for match in re.finditer(rb'HTTP/1\.[01] (\d\d\d)', received)
             if match[1] != b'100']
    is_open = bool(found) and b'GET /probe ' in received[found[-1].start():]
    statuses = [match[1].decode() for match in found]
    return statuses[:-1] if is_open else statuses, is_open


def read_all(client):
    return b''.join(iter(lambda: client.recv(65536), b''))


def see_others_answered(port):
    with socket.create_connection(('127.0.0.1', port)) as other:
        other.sendall(OTHERS)
        if not read_all(other):
            raise RuntimeError('the server has no answer for others')


def hear(client, port):
    """What comes until the server closes, or says no more while it answers others."""
    received, answered = b'', 0
    client.setblocking(False)
    while answered < OFTEN:
        try:
            piece = client.recv(65536)
        except BlockingIOError:
            see_others_answered(port)
            answered += 1
            continue
        except OSError:
            break
        if not piece:
            break
        received += piece
        answered = 0
    return received


def hear_to_the_end(client):
    received = b''
    try:
        while piece := client.recv(65536):
            received += piece
    except OSError:
        pass
    return received


def ask(port, row, half_close):
    """What comes back for a row. Others get no probe where we close after an answer, since some
    lose that answer to what they do not want."""
    bare = row.bare or (not half_close and '200' in row.verdict and 'close' in row.verdict)
    with socket.create_connection(('127.0.0.1', port)) as client:
        try:
            client.sendall(row.bytes if bare else row.bytes + PROBE)
            if half_close or row.bare:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed, and has said why
        return hear_to_the_end(client) if half_close else hear(client, port)


def judge(received):
    statuses, is_open = answers_of(received)
    return ' '.join(statuses + ['open' if is_open else 'close'])


# --- servers ---


class Child:
    """A server that prints its port and ends with its input."""

    def __init__(self, words):
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
        self.port = int(self.child.stdout.readline())

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        return self.child.wait()


class Nginx:
    def __init__(self, build):
        folder = os.path.join(build, 'conformance-nginx')
        os.makedirs(folder, exist_ok=True)
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        config = os.path.join(folder, 'nginx.conf')
        with open(config, 'w', encoding='utf-8') as file:
            file.write(NGINX.format(port=self.port))
        self.child = subprocess.Popen(['nginx', '-e', 'stderr', '-p', folder, '-c', config],
                                      stderr=subprocess.DEVNULL)
        self.wait()

    def wait(self):
        """Until it listens, which it does not tell."""
        while self.child.poll() is None:
            try:
                socket.create_connection(('127.0.0.1', self.port)).close()
                return
            except OSError:
                continue
        raise RuntimeError('nginx does not start')

    def close(self):
        self.child.terminate()
        return self.child.wait()


def ask_all(port, rows, half_close):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda row: ask(port, row, half_close), rows))


# --- what is compared ---


def is_refused(statuses, received):
    """Some answer is a refusal, or none came at all."""
    return not received or any(status[0] in '45' for status in statuses)


def difference(row, ours, theirs):
    """What is wrong with a row; None: nothing."""
    our_statuses, our_open = answers_of(ours)
    their_statuses, _ = answers_of(theirs)
    if not our_open and '200' in our_statuses:
        their_statuses = their_statuses[:len(our_statuses)]  # we have not read any further
    we_refuse, they_refuse = is_refused(our_statuses, ours), is_refused(their_statuses, theirs)
    if we_refuse == they_refuse:
        if not we_refuse and len(our_statuses) != len(their_statuses):
            return 'another number of requests'
        return None
    if row.framing:
        return None if we_refuse else 'we are laxer'
    return 'we refuse it' if we_refuse else 'we take it'


def is_old(peer):
    """Node's parser has grown stricter since 18: where ours is too, an old one has no reason."""
    if peer != 'node':
        return False
    said = subprocess.run(['node', '--version'], capture_output=True, text=True, check=True)
    return int(re.match(r'v(\d+)', said.stdout)[1]) < 20


def faults_of(rows, peer, ours, theirs):
    faults, old = [], is_old(peer)
    for row, our, their in zip(rows, ours, theirs):
        what = difference(row, our, their)
        known = peer in row.differs and not (row.framing and what)
        if what and not known and not (old and what == 'we refuse it'):
            faults.append(f'{row.name}: {what}: {judge(our)!r}, {peer} {judge(their)!r}')
    return faults


def report(number, name, faults):
    print(f'{"not " if faults else ""}ok {number} - {name}')
    for fault in faults:
        print('# ' + fault)
    return not faults


def main():
    program, build = sys.argv[1:3]
    rows = read_table()
    print('1..3')
    server = Child([program, '--serve', '--patient'])
    ours = ask_all(server.port, rows, True)
    wrong = [f'{row.name}: {judge(our)!r}, not {row.verdict!r} {row.says}'
             for row, our in zip(rows, ours)
             if judge(our) != row.verdict or row.says.encode() not in our]
    wrong += ['the server has not ended well'] if server.close() else []
    good = report(1, f'our server says what the table says to {len(rows)} requests', wrong)
    peers = {'nginx': lambda: Nginx(build), 'node': lambda: Child(['node', '-e', NODE])}
    for number, (peer, start) in enumerate(peers.items(), 2):
        name = f'we are no laxer than {peer} in what frames a message'
        if not shutil.which(peer):
            print(f'ok {number} - {name} # SKIP {peer} is not installed')
            continue
        server = start()
        theirs = ask_all(server.port, rows, False)
        server.close()
        good = report(number, name, faults_of(rows, peer, ours, theirs)) and good
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())

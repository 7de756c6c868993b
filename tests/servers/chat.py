#!/usr/bin/env python3
"""The chat from outside: guests that are plain sockets, a thousand of them, ones that are slow,
rude or dead, two processes with a real Redis between them that goes away, and the page in two tabs.
See server.py for how to run it.

SPDX-License-Identifier: MIT
"""

import base64
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

from server import (Server, Skip, browse, equal, expect, main, program, reserved_port, run,
                    test)

EVIL = '<img src=x onerror=alert(1)>'


class Guest:
    """A WebSocket by hand: text frames of JSON, masked with zeros."""

    def __init__(self, server, name=None, room='lobby', origin=None, small=False):
        self.peer = socket.socket()
        if small:
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.peer.connect(('127.0.0.1', server.port))
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ['GET /socket HTTP/1.1', f'Host: 127.0.0.1:{server.port}', 'Upgrade: websocket',
                 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', f'Sec-WebSocket-Key: {key}']
        lines += [f'Origin: {origin}'] if origin else []
        self.peer.sendall('\r\n'.join(lines + ['', '']).encode())
        self.stream = self.peer.makefile('rb')
        self.status = int(self.stream.readline().split()[1])
        while self.stream.readline() not in (b'\r\n', b''):
            pass
        self.name, self.room, self.id = name, room, None
        if name is not None:
            self.send(type='join', room=room, name=name)

    def frame(self, opcode, data):
        size = len(data)
        head = bytes([0x80 | opcode])
        head += bytes([0x80 | size]) if size < 126 else struct.pack('>BH', 0xfe, size)
        return head + bytes(4) + data

    def send(self, **message):
        self.peer.sendall(self.frame(1, json.dumps(message, ensure_ascii=False).encode()))

    def say(self, *texts):
        """Several at once, in one piece."""
        self.peer.sendall(b''.join(
            self.frame(1, json.dumps({'type': 'say', 'text': text}, ensure_ascii=False).encode())
            for text in texts))

    def read_frame(self):
        head = self.stream.read(2)
        if len(head) < 2:
            return None, b''
        size = head[1]
        if size == 126:
            size = struct.unpack('>H', self.stream.read(2))[0]
        elif size == 127:
            size = struct.unpack('>Q', self.stream.read(8))[0]
        return head[0] & 15, self.stream.read(size)

    def read(self):
        """The next message, or {'type': 'closed', 'code'}."""
        while True:
            opcode, data = self.read_frame()
            if opcode == 1:
                return json.loads(data)
            if opcode == 9:
                self.peer.sendall(self.frame(10, data))
            elif opcode == 8:
                return {'type': 'closed', 'code': struct.unpack('>H', data[:2])[0]}
            else:
                return {'type': 'closed', 'code': None}

    def wait(self, kind):
        """The next message of a type; others are passed over."""
        while True:
            message = self.read()
            if message['type'] == kind:
                return message
            expect(message['type'] != 'closed', f'{message}, instead of {kind}')

    def welcome(self):
        message = self.wait('welcome')
        self.id = message['you']
        return message

    def hear(self, text):
        """The message with this text."""
        while True:
            for message in self.wait('messages')['messages']:
                if message['text'] == text:
                    return message

    def see(self, name, here):
        """Until it is told that somebody has come or gone."""
        while True:
            for change in self.wait('people')['changes']:
                if (change['name'], change['here']) == (name, here):
                    return change

    def refused(self):
        return self.wait('refused')['what']

    def closed(self):
        """The code that it is closed with, whatever comes before."""
        while (message := self.read())['type'] != 'closed':
            pass
        return message['code']

    def close(self):
        """Without a word."""
        self.stream.close()
        self.peer.close()


@contextlib.contextmanager
def chat(*arguments):
    """A server, and a function that makes guests, who are gone before the server ends."""
    with Server('chat', *arguments) as server, contextlib.ExitStack() as guests:
        def guest(*words, **options):
            made = Guest(server, *words, **options)
            guests.callback(made.close)
            return made
        yield server, guest


@test
def two_people_talk():
    with chat() as (_, guest):
        ann = guest('Ann')
        welcome = ann.welcome()
        equal([welcome['room'], welcome['shared'], welcome['messages']], ['lobby', None, []])
        equal(welcome['people'], [{'id': ann.id, 'name': 'Ann'}])
        bob = guest('Bob')
        equal(sorted(each['name'] for each in bob.welcome()['people']), ['Ann', 'Bob'])
        equal(ann.see('Bob', True)['id'], bob.id)
        bob.say('hello, Ann')
        for each in ann, bob:
            message = each.hear('hello, Ann')
            equal([message['name'], message['from']], ['Bob', bob.id])


@test
def rooms_do_not_hear_each_other():
    with chat() as (_, guest):
        here, there = guest('Ann', 'one'), guest('Ann', 'two')
        here.welcome()
        there.welcome()
        here.say('only here')
        there.say('only there')
        here.hear('only here')
        equal(there.wait('messages')['messages'][0]['text'], 'only there')


@test
def who_comes_later_gets_the_last_hundred_messages():
    with chat() as (_, guest):
        said = []
        for number in range(12):
            speaker = guest(f'speaker {number}')
            speaker.welcome()
            texts = [f'{number} {each}' for each in range(9)]
            speaker.say(*texts)
            speaker.hear(texts[-1])
            said += texts
        messages = guest('late').welcome()['messages']
        equal([each['text'] for each in messages], said[-100:])
        equal(len({each['id'] for each in messages}), 100)


@test
def a_room_remembers_when_everybody_has_left():
    with chat() as (_, guest):
        ann = guest('Ann', 'den')
        ann.welcome()
        ann.say('for later')
        ann.hear('for later')
        witness = guest('witness', 'den')
        witness.welcome()
        ann.close()
        witness.see('Ann', False)
        witness.close()
        again = guest('again', 'den').welcome()
        equal(again['messages'][0]['text'], 'for later')


@test
def who_dies_has_left():
    with chat() as (_, guest):
        ann, bob = guest('Ann'), guest('Bob')
        ann.welcome()
        bob.welcome()
        reset = struct.pack('ii', 1, 0)
        bob.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        bob.close()
        ann.see('Bob', False)
        guest('Bob').welcome()  # the name is free again


@test
def names_rooms_and_messages_have_limits():
    with chat() as (_, guest):
        for name in '', '   ', 'x' * 33, 'a\nb', 'a\u202eb', 'a\u200bb', '\x7f':
            equal(guest(name).refused(), 'join')
        for room in '', 'x' * 33, 'a b', 'ü', '../x', 'a:b':
            equal(guest('Ann', room).refused(), 'join')
        ann = guest('  ' + 'ü' * 32 + ' ')
        equal(ann.welcome()['people'][0]['name'], 'ü' * 32)
        equal(guest('ü' * 32).refused(), 'join')
        for text in '', '  \n', '\xa0', 'x' * 1001, 'a\x00b', 'a\x1bb':
            ann.say(text)
            if '\x00' in text:
                equal(ann.closed(), 1008)
                ann = guest('Ann')
                ann.welcome()
            else:
                equal(ann.refused(), 'say')
        longest = '\U0001f600' * 1000
        ann.say(longest, 'a\tb\nc')
        ann.hear(longest)
        ann.hear('a\tb\nc')


@test
def markup_and_quotes_arrive_as_they_were_typed():
    with chat() as (_, guest):
        ann = guest('"}]' + EVIL[:28])
        ann.welcome()
        ann.say(EVIL + '"\\\u2028</script>')
        equal(ann.hear(EVIL + '"\\\u2028</script>')['name'], '"}]' + EVIL[:28])


@test
def who_speaks_too_fast_is_refused_and_at_last_put_out():
    with chat() as (_, guest):
        ann, bob = guest('Ann'), guest('Bob')
        ann.welcome()
        bob.welcome()
        ann.say(*(str(number) for number in range(40)))
        equal(ann.refused(), 'say')
        ann.say(*('more' for _ in range(400)))
        equal(ann.closed(), 1008)
        bob.see('Ann', False)
        bob.say('it is quiet again')
        bob.hear('it is quiet again')


@test
def nonsense_ends_the_socket():
    with chat() as (_, guest):
        for opcode, data, code in ((1, b'{', 1008), (1, b'[]', 1008), (1, b'{"type":"say"}', 1008),
                                   (1, b'{"type":"join","room":1,"name":[]}', 1008),
                                   (2, b'{"type":"join"}', 1008), (1, b'"\xff"', 1007),
                                   (1, b'[' * 10000, 1008), (1, b'x' * 20000, 1009)):
            rude = guest()
            rude.peer.sendall(rude.frame(opcode, data))
            equal(rude.read(), {'type': 'closed', 'code': code})
        twice = guest('Ann')
        twice.welcome()
        twice.send(type='join', room='lobby', name='Bob')
        equal(twice.closed(), 1008)


@test
def another_origin_is_turned_away():
    with chat() as (server, guest):
        equal(guest(origin='http://evil.example').status, 403)
        equal(guest(origin='null').status, 403)
        equal(guest(origin=server.url).status, 101)
        equal(guest().status, 101)


@test
def who_does_not_say_who_it_is_has_to_go():
    with chat() as (_, guest):
        equal(guest().read(), {'type': 'closed', 'code': 1008})


@test
def a_slow_one_is_dropped_and_the_others_do_not_notice():
    with chat() as (_, guest):
        witness, slow = guest('witness'), guest('slow', small=True)
        witness.welcome()
        witness.see('slow', True)
        text = '\U0001f600' * 1000
        for number in range(1000):
            with contextlib.closing(guest(f'speaker {number}')) as speaker:
                speaker.welcome()
                speaker.say(*[text] * 8, f'end {number}')
                speaker.hear(f'end {number}')
            gone = False
            heard = False
            while not heard:
                message = witness.read()
                changes = message.get('changes', [])
                gone |= any(not each['here'] and each['name'] == 'slow' for each in changes)
                heard = any(each['text'] == f'end {number}'
                            for each in message.get('messages', []))
            if gone:
                break
        expect(gone, 'nothing that waits for it is ever too much')
        expect(slow.peer.fileno() >= 0, 'it was ours to close')


@test
def a_thousand_are_in_one_room():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        raise Skip(f'at most {hard} descriptors')
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    with chat() as (server, guest):
        everybody = [guest(f'guest {number}') for number in range(1000)]
        for each in everybody:
            each.welcome()
        everybody[7].say('hello, all')
        for each in everybody:
            equal(each.hear('hello, all')['name'], 'guest 7')
        for each in everybody[500:]:
            each.close()
        left = set()
        while len(left) < 500:
            left |= {each['name'] for each in everybody[0].wait('people')['changes']
                     if not each['here']}
        everybody[1].say('are you there?')
        for each in everybody[:500]:
            each.hear('are you there?')
        print(f'# the most memory for 1,000: {server.memory_peak() >> 20} MiB')


@test
def ctrl_c_says_going_away():
    with Server('chat') as server:
        ann = Guest(server, 'Ann')
        ann.welcome()
        server.process.send_signal(signal.SIGINT)
        equal(ann.closed(), 1001)
        ann.peer.sendall(ann.frame(8, struct.pack('>H', 1001)))
        ann.close()
        server.ended()


@test
def its_pages_have_a_policy():
    with Server('chat') as server:
        for path in '/', '/chat.js', '/chat.css':
            status, headers, _ = server.request('GET', path)
            equal(status, 200)
            expect("script-src 'self'" in headers['content-security-policy'], headers)
        equal(server.request('GET', '/nothing')[0], 404)
        equal(server.request('GET', '/socket')[0], 400)
        expect(b'chat_requests_total' in server.request('GET', '/metrics')[2], 'no metrics')


@test
def the_page_works_in_two_tabs():
    with Server('chat') as server:
        browse('chat.js', server.url)


# --- several processes ---

class Redis:
    """A real one, which can be stopped and started again."""

    def __init__(self, port):
        if not shutil.which('redis-server'):
            raise Skip('redis-server is not installed')
        self.folder = tempfile.TemporaryDirectory()
        self.port = port
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ['redis-server', '--port', str(self.port), '--bind', '127.0.0.1', '--save', '',
             '--dir', self.folder.name], stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if 'Ready to accept connections' in line:
                return
        raise AssertionError('redis-server does not start')

    def stop(self):
        self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()


@contextlib.contextmanager
def two_of_them():
    help_text = run([program('chat'), '--help'])[1]
    expect('--redis' in help_text, help_text)
    with reserved_port() as port, Redis(port) as redis:
        where = f'127.0.0.1:{redis.port}'
        status, _, errors = run([program('chat'), '--redis', 'nonsense'])
        if 'without hiredis' in errors:
            raise Skip('chat is built without hiredis')
        equal(status, 1)
        with chat('--redis', where) as one, chat('--redis', where) as other:
            yield redis, one, other


def wait_shared(guest, shared):
    """Until its page would say so."""
    while guest.wait('shared')['shared'] != shared:
        pass


def meet(one, other):
    """Ann on the one and Bob on the other, who know of each other."""
    ann, bob = one[1]('Ann'), other[1]('Bob')
    known = ann.welcome(), bob.welcome()
    for guest, welcome, name in (ann, known[0], 'Bob'), (bob, known[1], 'Ann'):
        if name not in [each['name'] for each in welcome['people']]:
            guest.see(name, True)
    return ann, bob


@test
def two_processes_share_their_rooms():
    with two_of_them() as (_, one, other):
        ann, bob = meet(one, other)
        ann.say('across')
        equal(bob.hear('across')['from'], ann.id)
        bob.say(EVIL)
        equal(ann.hear(EVIL)['name'], 'Bob')
        equal(one[1]('Bob').refused(), 'join')
        bob.close()
        ann.see('Bob', False)
        late = other[1]('late')
        if not late.welcome()['messages']:
            late.hear('across')


@test
def a_process_that_ends_takes_its_people_along():
    with two_of_them() as (_, one, other):
        ann, bob = meet(one, other)
        other[0].process.send_signal(signal.SIGINT)
        ann.see('Bob', False)
        bob.close()
        other[0].ended()


@test
def redis_goes_away_and_comes_back():
    with two_of_them() as (redis, one, other):
        ann, bob = meet(one, other)
        redis.stop()
        wait_shared(ann, False)
        wait_shared(bob, False)
        ann.say('alone')
        ann.hear('alone')
        bob.say('alone too')
        bob.hear('alone too')
        redis.start()
        equal(bob.hear('alone')['from'], ann.id)
        equal(ann.hear('alone too')['from'], bob.id)
        bob.say('together again')
        ann.hear('together again')


@test
def a_redis_that_has_forgotten_is_told_again():
    with two_of_them() as (redis, one, other):
        ann, bob = meet(one, other)
        ann.say('remember me')
        bob.hear('remember me')
        redis.stop()
        wait_shared(ann, False)
        redis.start()
        with Server('chat', '--redis', f'127.0.0.1:{redis.port}') as third:
            with contextlib.closing(Guest(third, 'Eve')) as eve:
                eve.hear('remember me')


@test
def a_port_that_is_taken_ends_it_though_it_has_redis():
    with two_of_them() as (redis, one, _):
        status, _, errors = run([program('chat'), '--port', str(one[0].port),
                                 '--redis', f'127.0.0.1:{redis.port}'])
        expect(status == 1 and 'Address already in use' in errors, errors)


@test
def without_redis_it_goes_on_alone():
    with reserved_port() as nobody:
        status, _, errors = run([program('chat'), '--redis', 'nonsense'])
        if 'without hiredis' in errors:
            raise Skip('chat is built without hiredis')
        expect(status == 1 and 'HOST:PORT' in errors, errors)
        with chat('--redis', f'127.0.0.1:{nobody}') as (_, guest):
            ann, bob = guest('Ann'), guest('Bob')
            equal(ann.welcome()['shared'], False)
            bob.welcome()
            ann.say('all the same')
            bob.hear('all the same')


main()

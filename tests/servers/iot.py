#!/usr/bin/env python3
"""Readings of many devices, by UDP and by MQTT: each is counted once, what is missing is told by
the numbers, what is no reading is counted as that, and a broker may go and come back.

What a test waits for is told by the server's own events, once a second. See server.py for how to
run it.

SPDX-License-Identifier: MIT
"""

import contextlib
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

from server import (Server, Skip, browse, equal, expect, main, measured, program, reserved_port,
                    run, test)


class Iot(Server):
    """The server with its UDP port, and a socket to it."""

    def __init__(self, *arguments, **options):
        super().__init__('iot', '--udp', '0', *arguments, **options)
        self.udp = int(re.search(r'readings by UDP to 127\.0\.0\.1:(\d+)', self.said())[1])
        self.device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.device.connect(('127.0.0.1', self.udp))

    def __exit__(self, *raised):
        self.device.close()
        super().__exit__(*raised)

    def say(self, *lines):
        for line in lines:
            self.device.send(line if isinstance(line, bytes) else line.encode())

    def state(self):
        return json.loads(self.request('GET', '/state')[2])

    def until(self, condition):
        """The state in which the condition holds, which some event will bring."""
        with contextlib.closing(self.client()) as client:
            client.request('GET', '/events')
            answer = client.getresponse()
            equal(answer.headers['content-type'].split(';')[0], 'text/event-stream')
            state = self.state()
            while not condition(state):
                line = answer.readline()
                expect(line, 'the events have ended')
                if line.startswith(b'data:'):
                    state = json.loads(line[5:])
            return state

    def heard(self, count):
        """The state when so many datagrams have been taken."""
        return self.until(lambda state: state['udp']['datagrams'] >= count)


def simulate(*arguments):
    """What the devices say that they have done: readings, lost, late, twice, sent."""
    status, out, errors = run([program('iot_devices'), *map(str, arguments)])
    equal((status, errors), (0, ''))
    return {name: int(number) for number, name in re.findall(r'(\d+) (\w+)', out)}


def counts(state):
    readings = state['readings']
    return tuple(readings[name] for name in ('received', 'lost', 'late', 'twice'))


@test
def ten_thousand_devices_are_counted_exactly():
    with Iot() as server:
        done = simulate('--udp', f'127.0.0.1:{server.udp}', '--readings', 4, '--rate', 20000,
                        '--loss', 5, '--late', 4, '--twice', 3)
        equal((done['devices'], done['readings']), (10000, 40000))
        expect(min(done[name] for name in ('lost', 'late', 'twice')) > 100, done)
        state = server.until(lambda state: state['udp']['datagrams'] + state['udp']['dropped']
                             == done['sent'])
        equal((state['malformed'], state['refused']), (0, 0))
        received, lost, late, twice = counts(state)
        dropped = state['udp']['dropped']  # the kernel may do that, and says so
        equal(received + twice + dropped, done['sent'])
        if dropped == 0:
            equal((received, lost, late, twice),
                  (done['readings'] - done['lost'], done['lost'], done['late'], done['twice']))
            equal(state['devices'], 10000)
            device = json.loads(server.request('GET', '/devices/device-09999')[2])
            equal((device['next'], device['kind']), (4, 'temperature'))
        equal(sum(kind['total']['count'] for kind in state['kinds']), received)


@test
def numbers_tell_what_is_missing():
    top = 2 ** 32
    for numbers, wanted in (
            ([0, 1, 2], (3, 0, 0, 0)),
            ([7], (1, 0, 0, 0)),  # nobody knows what was before
            ([0, 3], (2, 2, 0, 0)),
            ([0, 3, 1], (3, 1, 1, 0)),
            ([0, 3, 1, 2, 2, 3, 0], (4, 0, 2, 3)),
            ([5, 2], (2, 2, 1, 0)),  # the first that came was late, and so were others
            ([5, 2, 3, 4], (4, 0, 3, 0)),
            ([top - 2, top - 1, 0, 1], (4, 0, 0, 0)),
            ([top - 1, 1, 0], (3, 0, 1, 0)),
            ([0, 200], (2, 199, 0, 0)),
            ([0, 63, 0], (2, 62, 0, 1)),  # the last 64 are remembered
            ([0, 63, 1], (3, 61, 1, 0)),
            ([1000, 0], (1, 0, 0, 0)),  # a stray,
            ([1000, 0, 1001], (2, 0, 0, 0)),  # which changes nothing,
            ([1000, 0, 1, 2], (3, 0, 0, 0)),  # but two in order are a new beginning
            ([1000, 200000, 1001], (2, 0, 0, 0))):
        with Iot() as server:
            server.say(*(f'd k {number} 1' for number in numbers))
            equal((numbers, counts(server.heard(len(numbers)))), (numbers, wanted))


@test
def what_is_no_reading_is_counted_as_that():
    wrong = ['', 'd', 'd k', 'd k 1', 'd k 1 ', 'd k  1 2', ' d k 1 2', 'd k 1 2 ', 'd k 1 2 3',
             'd k -1 2', 'd k 1.0 2', 'd k 4294967296 2', 'd k 99999999999999999999 2',
             'd k 1 nan', 'd k 1 inf', 'd k 1 0x10', 'd k 1 1e101', 'd k 1 1e999', 'd k 1 .',
             'd k 1 2\n\n', 'd k 1 2\0', 'd\tk\t1\t2', 'd/e k 1 2', '<b> k 1 2', 'ü k 1 2',
             'x' * 32 + ' k 1 2', 'd ' + 'k' * 16 + ' 1 2', 'd k 1 ' + '1' * 200, b'\xff' * 1000,
             b'd k 1 2' + b' ' * 60000, '{"device":"d"}']
    right = ['d k 1 2', 'd k 2 -2.5e3\n', 'x' * 31 + ' k 1 2', 'd ' + 'k' * 15 + ' 3 +.5',
             'A-z_0.9 k 4294967295 0']
    with Iot() as server:
        server.say(*wrong, *right)
        state = server.heard(len(wrong) + len(right))
        equal(state['malformed'], len(wrong))
        equal((counts(state), state['devices']), ((len(right), 0, 0, 0), 3))


@test
def who_is_one_too_many_is_refused_and_the_others_go_on():
    with open(program('iot'), 'rb') as file:  # the address sanitizer has shadows of all batches
        room = (8 if b'__asan_init' in file.read() else 1) << 20
    with Iot('--devices', '3', environment=measured()) as server:
        server.say('a k 1 1', 'b k 1 1', 'c k 1 1', 'd k 1 1', 'a k 2 1', 'd l 2 1')
        state = server.heard(6)
        equal((state['devices'], state['refused'], counts(state)), (3, 2, (4, 0, 0, 0)))
        equal([kind['name'] for kind in state['kinds']], ['k'])
        equal(server.request('GET', '/devices/d')[0], 404)

        def refuse(count):
            simulate('--udp', f'127.0.0.1:{server.udp}', '--devices', count, '--readings', 1,
                     '--rate', 40000)
            nonlocal refused
            refused += count
            equal(server.until(lambda state: state['refused'] + state['udp']['dropped']
                               == refused)['devices'], 3)

        refused = 2
        refuse(20000)  # whole batches need their room for the first time
        before = server.memory_peak()
        refuse(20000)
        expect(server.memory_peak() < before + room, 'memory grows')


@test
def kinds_beyond_sixteen_are_refused():
    with Iot() as server:
        server.say(*(f'a kind{number} {number} 1' for number in range(20)))
        state = server.heard(20)
        equal((len(state['kinds']), state['refused']), (16, 4))


@test
def aggregates_are_those_of_the_readings():
    with Iot() as server:
        server.say('a t 1 10', 'b t 1 20', 'b t 1 20', 'a t 3 -3', 'a t 2 5', 'c h 1 99')
        server.heard(6)
        state = server.until(lambda state: sum(state['rates']) == 5)
        warm, humid = state['kinds']
        for window in 'total', '59':  # they may have left a shorter one before this looks
            equal({name: warm[window].get(name) for name in ('count', 'min', 'max', 'mean', 'late',
                                                             'twice')},
                  {'count': 4, 'min': -3, 'max': 20, 'mean': 8, 'late': 1, 'twice': 1})
            equal((humid[window]['count'], humid[window]['mean']), (1, 99))
        expect(warm['59']['rate'] > 0, warm)
        equal(json.loads(server.request('GET', '/devices/a')[2])['value'], -3)  # 5 was late


@test
def paths_and_names_are_answered():
    with Iot() as server:
        for path, wanted in (('/', 200), ('/iot.js', 200), ('/state', 200), ('/metrics', 200),
                             ('/devices/x', 404), ('/devices/%00', 404), ('/devices/a%2Fb', 404),
                             ('/devices/' + 'x' * 200, 404), ('/nothing', 404)):
            equal((path, server.request('GET', path)[0]), (path, wanted))
        equal(server.request('POST', '/state')[0], 405)


@test
def who_looks_on_does_not_hold_up_the_end():
    with Iot() as server:
        client = server.client()
        client.request('GET', '/events')
        answer = client.getresponse()
        server.stop()
        answer.read()
        client.close()


@test
def options_that_will_not_do_are_refused():
    for arguments in (['--udp', 'x'], ['--udp', '65536'], ['--devices', '0'],
                      ['--devices', '1000001'], ['--mqtt', 'x'], ['--mqtt', '127.0.0.1:x'],
                      ['--mqtt', 'localhost:1883']):
        equal((arguments, run([program('iot'), '--port', '0', '--udp', '0', *arguments])[0]),
              (arguments, 1))
    for arguments in (['--rate', '0'], ['--loss', '101'], ['--udp', 'nowhere'], ['more'],
                      ['--mqtt', 'x'], ['--udp', '127.0.0.1']):
        equal((arguments, run([program('iot_devices'), *arguments])[0]), (arguments, 1))
    with Iot() as server:
        status, _, errors = run([program('iot'), '--port', str(server.port), '--udp', '0'])
        expect(status == 1 and 'Address already in use' in errors, errors)


# --- MQTT ---

def broker_port():
    """For a broker; if there is anybody to hear it."""
    if 'Function not implemented' in run([program('iot_devices'), '--mqtt', 'x'])[2]:
        raise Skip('built without libmosquitto')
    return reserved_port()


@contextlib.contextmanager
def broker(port):
    """A mosquitto that keeps what waits for a subscriber, as long as it runs."""
    path = shutil.which('mosquitto', path=os.environ['PATH'] + ':/usr/sbin')
    if not path:
        raise Skip('mosquitto is not installed')
    with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
        file.write(f'listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n'
                   f'max_queued_messages 0\nlog_dest stderr\nuser {getpass.getuser()}\n')
        file.flush()
        process = subprocess.Popen([path, '-c', file.name], stderr=subprocess.PIPE, text=True)
        try:
            for line in process.stderr:
                if ' running' in line:
                    break
            expect(process.poll() is None, 'the broker has ended')
            yield process
        finally:
            process.kill()
            process.communicate()


def is_connected(server):
    server.until(lambda state: state['mqtt']['state'] == 'connected')


@test
def readings_by_a_broker_are_counted_exactly():
    with broker_port() as port, broker(port), Iot('--mqtt', f'127.0.0.1:{port}') as server:
        is_connected(server)
        done = simulate('--mqtt', f'127.0.0.1:{port}', '--readings', 3, '--rate', 20000,
                        '--loss', 5, '--late', 4, '--twice', 3)
        state = server.until(lambda state: state['mqtt']['messages'] >= done['sent'])
        equal((state['devices'], state['udp']['datagrams'], state['malformed']), (10000, 0, 0))
        equal(counts(state), (done['readings'] - done['lost'], done['lost'], done['late'],
                              done['twice']))


@test
def both_ways_lead_to_the_same_device():
    with broker_port() as port, broker(port), Iot('--mqtt', f'127.0.0.1:{port}') as server:
        is_connected(server)
        arguments = '--devices', 10, '--readings', 1
        simulate('--mqtt', f'127.0.0.1:{port}', *arguments)
        server.until(lambda state: state['mqtt']['messages'] == 10)
        simulate('--udp', f'127.0.0.1:{server.udp}', *arguments)
        equal(counts(server.heard(10)), (10, 0, 0, 10))


@test
def a_broker_may_come_late_go_away_and_come_back():
    with broker_port() as port, Iot('--mqtt', f'127.0.0.1:{port}') as server:
        server.until(lambda state: state['mqtt']['state'] == 'away')
        for visit in 1, 2:
            with broker(port):
                is_connected(server)
                equal(server.state()['mqtt']['connections'], visit)
                simulate('--mqtt', f'127.0.0.1:{port}', '--devices', 10, '--readings', 2)
                server.until(lambda state: state['mqtt']['messages'] >= 20 * visit)
            server.until(lambda state: state['mqtt']['state'] != 'connected')
            server.say(f'by-udp k {visit} 1')  # goes on meanwhile
            server.heard(visit)
        equal(counts(server.state()), (22, 0, 0, 20))


@test
def devices_wait_for_a_broker_that_is_not_there_yet():
    with broker_port() as port:
        command = [program('iot_devices'), '--mqtt', f'127.0.0.1:{port}', '--devices', '10',
                   '--readings', '2']
        with Iot('--mqtt', f'127.0.0.1:{port}') as server, \
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as devices:
            try:
                with broker(port):
                    out = devices.communicate()[0]
                    expect(devices.returncode == 0 and '20 sent' in out, out)
                    is_connected(server)
            finally:
                devices.kill()


@test
def the_page_shows_what_comes():
    with Iot() as server:
        server.say('pump-7 temperature 1 20', 'pump-7 temperature 4 22', 'nonsense')
        server.heard(3)
        browse('iot.js', server.url, server.udp)


main()

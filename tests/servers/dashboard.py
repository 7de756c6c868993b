#!/usr/bin/env python3
"""The dashboard from outside: events as curl and as a browser that comes back read them, the
numbers for Prometheus, the button that blocks the loop, and the page. See server.py for how to run
it.

What the numbers are is the machine's affair: here they are held to what they must be on any.

SPDX-License-Identifier: MIT
"""

import contextlib
import json
import re
import shutil
import subprocess

from server import Server, Skip, browse, equal, expect, main, raw, test


class Events:
    """A stream of events, as it is read by hand."""

    def __init__(self, server, last=None):
        self.client = server.client()
        headers = {'Last-Event-ID': last} if last else {}
        self.client.request('GET', '/events', headers=headers)
        self.answer = self.client.getresponse()
        equal((self.answer.status, self.answer.headers['content-type']),
              (200, 'text/event-stream'))

    def read(self):
        """The next event: its id, its type and its data. Comments, and ids alone, are none."""
        event = {'type': 'message'}
        while line := self.answer.readline().decode().rstrip('\n'):
            name, _, value = line.partition(':')
            if name in ('id', 'event', 'data'):
                event['type' if name == 'event' else name] = value.strip()
        expect(not self.answer.isclosed(), 'the stream has ended')
        return event if 'data' in event else self.read()

    def sample(self):
        event = self.read()
        return event['id'], json.loads(event['data'])

    def close(self):
        self.client.close()


@contextlib.contextmanager
def events(server, last=None):
    with contextlib.closing(Events(server, last)) as stream:
        yield stream


@test
def curl_sees_events():
    if not shutil.which('curl'):
        raise Skip('curl is not installed')
    with Server('dashboard') as server:
        with subprocess.Popen(['curl', '-sN', f'{server.url}/events'], stdout=subprocess.PIPE,
                              text=True) as curl:
            lines = []
            while len(lines) < 2:
                line = curl.stdout.readline()
                expect(line, 'the stream has ended')
                if line.startswith('data:'):
                    lines.append(json.loads(line[5:]))
            curl.terminate()
        equal(lines[1]['n'], lines[0]['n'] + 1)


@test
def a_sample_has_numbers_that_can_be():
    with Server('dashboard') as server, events(server) as stream:
        _, sample = stream.sample()
        machine, loop, pool, web = (sample[name] for name in ('machine', 'loop', 'pool', 'server'))
        expect(all(0 <= share <= 100 for share in machine['cpu'].values()), machine)
        expect(0 < machine['memory']['used'] < machine['memory']['all'], machine)
        expect(len(machine['load']) == 3 and min(machine['load']) >= 0, machine)
        expect(min(machine['net'].values()) >= 0, machine)
        expect(0 <= loop['lag'] <= loop['lag99'] <= loop['lagMost'], loop)
        expect(0 <= loop['busy'] <= 100 and loop['turns'] > 0 and loop['callbacks'] > 0, loop)
        expect(loop['handles'] >= 2, loop)
        expect(pool['threads'] >= 1 and pool['done'] > 0, pool)
        expect(web['connections'] >= 1 and web['active'] >= 1, web)
        _, second = stream.sample()
        equal(second['n'], sample['n'] + 1)
        expect(second['at'] >= sample['at'], second)  # it may have come late, and this at once
        equal(second['server']['viewers'], 1)


@test
def who_comes_back_gets_what_was_missed():
    with Server('dashboard') as server:
        with events(server) as stream:
            last, seen = stream.sample()
        with events(server) as others:  # meanwhile
            missed = [others.sample()[1]['n'] for _ in range(3)]
        with events(server, last) as stream:
            numbers = [stream.sample()[1]['n']]
            while numbers[-1] <= missed[-1]:
                numbers.append(stream.sample()[1]['n'])
        equal(numbers, list(range(seen['n'] + 1, missed[-1] + 2)))


@test
def an_id_of_another_run_is_told_that_all_is_lost():
    with Server('dashboard') as server:
        with events(server) as stream:
            stream.sample()
        with events(server, 'of-another-run') as stream:
            equal(stream.read()['type'], 'lost')


@test
def the_last_two_minutes_can_be_asked_for():
    with Server('dashboard') as server, events(server) as stream:
        for _ in range(2):
            _, newest = stream.sample()
        status, headers, body = server.request('GET', '/samples')
        equal((status, headers['content-type']), (200, 'application/json'))
        samples = json.loads(body)
        numbers = [sample['n'] for sample in samples]
        equal(numbers, list(range(2, 2 + len(numbers))))
        expect(newest in samples, newest)


@test
def prometheus_gets_totals():
    with Server('dashboard') as server, events(server) as stream:
        stream.sample()
        status, headers, body = server.request('GET', '/metrics')
        equal((status, headers['content-type']),
              (200, 'text/plain; version=0.0.4; charset=utf-8'))
        lines = body.decode().splitlines()
        numbers = {}
        for line in lines:
            expect(line.startswith('# TYPE ')
                   or re.fullmatch(r'[a-z_0-9]+({[^}]*})? [0-9.e+-]+', line), line)
            if not line.startswith('#'):
                name, number = line.rsplit(' ', 1)
                expect(name not in numbers, f'{name} twice')
                numbers[name] = float(number)
        for name in ('machine_cpu_ticks_total', 'machine_memory_bytes', 'loop_turns_total',
                     'loop_callbacks_total', 'pool_done_total', 'dashboard_requests_total'):
            expect(numbers[name] > 0, name)
        expect('loop_lag_seconds{quantile="0.99"}' in numbers, numbers)


@test
def blocking_the_loop_can_be_seen():
    with Server('dashboard') as server, events(server) as stream:
        stream.sample()
        equal(server.request('POST', '/block')[0], 204)
        worst = 0
        while worst < 30:  # of the 50 ms those until the next beat may be missing
            worst = stream.sample()[1]['loop']['lagMost']


@test
def blocking_is_for_its_own_page():
    with Server('dashboard') as server:
        for headers in ({'Origin': 'http://evil.example'}, {'Origin': 'null'},
                        {'Origin': server.url + '.evil.example'},
                        {'Origin': server.url, 'Sec-Fetch-Site': 'cross-site'},
                        {'Sec-Fetch-Site': 'same-site'}):
            equal(server.request('POST', '/block', headers=headers)[0], 403)
        equal(server.request('GET', '/block')[0], 405)
        own = {'Origin': server.url, 'Sec-Fetch-Site': 'same-origin'}
        equal(server.request('POST', '/block', headers=own)[0], 204)


@test
def blocking_is_rationed():
    with Server('dashboard') as server:
        lines = ['POST /block HTTP/1.1', 'Host: x', 'Content-Length: 0', '', '']
        answers = raw(server, '\r\n'.join(lines).encode() * 2).decode()
        equal(re.findall('HTTP/1.1 ([0-9]+)', answers), ['204', '429'])
        expect('retry-after: 2\r\n' in answers.lower(), answers)


@test
def ctrl_c_ends_the_streams():
    with Server('dashboard') as server, events(server) as stream:
        stream.sample()
        server.stop()
        rest = stream.answer.read()  # a sample may have come before the signal, and is whole
        expect(not rest or rest.endswith(b'\n\n'), rest)


@test
def a_port_that_is_taken_ends_it():
    with Server('dashboard') as server:
        done = subprocess.run([server.process.args[0], '--port', str(server.port)],
                              capture_output=True, text=True, check=False)
        expect(done.returncode == 1 and 'Address already in use' in done.stderr, done)


@test
def its_pages_have_a_policy():
    with Server('dashboard') as server:
        for path in '/', '/chart.js', '/dashboard.js', '/dashboard.css':
            status, headers, _ = server.request('GET', path)
            equal(status, 200)
            expect("script-src 'self'" in headers['content-security-policy'], headers)
        equal(server.request('GET', '/nothing')[0], 404)


@test
def the_page_moves():
    with Server('dashboard') as server:
        browse('dashboard.js', server.url)


main()

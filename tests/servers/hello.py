#!/usr/bin/env python3
"""The smallest server, and with it what all of them have from examples/servers/common/serve.c:
options, the first line, the end by a signal. See server.py for how to run it.

SPDX-License-Identifier: MIT
"""

import signal

from server import Server, ask, equal, expect, main, program, raw, run, test


@test
def it_says_hello():
    with Server('hello') as server:
        status, headers, body = server.request('GET', '/')
        equal((status, body), (200, b'Hello, world\n'))
        equal(headers['content-type'], 'text/plain; charset=utf-8')


@test
def connections_are_kept_and_requests_pipelined():
    with Server('hello') as server:
        client = server.client()
        for _ in range(3):
            equal(ask(client, 'GET', '/')[0], 200)
        client.close()
        answers = raw(server, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' * 10)
        equal(answers.count(b'Hello, world\n'), 10)


@test
def sigterm_and_ctrl_c_end_it_with_status_0():
    for number in signal.SIGTERM, signal.SIGINT:
        with Server('hello') as server:
            server.stop(number)


@test
def its_help_names_its_options_and_others_are_refused():
    status, out, _ = run([program('hello'), '--help'])
    expect(status == 0 and '--port' in out and '--cert' in out, out)
    equal(run([program('hello'), '--nonsense'])[0], 1)
    equal(run([program('hello'), '--port', '70000'])[0], 1)


@test
def a_certificate_that_is_not_there_is_told_in_a_sentence():
    for name in 'hello', 'rest', 'login':
        status, _, errors = run([program(name), '--port', '0', '--cert', '/none/cert.pem'])
        expect(status == 1 and 'No such file' in errors, (name, status, errors))


@test
def a_port_that_is_taken_is_told_in_a_sentence():
    with Server('hello') as server:
        status, _, errors = run([program('hello'), '--port', str(server.port)])
        expect(status == 1 and 'Address already in use' in errors, errors)


main()

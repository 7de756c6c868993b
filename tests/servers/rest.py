#!/usr/bin/env python3
"""The REST API from outside: each verb, each way to be refused, many clients at once, and a
database that is locked, broken or not there. See server.py for how to run it.

SPDX-License-Identifier: MIT
"""

import json
import os
import signal
import socket
import sqlite3
import tempfile
from urllib.parse import quote

from server import (Server, Skip, ask, descriptors_for, equal, expect, main, program, raw, run,
                    test, together)

JSON = {'Content-Type': 'application/json'}


def call(server, method, target, value=None, headers=None):
    """Status, headers, and what the JSON says (None: there is no body)."""
    body = None if value is None else json.dumps(value)
    status, found, text = server.request(method, target, body, {**JSON, **(headers or {})})
    return status, found, json.loads(text) if text else None


def create(server, **fields):
    status, headers, note = call(server, 'POST', '/notes', fields)
    equal(status, 201)
    return headers['location'], note


def fault_of(answer):
    """The status of a refusal, and the fields that it names."""
    status, headers, problem = answer
    equal(headers['content-type'], 'application/problem+json')
    equal(problem['status'], status)
    return status, [each['field'] for each in problem.get('errors', [])]


@test
def a_note_is_created_read_replaced_changed_and_deleted():
    with Server('rest') as server:
        status, headers, note = call(server, 'POST', '/notes', {'title': 'Grüße', 'text': 'a\nb'})
        equal((status, headers['location'], headers['etag']), (201, '/notes/1', '"1"'))
        equal((note['title'], note['text'], note['done']), ('Grüße', 'a\nb', False))
        equal(call(server, 'GET', '/notes/1')[2], note)
        status, headers, note = call(server, 'PUT', '/notes/1', {'title': 'New', 'done': True})
        equal((status, headers['etag']), (200, '"2"'))
        equal((note['title'], note['text'], note['done']), ('New', '', True))
        note = call(server, 'PATCH', '/notes/1', {'text': 'more', 'done': None})[2]
        equal((note['title'], note['text'], note['done'], note['version']),
              ('New', 'more', False, 3))
        equal(call(server, 'DELETE', '/notes/1')[0::2], (204, None))
        for method in 'GET', 'DELETE':
            equal(fault_of(call(server, method, '/notes/1')), (404, []))
        equal(create(server, title='next')[0], '/notes/2')  # an id is never used again


@test
def head_and_options_are_answered():
    with Server('rest') as server:
        create(server, title='one')
        status, headers, body = server.request('HEAD', '/notes/1')
        equal((status, headers['etag'], body), (200, '"1"', b''))
        expect(int(headers['content-length']) > 50, headers)
        status, headers, _ = server.request('OPTIONS', '/notes/1')
        expect(status in (200, 204), status)
        for method in 'GET', 'PUT', 'PATCH', 'DELETE':
            expect(method in headers['allow'], headers['allow'])


@test
def a_field_that_is_wrong_is_named():
    with Server('rest') as server:
        create(server, title='one')
        for fields, wrong in (
                ({}, ['title']), ({'title': ''}, ['title']), ({'title': 'x' * 201}, ['title']),
                ({'title': 7}, ['title']), ({'title': None}, ['title']),
                ({'title': 'x', 'text': 5}, ['text']),
                ({'title': 'x', 'text': 'y' * 10001}, ['text']),
                ({'title': 'x', 'done': 'yes'}, ['done']),
                ({'title': 'x', 'id': 9}, ['id']),
                ({'done': 1, 'text': [], 'colour': 'red'}, ['title', 'done', 'text', 'colour']),
                ([], ['']), ('title', ['']), (None, [''])):
            body = json.dumps(fields)
            for method, target in ('POST', '/notes'), ('PUT', '/notes/1'):
                status, headers, text = server.request(method, target, body, JSON)
                equal(fault_of((status, headers, json.loads(text))), (422, wrong))
        equal(fault_of(call(server, 'PATCH', '/notes/1', {'title': None})), (422, ['title']))
        equal(call(server, 'PATCH', '/notes/1', {})[0], 200)
        equal(call(server, 'PUT', '/notes/1', {'title': 'ü' * 200, 'text': 'y' * 10000})[0], 200)


@test
def pages_follow_their_links_to_the_end():
    with Server('rest') as server:
        for number in range(25):
            create(server, title=f'note {number}', done=number % 2 == 0)
        equal(len(call(server, 'GET', '/notes')[2]), 20)
        target, seen = '/notes?limit=4&done=true&q=NOTE', []
        while target:
            _, headers, notes = call(server, 'GET', target)
            seen += [note['id'] for note in notes]
            link = headers['link']
            target = link and link[link.index('<') + 1:link.index('>')]
            if len(seen) == 4:  # what comes and goes meanwhile moves no page
                call(server, 'DELETE', '/notes/1')
        equal(seen, list(range(1, 26, 2)))
        equal([note['id'] for note in call(server, 'GET', '/notes?q=note%201&limit=3')[2]],
              [2, 11, 12])
        equal(call(server, 'GET', '/notes?after=25')[2], [])
        equal(call(server, 'GET', '/notes?q=100%25')[2], [])


@test
def a_query_that_is_wrong_is_400_and_named():
    with Server('rest') as server:
        for query, field in (('limit=0', 'limit'), ('limit=101', 'limit'), ('limit=-1', 'limit'),
                             ('limit=1e1', 'limit'), ('limit=', 'limit'), ('after=x', 'after'),
                             ('after=99999999999999999999', 'after'), ('done=yes', 'done'),
                             ('done=', 'done'), ('q=' + 'x' * 200, 'q'), ('q=a%00b', 'q'),
                             ('q=%zz', 'q')):
            equal(fault_of(call(server, 'GET', '/notes?' + query)), (400, [field]))


@test
def two_writers_do_not_undo_each_other():
    with Server('rest') as server:
        create(server, title='one')
        for tag, status in (('"1"', 200), ('"1"', 412), ('"9", "2"', 200), ('W/"3"', 412),
                            ('*', 200), ('3', 412), ('""', 412)):
            equal(call(server, 'PATCH', '/notes/1', {'text': tag}, {'If-Match': tag})[0], status)
        equal(call(server, 'PUT', '/notes/1', {'title': 'x'}, {'If-Match': '"1"'})[0], 412)
        equal(call(server, 'DELETE', '/notes/1', None, {'If-Match': '"1"'})[0], 412)
        equal(call(server, 'GET', '/notes/1', None, {'If-None-Match': 'W/"4"'})[0::2], (304, None))
        equal(call(server, 'GET', '/notes/1', None, {'If-None-Match': '"1"'})[0], 200)
        equal(call(server, 'DELETE', '/notes/1', None, {'If-Match': '"4"'})[0], 204)
        equal(call(server, 'PUT', '/notes/1', {'title': 'x'}, {'If-Match': '*'})[0], 404)


@test
def of_writers_with_the_same_version_one_wins():
    with Server('rest') as server:
        create(server, title='one')
        results = together(20, lambda number: call(
            server, 'PATCH', '/notes/1', {'text': str(number)}, {'If-Match': '"1"'})[0])
        equal(sorted(results, key=str), [200] + [412] * 19)


@test
def what_there_is_not_is_404_and_what_cannot_be_done_405():
    with Server('rest') as server:
        create(server, title='one')
        for target in ('/nothing', '/notes/', '/notes/2', '/notes/x', '/notes/-1', '/notes/1.0',
                       '/notes/0x1', '/notes/9223372036854775808', '/notes/%31%00', '/notes/1/2'):
            equal((target, fault_of(call(server, 'GET', target))), (target, (404, [])))
        for method, target in ('DELETE', '/notes'), ('POST', '/notes/1'), ('PUT', '/'):
            answer = call(server, method, target, {'title': 'x'})
            equal(fault_of(answer), (405, []))
            expect('GET' in answer[1]['allow'], answer[1]['allow'])


@test
def a_body_that_is_no_json_or_too_much_is_refused():
    with Server('rest') as server:
        for body, kind, status in (
                ('{"title":', 'application/json', 400), ('', 'application/json', 400),
                ('{"title": "a", "title": "b"}', 'application/json', 400),
                ('{"title": "\\u0000"}', 'application/json', 400),
                (b'{"title": "\xff"}', 'application/json', 400),
                ('{"title": "a"}', 'text/plain', 415), ('title=a', 'application/json', 400),
                ('{"title": "a"}', 'application/merge-patch+json', 201),
                ('"' + 'x' * 65536 + '"', 'application/json', 413)):
            equal(server.request('POST', '/notes', body, {'Content-Type': kind})[0], status)
        equal(server.request('POST', '/notes', '{"title": "a"}')[0], 415)
        endless = (b'x' * 1000 for _ in range(100))  # without a length, in pieces
        equal(server.request('POST', '/notes', endless, JSON)[0], 413)
        equal(len(call(server, 'GET', '/notes')[2]), 1)


@test
def text_that_looks_like_sql_or_html_is_text():
    with Server('rest') as server:
        for text in ("'); DROP TABLE notes; --", '" OR 1=1 --', "%' OR '1'='1", '\\', '?1',
                     '<script>alert(1)</script>', '𝕏\u202e\u200b'):
            location, note = create(server, title=text, text=text)
            equal((note['title'], note['text']), (text, text))
            found = call(server, 'GET', f'/notes?q={quote(text)}')[2]
            equal([each['id'] for each in found], [note['id']])
            equal(call(server, 'GET', location)[2]['title'], text)
        equal(len(call(server, 'GET', '/notes')[2]), 7)


@test
def a_hundred_clients_at_once_are_all_served():
    with tempfile.TemporaryDirectory() as folder:
        with Server('rest', '--database', os.path.join(folder, 'notes.db')) as server:
            def work(number):
                client = server.client()
                seen = []
                for round_ in range(5):
                    body = json.dumps({'title': f'{number}.{round_}'})
                    status, headers, _ = ask(client, 'POST', '/notes', body, JSON)
                    equal(status, 201)
                    status, _, text = ask(client, 'GET', headers['location'])
                    equal((status, json.loads(text)['title']), (200, f'{number}.{round_}'))
                    seen.append(headers['location'])
                client.close()
                return seen

            lists = together(100, work)
            for each in lists:
                expect(isinstance(each, list), each)
            equal(len({location for each in lists for location in each}), 500)
            text = server.request('GET', '/metrics')[2].decode()
            expect('rest_requests_total 1001\n' in text, text)


@test
def notes_in_a_file_are_there_the_next_time_and_nobody_elses_to_read():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'notes.db')
        with Server('rest', '--database', path) as server:
            create(server, title='kept')
        equal(os.stat(path).st_mode & 0o777, 0o600)
        equal(os.listdir(folder), ['notes.db'])
        with Server('rest', '--database', path) as server:
            equal(call(server, 'GET', '/notes/1')[2]['title'], 'kept')


@test
def a_database_that_somebody_else_has_locked_is_503():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'notes.db')
        with Server('rest', '--database', path, '--patience', '300') as server:
            create(server, title='one')
            other = sqlite3.connect(path, isolation_level=None)
            other.execute('BEGIN IMMEDIATE')
            answers = together(20, lambda _: call(server, 'POST', '/notes', {'title': 'x'}))
            for answer in answers:
                equal((fault_of(answer), answer[1]['retry-after']), ((503, []), '1'))
            equal(call(server, 'GET', '/notes/1')[0], 200)  # reading goes on
            other.execute('ROLLBACK')
            other.close()
            create(server, title='two')
            equal(len(call(server, 'GET', '/notes')[2]), 2)


@test
def a_lock_that_is_let_go_in_time_is_waited_for():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'notes.db')
        with Server('rest', '--database', path) as server:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute('BEGIN IMMEDIATE')
            client = server.client()
            client.request('POST', '/notes', '{"title": "late"}', JSON)
            equal(call(server, 'GET', '/notes')[2], [])
            other.execute('ROLLBACK')
            equal(client.getresponse().status, 201)
            other.close()


@test
def more_writers_than_may_wait_are_told_to_come_again():
    descriptors_for(1011)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'notes.db')
        with Server('rest', '--database', path) as server:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute('BEGIN IMMEDIATE')
            text = (b'POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
                    b'Content-Length: 13\r\nConnection: close\r\n\r\n{"title":"x"}')
            peers = []
            for _ in range(1011):
                peers.append(server.connect())
                peers[-1].sendall(text)
            while b'code="5xx"} 10\n' not in server.request('GET', '/metrics')[2]:
                pass  # one has the database, a thousand wait
            other.execute('ROLLBACK')
            other.close()
            found = [peer.recv(12) for peer in peers]
            equal((found.count(b'HTTP/1.1 201'), found.count(b'HTTP/1.1 503')), (1001, 10))
            for peer in peers:
                peer.close()


@test
def what_is_under_way_at_ctrl_c_is_answered():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'notes.db')
        with Server('rest', '--database', path) as server:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute('BEGIN IMMEDIATE')
            clients = [server.client() for _ in range(10)]
            for client in clients:
                client.request('POST', '/notes', '{"title": "late"}', JSON)
            while b'rest_requests_active 11\n' not in server.request('GET', '/metrics')[2]:
                pass  # they are not all read yet; the eleventh is this one
            server.process.send_signal(signal.SIGINT)
            while 'finishing' not in server.said():
                pass
            other.execute('ROLLBACK')
            for client in clients:
                answer = client.getresponse()
                equal((answer.status, answer.headers['connection']), (201, 'close'))
                answer.read()
            server.ended()
            equal(other.execute('SELECT count(*) FROM notes').fetchone(), (10,))
            other.close()


@test
def a_client_that_goes_away_harms_nobody():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'notes.db')
        with Server('rest', '--database', path) as server:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute('BEGIN IMMEDIATE')
            for _ in range(20):
                peer = server.connect()
                peer.sendall(b'POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json'
                             b'\r\nContent-Length: 13\r\n\r\n{"title":"x"}')
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
                peer.close()
            equal(call(server, 'GET', '/notes')[0], 200)
            other.execute('ROLLBACK')
            other.close()
            create(server, title='still here')


def refused(path, **options):
    """What is said of a database that cannot be opened."""
    status, out, errors = run([program('rest'), '--port', '0', '--database', path], **options)
    equal((status, out), (1, ''))
    return errors


@test
def a_file_that_is_no_database_is_told_before_it_listens():
    with tempfile.TemporaryDirectory() as folder:
        expect('unable to open' in refused(os.path.join(folder, 'missing', 'notes.db')), 'missing')
        expect('unable to open' in refused(folder), 'a folder')
        path = os.path.join(folder, 'text')
        with open(path, 'w', encoding='ascii') as file:
            file.write('This is no database. ' * 100)
        expect('not a database' in refused(path), 'text')


@test
def a_file_that_may_not_be_written_is_told_before_it_listens():
    options = {'user': 'nobody', 'group': 'nogroup'} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, 'notes.db')
        with Server('rest', '--database', path):
            pass
        os.chmod(path, 0o444)
        os.chmod(folder, 0o555)
        try:
            expect('readonly' in refused(path, **options), 'it may be written')
        except PermissionError as error:
            raise Skip('another user cannot run what was built here') from error
        finally:
            os.chmod(folder, 0o755)


@test
def a_database_that_breaks_while_it_runs_is_500_and_told():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'notes.db')
        with Server('rest', '--database', path) as server:
            create(server, title='one')
            other = sqlite3.connect(path)
            other.execute('DROP TABLE notes')
            other.commit()
            other.close()
            equal(fault_of(call(server, 'GET', '/notes/1')), (500, []))
            equal(call(server, 'POST', '/notes', {'title': 'x'})[0], 500)
            expect('the database' in server.said(), server.said())


@test
def health_and_index_are_there():
    with Server('rest') as server:
        equal(server.request('GET', '/health')[0::2], (200, b'ok\n'))
        equal(call(server, 'GET', '/')[2]['health'], '/health')
        answers = raw(server, b'GET /notes HTTP/1.1\r\nHost: x\r\n\r\n' * 50)
        equal(answers.count(b'HTTP/1.1 200 OK'), 50)


main()

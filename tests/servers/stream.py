#!/usr/bin/env python3
"""The server of large files from outside: what comes in goes out the same, whatever it is called;
what does not fit is refused before it is read; who goes away leaves nothing behind; and memory
stays what it was. See server.py for how to run it. LARGE=1 in the environment takes 1 GiB out and
512 MiB in, in the place of a quarter of that.

SPDX-License-Identifier: MIT
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import struct
import tempfile
from urllib.parse import quote

from server import (Server, Skip, ask, browse, equal, expect, main, measured, program, run, test,
                    together)

MIB = 1 << 20
LARGE = 4 if os.environ.get('LARGE') else 1
EDGE = 'edge-of-a-part'
FORM = {'Content-Type': f'multipart/form-data; boundary={EDGE}'}
TAIL = f'\r\n--{EDGE}--\r\n'.encode()


def head_of(name):
    name = name.replace('"', '%22')
    return (f'--{EDGE}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            'Content-Type: application/octet-stream\r\n\r\n').encode('utf-8', 'surrogateescape')


def form_of(name, content):
    return head_of(name) + content + TAIL


def upload(server, name, content=b'x'):
    """Status, and the JSON of an answer that has one."""
    status, headers, body = server.request('POST', '/files', form_of(name, content), FORM)
    return status, json.loads(body) if status == 201 else body, headers


def listed(server):
    status, _, body = server.request('GET', '/files')
    equal(status, 200)
    return json.loads(body)


def names(server):
    return sorted(file['name'] for file in listed(server)['files'])


@contextlib.contextmanager
def serving(*arguments, **options):
    with tempfile.TemporaryDirectory() as outer:
        folder = outer + '/uploads'
        with Server('stream', '--folder', folder, *arguments, **options) as server:
            yield server, folder
        equal(os.listdir(folder + '/.parts'), [])


@test
def what_comes_in_goes_out_the_same():
    with serving() as (server, folder):
        content = os.urandom(3 * MIB + 17)
        status, answer, headers = upload(server, 'random data.bin', content)
        equal((status, answer), (201, {'name': 'random data.bin', 'size': len(content)}))
        equal(headers['location'], '/files/random%20data.bin')
        status, headers, body = server.request('GET', headers['location'])
        expect((status, body) == (200, content), 'it has changed')
        equal(headers['accept-ranges'], 'bytes')
        status, headers, body = server.request('HEAD', '/files/random%20data.bin')
        equal((status, headers['content-length'], body), (200, str(len(content)), b''))
        upload(server, 'empty', b'')
        equal(server.request('GET', '/files/empty')[0::2], (200, b''))
        answer = listed(server)
        equal({file['name']: file['size'] for file in answer['files']},
              {'random data.bin': len(content), 'empty': 0})
        equal((answer['used'], answer['file_max']), (len(content), 4096 * MIB))
        equal(os.stat(folder + '/empty').st_mode & 0o777, 0o600)
        equal(os.stat(folder).st_mode & 0o777, 0o700)


@test
def a_name_is_made_harmless():
    with serving() as (server, folder):
        for wanted, name in (
                ('a.txt', 'a.txt'), ('../../etc/passwd', 'passwd'), ('/etc/shadow', 'shadow'),
                ('C:\\videos\\film.mp4', 'film.mp4'), ('.hidden', 'hidden'), ('...', 'upload'),
                ('..', 'upload (2)'), ('a/', 'upload (3)'), ('  spaces  ', 'spaces'),
                ('.parts', 'parts'),
                ('<script>alert(1)<', '<script>alert(1)<'), ('100%25.txt', '100%25.txt'),
                ('grüße 漢字.webm', 'grüße 漢字.webm'), ('\udcff.txt', 'upload (4)'),
                ('x' * 300 + '.jpeg', 'x' * 195 + '.jpeg'), ('ü' * 150, 'ü' * 100),
                ('-rf', '-rf'), ('?a=b#c', '?a=b#c'), ('x.' + 'y' * 300, 'x.' + 'y' * 198)):
            status, answer, headers = upload(server, wanted, wanted.encode('utf-8', 'replace'))
            equal((wanted, status), (wanted, 201))
            equal((wanted, answer['name']), (wanted, name))
            equal(headers['location'], '/files/' + quote(name, safe=''))
            equal(server.request('GET', headers['location'])[2], wanted.encode('utf-8', 'replace'))
            expect(os.path.isfile(os.path.join(folder, name)), name)
        equal(upload(server, 'bell\x07.txt')[0], 400)  # no browser sends it
        equal(os.listdir(folder + '/..'), ['uploads'])


@test
def a_name_that_is_taken_gets_a_number_and_nothing_is_replaced():
    with serving() as (server, _):
        found = together(20, lambda number: upload(server, 'film.mp4', b'%d' % number * 5000))
        given = {}
        for number, answer in enumerate(found):
            expect(not isinstance(answer, Exception), answer)
            equal(answer[0], 201)
            given[answer[1]['name']] = b'%d' % number * 5000
        equal(set(given), {'film.mp4'} | {f'film ({each}).mp4' for each in range(2, 21)})
        for name, content in given.items():
            equal(server.request('GET', '/files/' + quote(name))[2], content)


@test
def a_download_that_broke_off_goes_on():
    if not shutil.which('curl'):
        raise Skip('curl is not installed')
    with serving() as (server, folder):
        content = os.urandom(MIB)
        upload(server, 'a.bin', content)
        half = folder + '/../half'
        with open(half, 'wb') as file:
            file.write(content[:300000])
        equal(run(['curl', '-s', '-C', '-', '-o', half, server.url + '/files/a.bin'])[0], 0)
        with open(half, 'rb') as file:
            expect(file.read() == content, 'it is not the same')
        os.unlink(half)
        tag = server.request('HEAD', '/files/a.bin')[1]['etag']
        for asked, status, part in (
                ({'Range': 'bytes=10-19'}, 206, content[10:20]),
                ({'Range': 'bytes=-5'}, 206, content[-5:]),
                ({'Range': 'bytes=1000000-', 'If-Range': tag}, 206, content[1000000:]),
                ({'Range': 'bytes=1000000-', 'If-Range': '"another"'}, 200, content)):
            got = server.request('GET', '/files/a.bin', headers=asked)
            expect((got[0], got[2]) == (status, part), asked)
        equal(server.request('GET', '/files/a.bin', headers={'Range': f'bytes={MIB}-'})[0], 416)


@test
def what_is_too_much_is_refused_before_it_is_read():
    with serving('--file-max', '1', '--total-max', '3') as (server, _):
        equal(upload(server, 'most', b'x' * MIB)[0], 201)
        equal(upload(server, 'a byte more', b'x' * (MIB + 1))[0], 413)
        equal(upload(server, 'two', b'x' * MIB)[0], 201)
        for size, status in ((2 * MIB, b'413'), (1 << 60, b'413'), (MIB + 1000, b'507')):
            with server.connect() as peer:
                peer.sendall(f'POST /files HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n'
                             f'Content-Type: {FORM["Content-Type"]}\r\n'
                             'Expect: 100-continue\r\n\r\n'.encode())
                equal((size, peer.recv(12)), (size, b'HTTP/1.1 ' + status))
        pieces = (each for each in [form_of('endless', b'x')])  # without a length
        equal(server.request('POST', '/files', pieces, FORM)[0], 411)
        equal(names(server), ['most', 'two'])
        equal(upload(server, 'fits', b'x' * (MIB - 2000))[0], 201)
        equal(upload(server, 'not any more', b'x' * 2000)[0], 507)
        equal(server.request('DELETE', '/files/most')[0], 204)
        equal(upload(server, 'again', b'x' * (MIB - 2000))[0], 201)


def begin(server, name, size, sent):
    """An upload of which so many bytes are sent: the connection, and the rest of the form."""
    form = form_of(name, b'x' * size)
    peer = server.connect()
    peer.sendall(f'POST /files HTTP/1.1\r\nHost: x\r\nContent-Length: {len(form)}\r\n'
                 f'Content-Type: {FORM["Content-Type"]}\r\n\r\n'.encode() + form[:sent])
    return peer, form[sent:]


def until_parts(folder, count):
    while len(os.listdir(folder + '/.parts')) != count:
        pass


@test
def room_is_set_aside_for_uploads_under_way():
    with serving('--total-max', '1') as (server, folder):
        first, _ = begin(server, 'first', 600000, 1000)
        until_parts(folder, 1)
        equal(upload(server, 'second', b'x' * 600000)[0], 507)
        expect(listed(server)['used'] > 600000, 'no room is set aside')
        equal(names(server), [])  # what is not whole is not there
        first.close()
        until_parts(folder, 0)
        while listed(server)['used'] != 0:
            pass
        equal(upload(server, 'second', b'x' * 600000)[0], 201)


@test
def who_goes_away_in_the_middle_leaves_nothing_behind():
    with serving() as (server, folder):
        upload(server, 'warm')
        before = server.descriptors()
        for hard in False, True:
            for sent in 10, 200, 5000, 300000:
                peers = [begin(server, 'never', 2 * MIB, sent)[0] for _ in range(10)]
                if sent > 200:
                    until_parts(folder, 10)
                for peer in peers:
                    if hard:
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        struct.pack('ii', 1, 0))
                    peer.close()
                while server.descriptors() > before or listed(server)['used'] != 1:
                    pass
                until_parts(folder, 0)
        equal(names(server), ['warm'])


@contextlib.contextmanager
def small_disk(mebibytes):
    """A file system that is soon full."""
    if os.geteuid() != 0:
        raise Skip('only root may mount a small disk')
    with tempfile.TemporaryDirectory() as folder:
        status, _, errors = run(['mount', '-t', 'tmpfs', '-o', f'size={mebibytes}m,mode=700',
                                 'tmpfs', folder])
        if status != 0:
            raise Skip('a small disk cannot be mounted: ' + errors.strip())
        try:
            yield folder
        finally:
            run(['umount', folder])


@test
def a_disk_that_is_full_is_507_and_nothing_of_the_file_remains():
    if not shutil.which('curl'):
        raise Skip('curl is not installed')
    with small_disk(4) as folder, Server('stream', '--folder', folder) as server:
        content = os.urandom(2 * MIB)
        equal(upload(server, 'fits', content)[0], 201)
        with tempfile.NamedTemporaryFile() as large:
            large.truncate(8 * MIB)
            for _ in range(3):
                status = run(['curl', '-s', '-F', f'file=@{large.name}', '-o', '/dev/null', '-w',
                              '%{http_code}', server.url + '/files'])[1]
                equal(status, '507')
        until_parts(folder, 0)
        equal(names(server), ['fits'])
        equal(listed(server)['used'], 2 * MIB)
        expect(server.request('GET', '/files/fits')[2] == content, 'it has changed')
        equal(upload(server, 'fits, too', content[:MIB])[0], 201)


@test
def what_is_no_form_with_one_file_is_refused():
    with serving() as (server, folder):
        one = form_of('a', b'x')
        field = one.replace(b'; filename="a"', b'')
        for body, kind, wanted in (
                (one, 'text/plain', 415), (one, 'multipart/form-data', 400), (b'', None, 415),
                (b'', FORM['Content-Type'], 400), (field, FORM['Content-Type'], 400),
                (one.replace(b'"a"', b'""'), FORM['Content-Type'], 400),
                (one[:-10], FORM['Content-Type'], 400),
                (b'nonsense' * 100, FORM['Content-Type'], 400),
                (one[:-len(TAIL) + 2] + form_of('b', b'y'), FORM['Content-Type'], 413)):
            headers = {'Content-Type': kind} if kind else {}
            status, _, _ = server.request('POST', '/files', body, headers)
            equal((body[:40], kind, status), (body[:40], kind, wanted))
        until_parts(folder, 0)
        equal((names(server), listed(server)['used']), ([], 0))


@test
def a_file_is_deleted_once_and_nothing_else_ever():
    with serving() as (server, folder):
        for name in 'a.txt', '100%.txt', '<b>', 'grüße':
            upload(server, name)
            equal(server.request('DELETE', '/files/' + quote(name, safe=''))[0], 204)
            equal(server.request('DELETE', '/files/' + quote(name, safe=''))[0], 404)
            equal(server.request('GET', '/files/' + quote(name, safe=''))[0], 404)
        with open(folder + '/../secret.txt', 'w', encoding='ascii') as file:
            file.write('secret')
        os.mkdir(folder + '/sub')
        os.symlink('../secret.txt', folder + '/link')
        for name in ('..%2fsecret.txt', '%2e%2e%2fsecret.txt', '.parts', '%2eparts', '.', '..',
                     'sub', 'link', 'x' * 300, '', 'sub%2f', '%00', 'a%00b', '../secret.txt'):
            status, _, _ = server.request('DELETE', '/files/' + name)
            expect(status in (400, 404, 405), (name, status))
            status, _, body = server.request('GET', '/files/' + name)
            expect(status in (301, 400, 404) and b'secret' not in body, (name, status))
        equal(sorted(os.listdir(folder)), ['.parts', 'link', 'sub'])
        expect(os.path.exists(folder + '/../secret.txt'), 'the secret is gone')
        equal(listed(server)['used'], 0)


@test
def a_form_of_another_site_is_refused():
    with serving() as (server, _):
        own = f'http://127.0.0.1:{server.port}'
        for origin, wanted in ((own, 201), ('http://evil.example', 403), ('null', 403),
                               (own + '.evil.example', 403), ('', 403)):
            status, _, _ = server.request('POST', '/files', form_of('a', b'x'),
                                          {**FORM, 'Origin': origin})
            equal((origin, status), (origin, wanted))
        equal(server.request('DELETE', '/files/a', headers={'Origin': 'http://evil.example'})[0],
              403)
        equal(names(server), ['a'])


@test
def what_somebody_has_sent_is_no_page_of_this_site():
    with serving() as (server, _):
        upload(server, 'page.html', b'<script>alert(1)</script>')
        _, headers, _ = server.request('GET', '/files/page.html')
        expect('sandbox' in headers['content-security-policy']
               and "default-src 'none'" in headers['content-security-policy'], headers)
        equal(headers['x-content-type-options'], 'nosniff')
        _, headers, _ = server.request('GET', '/')
        expect('unsafe' not in headers['content-security-policy'], headers)


@test
def a_download_of_what_is_deleted_meanwhile_ends_well():
    with serving() as (server, folder):
        with open(folder + '/large.bin', 'wb') as file:
            file.truncate(32 * MIB)
        client = server.client()
        client.request('GET', '/files/large.bin')
        answer = client.getresponse()
        equal(server.request('DELETE', '/files/large.bin')[0], 204)
        equal(len(answer.read()), 32 * MIB)
        client.close()


def pour(server, name, mebibytes):
    """Uploads zeros, a mebibyte at a time: status."""
    head, piece = head_of(name), bytes(MIB)
    client = server.client()
    client.putrequest('POST', '/files')
    client.putheader('Content-Type', FORM['Content-Type'])
    client.putheader('Content-Length', str(len(head) + mebibytes * MIB + len(TAIL)))
    client.endheaders(head)
    for _ in range(mebibytes):
        client.send(piece)
    client.send(TAIL)
    status = client.getresponse().status
    client.close()
    return status


def drain(server, target):
    """Downloads and counts bytes."""
    client = server.client()
    client.request('GET', target)
    answer = client.getresponse()
    size = 0
    while piece := answer.read(MIB):
        size += len(piece)
    client.close()
    return size


@test
def memory_stays_what_it_was_whatever_the_size():
    with serving(environment=measured()) as (server, folder):
        equal(pour(server, 'small', 4), 201)
        equal(drain(server, '/files/small'), 4 * MIB)
        before = server.memory_peak()
        with open(folder + '/sparse.bin', 'wb') as file:
            file.truncate(256 * LARGE * MIB)
        equal(drain(server, '/files/sparse.bin'), 256 * LARGE * MIB)
        equal(pour(server, 'large', 128 * LARGE), 201)
        equal(os.stat(folder + '/large').st_size, 128 * LARGE * MIB)
        grown = server.memory_peak() - before
        print(f'# it has grown by {grown} bytes')
        expect(grown < 16 * MIB, f'it has grown by {grown} bytes')


@test
def what_a_crash_has_left_is_removed_and_what_is_there_counts():
    with tempfile.TemporaryDirectory() as outer:
        folder = outer + '/uploads'
        os.makedirs(folder + '/.parts')
        for name, size in ('/.parts/upload-abc', 1000), ('/kept', 700000):
            with open(folder + name, 'wb') as file:
                file.truncate(size)
        with Server('stream', '--folder', folder, '--total-max', '1') as server:
            equal(os.listdir(folder + '/.parts'), [])
            equal((names(server), listed(server)['used']), (['kept'], 700000))
            equal(upload(server, 'more', b'x' * 500000)[0], 507)


def refused(*arguments):
    status, out, errors = run([program('stream'), '--port', '0', *arguments])
    equal((status, out), (1, ''))
    return errors


@test
def two_servers_do_not_share_a_folder():
    with serving() as (_, folder):
        expect('busy' in refused('--folder', folder), 'it is shared')


@test
def options_that_will_not_do_are_told_before_it_listens():
    with tempfile.TemporaryDirectory() as outer:
        folder = outer + '/uploads'
        for text in '0', '-1', 'x', '1x', '', '99999999999999999999':
            expect('--file-max' in refused('--folder', folder, '--file-max', text), text)
        expect('No such file' in refused('--folder', outer + '/none/uploads'), 'missing')
        with open(outer + '/file', 'wb'):
            pass
        expect('Not a directory' in refused('--folder', outer + '/file'), 'a file')


@test
def an_upload_under_way_at_ctrl_c_is_taken():
    with serving() as (server, folder):
        peer, rest = begin(server, 'late', MIB, 100000)
        until_parts(folder, 1)
        server.process.send_signal(2)
        while 'finishing' not in server.said():
            pass
        peer.sendall(rest)
        answer = http.client.HTTPResponse(peer)
        answer.begin()
        equal((answer.status, answer.headers['connection']), (201, 'close'))
        peer.close()
        server.ended()
        equal(os.stat(folder + '/late').st_size, MIB)


@test
def many_uploads_and_downloads_at_once_are_all_whole():
    with serving() as (server, _):
        contents = [os.urandom(100000 + number) for number in range(50)]

        def work(number):
            client = server.client()
            form = form_of(f'{number}.bin', contents[number])
            status, headers, _ = ask(client, 'POST', '/files', form, FORM)
            equal(status, 201)
            same = ask(client, 'GET', headers['location'])[2] == contents[number]
            client.close()
            return same

        equal(together(50, work), [True] * 50)
        equal(len(names(server)), 50)
        equal(listed(server)['used'], sum(map(len, contents)))


def write_sound(path, seconds):
    """Silence, CD quality: a file of some size that a browser plays."""
    size = seconds * 44100 * 4
    with open(path, 'wb') as file:
        file.write(struct.pack('<4sI4s4sIHHIIHH4sI', b'RIFF', size + 36, b'WAVE', b'fmt ', 16, 1, 2,
                               44100, 44100 * 4, 4, 16, b'data', size))
        file.truncate(size + 44)


@test
def a_browser_sends_plays_and_deletes_by_keyboard_alone():
    with serving('--file-max', '64') as (server, folder):
        write_sound(folder + '/silence.wav', 300)
        os.utime(folder + '/silence.wav', (1000, 1000))  # the newest is listed first
        with tempfile.TemporaryDirectory() as outer:
            for name, size in (('video & <b>.txt', 3 * MIB), ('large.bin', 60 * MIB),
                               ('too large.bin', 65 * MIB)):
                with open(os.path.join(outer, name), 'wb') as file:
                    file.truncate(size)
            browse('stream.js', server.url, outer)
        equal(names(server), ['silence.wav'])


main()

#!/usr/bin/env python3
"""The file server from outside: which paths lead to a file and which never may, ranges and
conditions, the list of a folder with names that somebody has thought about, its options, and a
thousand downloads at once. See server.py for how to run it.

SPDX-License-Identifier: MIT
"""

import contextlib
import gzip
import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile

from server import (Server, Skip, ask, browse, descriptors_for, equal, expect, main, measured,
                    program, raw, run, test)

SECRET = 'nobody may see this'
TEXT = ''.join(f'line {number} of a text\n' for number in range(500))


def write(path, text=''):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


@contextlib.contextmanager
def serving(*arguments, **options):
    """A server on a folder with a little of everything, and the folder. Beside it is a secret."""
    with tempfile.TemporaryDirectory() as outer:
        os.chmod(outer, 0o755)
        root = os.path.join(outer, 'root')
        write(outer + '/secret.txt', SECRET)
        write(root + '/hello.txt', 'hello, world\n')
        write(root + '/text.txt', TEXT)
        write(root + '/sub/deep/inner.txt', 'inner')
        write(root + '/site/index.html', '<!doctype html><title>Site</title>')
        write(root + '/.hidden', SECRET)
        write(root + '/.git/config', SECRET)
        os.symlink('../secret.txt', root + '/out')
        os.symlink(outer, root + '/outer')
        os.symlink('sub/../hello.txt', root + '/in')
        os.symlink('loop', root + '/loop')
        os.mkfifo(root + '/pipe')
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(root + '/socket')
        bound.close()
        with Server('static', '--root', root, *arguments, **options) as server:
            yield server, root


@test
def each_path_leads_to_what_it_should():
    with serving() as (server, _):
        for target, wanted in (
                ('/hello.txt', 200), ('/%68ello.txt', 200), ('/hello.txt?a=b', 200), ('/in', 200),
                ('/sub/../hello.txt', 200), ('/sub/%2e%2e/hello.txt', 200), ('//hello.txt', 200),
                ('/../hello.txt', 200),  # above the root is the root, as in a URL
                ('/', 200), ('/sub/', 200), ('/site/', 200), ('/sub/deep/inner.txt', 200),
                ('/sub', 301), ('/site', 301),
                ('/missing', 404), ('/sub/missing/', 404), ('/hello.txt/', 404),
                ('/hello.txt/x', 404), ('/HELLO.TXT', 404), ('/' + 'x' * 300, 404),
                ('/../secret.txt', 404), ('/%2e%2e/secret.txt', 404),
                ('/sub/../../secret.txt', 404), ('/sub/%2E%2E/%2e%2e/secret.txt', 404),
                ('//etc/passwd', 404), ('/out', 404), ('/outer/secret.txt', 404),
                ('/outer/', 404), ('/outer', 404), ('/loop', 404), ('/%252e%252e/secret.txt', 404),
                ('/pipe', 404), ('/socket', 404), ('/.hidden', 404), ('/.git/config', 404),
                ('/.git/', 404), ('/...', 404), ('/proc/self/root/etc/passwd', 404),
                ('/..%2fsecret.txt', 400), ('/%2e%2e%2fsecret.txt', 400), ('/sub%2fdeep/', 400),
                ('/..%5csecret.txt', 400), ('/..\\secret.txt', 400), ('/hello.txt%00', 400),
                ('/a%0ab', 400), ('/%zz', 400), ('/%', 400),
                ('/' + 'x/' * 3000, 414)):
            status, headers, body = server.request('GET', target)
            equal((target, status), (target, wanted))
            expect(SECRET.encode() not in body and b'root:' not in body, target)
            equal(headers['x-content-type-options'], None if status in (400, 414) else 'nosniff')


@test
def a_folder_without_its_slash_is_sent_to_where_its_links_work():
    with serving() as (server, _):
        equal(server.request('GET', '/sub')[1]['location'], './sub/')
        equal(server.request('GET', '/sub/deep?a=b')[1]['location'], './deep/?a=b')
        equal(server.request('GET', '//evil.example/..')[0], 200)  # and not to another host


@test
def what_the_server_itself_may_not_read_is_403():
    options = {'user': 'nobody', 'group': 'nogroup', 'extra_groups': []}
    try:
        context = serving(**(options if os.geteuid() == 0 else {}))
        server, root = context.__enter__()
    except PermissionError as error:
        raise Skip('another user cannot run what was built here') from error
    os.chmod(write(root + '/closed.txt', SECRET), 0)
    write(root + '/shut/inner.txt', SECRET)
    os.chmod(root + '/shut', 0)
    for target in '/closed.txt', '/shut/', '/shut/inner.txt':
        status, _, body = server.request('GET', target)
        equal((target, status), (target, 403))
        expect(SECRET.encode() not in body, body)
    equal(server.request('GET', '/')[0], 200)
    os.chmod(root + '/shut', 0o700)
    context.__exit__(None, None, None)


@test
def head_is_get_without_the_body_and_others_are_405():
    with serving() as (server, _):
        for target in '/hello.txt', '/', '/missing', '/sub', '/site/':
            status, headers, body = server.request('HEAD', target)
            got = server.request('GET', target)
            equal((target, status, body), (target, got[0], b''))
            for name in 'content-length', 'content-type', 'etag', 'location', 'last-modified':
                equal((target, name, headers[name]), (target, name, got[1][name]))
        for method in 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS':
            status, headers, _ = server.request(method, '/hello.txt')
            equal((method, status, headers['allow']), (method, 405, 'GET, HEAD'))


def curl(*words):
    if not shutil.which('curl'):
        raise Skip('curl is not installed')
    return subprocess.run(['curl', '-s', *words], capture_output=True, check=False)


@test
def curl_gets_the_ranges_that_it_asks_for():
    with serving() as (server, root):
        text = TEXT.encode()
        for wanted, part in (('0-0', text[:1]), ('5-9', text[5:10]), ('100-', text[100:]),
                             ('-7', text[-7:]), ('0-', text), ('10-99999999', text[10:]),
                             ('-99999999', text)):
            done = curl('-r', wanted, '-w', '%{http_code}', server.url + '/text.txt')
            equal((wanted, done.stdout), (wanted, part + b'206'))
        for wanted in f'{len(text)}-', '-0':
            done = curl('-i', '-r', wanted, server.url + '/text.txt')
            expect(b' 416 ' in done.stdout and f'bytes */{len(text)}'.encode() in done.stdout,
                   done.stdout)
        half = root + '/../half'
        with open(half, 'wb') as file:
            file.write(text[:3000])
        equal(curl('-C', '-', '-o', half, server.url + '/text.txt').returncode, 0)
        with open(half, 'rb') as file:
            equal(file.read(), text)


@test
def a_condition_saves_the_body():
    with serving() as (server, root):
        _, headers, _ = server.request('GET', '/text.txt')
        tag, date = headers['etag'], headers['last-modified']
        equal((headers['cache-control'], headers['accept-ranges']), ('no-cache', 'bytes'))
        old = 'Thu, 01 Jan 1970 00:00:00 GMT'
        for asked, wanted in (
                ({'If-None-Match': tag}, 304), ({'If-None-Match': f'"x", W/{tag}'}, 304),
                ({'If-None-Match': '*'}, 304), ({'If-None-Match': '"x"'}, 200),
                ({'If-Modified-Since': date}, 304), ({'If-Modified-Since': old}, 200),
                ({'If-None-Match': '"x"', 'If-Modified-Since': date}, 200),
                ({'If-Match': tag}, 200), ({'If-Match': '"x"'}, 412),
                ({'If-Unmodified-Since': old}, 412),
                ({'Range': 'bytes=0-3', 'If-Range': tag}, 206),
                ({'Range': 'bytes=0-3', 'If-Range': '"x"'}, 200),
                ({'Range': 'bytes=0-3', 'If-Range': old}, 200),
                ({'Range': 'bytes=0-1,3-4'}, 200), ({'Range': 'lines=1-2'}, 200)):
            status, found, body = server.request('GET', '/text.txt', headers=asked)
            equal((asked, status), (asked, wanted))
            if status == 304:
                equal((found['etag'], body), (tag, b''))
        write(root + '/text.txt', TEXT + 'one more\n')  # and is seen at once
        status, found, body = server.request('GET', '/text.txt', headers={'If-None-Match': tag})
        equal((status, body.decode()), (200, TEXT + 'one more\n'))
        expect(found['etag'] != tag, tag)


@test
def text_is_compressed_and_a_compressed_sibling_preferred():
    with serving() as (server, root):
        status, headers, body = server.request('GET', '/text.txt',
                                               headers={'Accept-Encoding': 'gzip'})
        equal((status, headers['content-encoding'], headers['vary']),
              (200, 'gzip', 'Accept-Encoding'))
        equal(gzip.decompress(body).decode(), TEXT)
        equal(headers['etag'][:2], 'W/')
        write(root + '/text.txt.br', 'smaller')
        status, headers, body = server.request('GET', '/text.txt',
                                               headers={'Accept-Encoding': 'gzip, br'})
        equal((headers['content-encoding'], body), ('br', b'smaller'))
        equal(headers['content-type'], 'text/plain; charset=utf-8')
        equal(server.request('GET', '/text.txt')[1]['content-encoding'], None)
        listing = server.request('GET', '/', headers={'Accept-Encoding': 'gzip'})
        expect(b'hello.txt' in gzip.decompress(listing[2]), listing)


@test
def a_list_shows_what_can_be_had_and_nothing_else():
    with serving() as (server, _):
        status, headers, body = server.request('GET', '/')
        page = body.decode()
        equal((status, headers['content-type']), (200, 'text/html; charset=utf-8'))
        expect("default-src 'none'" in headers['content-security-policy'], headers)
        for name in 'hello.txt', 'in', 'sub/', 'site/', 'text.txt':
            expect(f'<a href="./{name}"><bdi>{name}</bdi></a>' in page, (name, page))
        for name in '.hidden', '.git', 'out', 'outer/', 'loop', 'pipe', 'socket', '..':
            expect(f'"./{name}"' not in page, name)
        expect('title="13 bytes"' in page and '<p>5 entries</p>' in page, page)
        expect('<a href="../">Up</a>' not in page, page)
        inner = server.request('GET', '/sub/deep/')[2].decode()
        expect('<a href="../">Up</a>' in inner and '<a href="/sub/">' in inner, inner)
        expect('<p>1 entry</p>' in inner and '<title>/sub/deep/</title>' in inner, inner)
        equal(server.request('GET', '/site/')[2], b'<!doctype html><title>Site</title>')
        equal(server.request('GET', '/?static.css')[1]['content-type'], 'text/css; charset=utf-8')


def order(server, query):
    """The files of a list, from above."""
    page = server.request('GET', '/sorted/' + query)[2].decode()
    return [part.split('"')[0] for part in page.split('<a href="./')[1:]]


@test
def a_list_is_sorted_as_asked_with_folders_first():
    with serving() as (server, root):
        for number, (name, size) in enumerate((('b', 1), ('a', 30), ('c', 200))):
            os.utime(write(f'{root}/sorted/{name}', 'x' * size), (1000 - number, 1000 - number))
        for name in 'yz':
            os.mkdir(f'{root}/sorted/{name}')
            os.utime(f'{root}/sorted/{name}', (1000, 1000))
        for query, wanted in (('', 'y/ z/ a b c'), ('?sort=name', 'y/ z/ a b c'),
                              ('?sort=-name', 'z/ y/ c b a'), ('?sort=size', 'y/ z/ b a c'),
                              ('?sort=-size', 'z/ y/ c a b'), ('?sort=time', 'y/ z/ c a b'),
                              ('?sort=-time', 'z/ y/ b a c'), ('?sort=%zz', 'y/ z/ a b c'),
                              ('?sort=' + 'x' * 1000, 'y/ z/ a b c')):
            equal((query, order(server, query)), (query, wanted.split()))


ODD = {
    b'<script>alert(1)<': ('%3Cscript%3Ealert%281%29%3C', '&lt;script&gt;alert(1)&lt;'),
    b'"><img src=x onerror=alert(1)>': (
        '%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E',
        '&quot;&gt;&lt;img src=x onerror=alert(1)&gt;'),
    b'&amp;.txt': ('%26amp%3B.txt', '&amp;amp;.txt'),
    b"it's": ('it%27s', "it's"),
    b'javascript:alert(1)': ('javascript%3Aalert%281%29', 'javascript:alert(1)'),
    b'100%25.txt': ('100%2525.txt', '100%25.txt'),
    b'a?b#c': ('a%3Fb%23c', 'a?b#c'),
    b' spaces ': ('%20spaces%20', ' spaces '),
    'grüße 漢字 𝕏'.encode(): ('gr%C3%BC%C3%9Fe%20%E6%BC%A2%E5%AD%97%20%F0%9D%95%8F',
                           'grüße 漢字 𝕏'),
    b'\xff\xfe': ('%FF%FE', '\udcff\udcfe'),
    b'x' * 255: ('x' * 255, 'x' * 255),
    b'new\nline\r\x1b[31m': (None, 'new␊line␍␛[31m'),
    b'back\\slash': (None, 'back\\slash'),
    b'del\x7f': (None, 'del␡'),
}


@test
def odd_names_are_shown_as_text_and_their_links_lead_to_them():
    with serving() as (server, root):
        for name in ODD:
            with open(os.path.join(os.fsencode(root), b'sub', name), 'wb') as file:
                file.write(name)
        page = server.request('GET', '/sub/')[2].decode(errors='surrogateescape')
        for name, (link, text) in ODD.items():
            if link:
                expect(f'<a href="./{link}"><bdi>{text}</bdi></a>' in page, (name, page))
                equal((name, server.request('GET', '/sub/' + link)[2]), (name, name))
            else:
                expect(f'<td><span><bdi>{text}</bdi></span></td>' in page, (name, page))
        expect('<script' not in page and '<img' not in page and '\x1b' not in page, page)
        os.rename(root + '/sub', root + '/<b>&"')
        page = server.request('GET', '/%3Cb%3E&%22/')[2].decode(errors='surrogateescape')
        expect('<title>/&lt;b&gt;&amp;&quot;/</title>' in page and '<b>' not in page, page)


@test
def a_list_has_an_end():
    with serving() as (server, root):
        os.mkdir(root + '/many')
        for number in range(10001):
            os.close(os.open(f'{root}/many/{number}', os.O_CREAT, 0o600))
        page = server.request('GET', '/many/')[2]
        equal(page.count(b'<tr class="file">'), 10000)
        expect(b'<p>10000 of more entries</p>' in page, page[-100:])


@test
def what_is_missing_has_a_page_that_may_be_your_own():
    with serving() as (server, root):
        status, headers, body = server.request('GET', '/missing')
        equal((status, headers['content-type']), (404, 'text/html; charset=utf-8'))
        expect(b'<h1>Not found</h1>' in body, body)
        write(root + '/404.html', '<h1>Gone fishing</h1>')
        for asked in {}, {'Range': 'bytes=0-2'}, {'If-None-Match': '*'}:
            status, headers, body = server.request('GET', '/missing', headers=asked)
            equal((status, body), (404, b'<h1>Gone fishing</h1>'))
            equal(headers['content-type'], 'text/html; charset=utf-8')
        equal(server.request('GET', '/404.html')[0], 200)


@test
def the_options_do_what_they_say():
    page = {'Accept': 'text/html,*/*'}
    with serving('--spa', '--dot-files', '--no-listing', '--cors') as (server, root):
        equal(server.request('GET', '/.hidden')[2].decode(), SECRET)
        equal(server.request('GET', '/sub/')[0], 404)
        equal(server.request('GET', '/users/7', headers=page)[0], 404)  # there is no index.html
        write(root + '/index.html', '<h1>App</h1>')
        equal(server.request('GET', '/users/7', headers=page)[0::2], (200, b'<h1>App</h1>'))
        equal(server.request('GET', '/users/7')[0], 404)
        equal(server.request('GET', '/app.js', headers={'Accept': '*/*'})[0], 404)
        equal(server.request('GET', '/%2e%2e/secret.txt', headers=page)[2], b'<h1>App</h1>')
        _, headers, _ = server.request('GET', '/hello.txt', headers={'Origin': 'http://a.example'})
        equal(headers['access-control-allow-origin'], '*')
        status, headers, _ = server.request('OPTIONS', '/hello.txt')
        equal((status, headers['access-control-allow-methods']), (204, 'GET, HEAD'))
        equal(server.request('GET', '/missing')[1]['access-control-allow-origin'], '*')
    with serving() as (server, _):
        equal(server.request('GET', '/hello.txt')[1]['access-control-allow-origin'], None)


@test
def a_root_that_is_none_is_told_before_it_listens():
    with tempfile.TemporaryDirectory() as folder:
        for root, why in ((folder + '/none', 'No such file'),
                          (write(folder + '/file'), 'Not a directory')):
            status, out, errors = run([program('static'), '--port', '0', '--root', root])
            expect((status, out) == (1, '') and why in errors, (status, out, errors))


@test
def over_tls_files_are_the_same():
    if not shutil.which('openssl'):
        raise Skip('openssl is not installed')
    with tempfile.TemporaryDirectory() as folder:
        cert = folder + '/cert.pem'
        equal(run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                   'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
                   '/CN=localhost', '-keyout', cert + '.key', '-out', cert])[0], 0)
        with serving('--cert', cert, '--key', cert + '.key', '--log') as (server, root):
            write(root + '/large.txt', TEXT * 500)
            client = http.client.HTTPSConnection('127.0.0.1', server.port,
                                                 context=ssl._create_unverified_context())
            equal(ask(client, 'GET', '/large.txt')[2].decode(), TEXT * 500)
            equal(ask(client, 'GET', '/large.txt', headers={'Range': 'bytes=3-5'})[2], b'e 0')
            expect(b'hello.txt' in ask(client, 'GET', '/')[2], 'no list')
            client.close()
            expect('"GET /large.txt HTTP/1.1" 206 3 ' in server.said(), server.said())


def slowly(server, target):
    """A connection that has asked, and for which the kernel buffers little on either side."""
    peer = socket.socket()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    peer.connect(('127.0.0.1', server.port))
    peer.sendall(f'GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'.encode())
    return peer


def answer_to(peer):
    """Reads to the end of the connection: the head, how many bytes came, and their digest."""
    digest, size, text = hashlib.sha256(), 0, b''
    while b'\r\n\r\n' not in text:
        text += peer.recv(4096)
    head, text = text.split(b'\r\n\r\n', 1)
    while text:
        digest.update(text)
        size += len(text)
        text = peer.recv(1 << 20)
    return head.decode(), size, digest.digest()


@test
def a_file_that_shrinks_meanwhile_ends_the_connection_and_no_more():
    with serving() as (server, root):
        path = write(root + '/shrinks.bin')
        os.truncate(path, 64 << 20)
        peer = slowly(server, '/shrinks.bin')
        expect(peer.recv(1, socket.MSG_PEEK) == b'H', 'no head')
        os.truncate(path, 1 << 20)
        head, size, _ = answer_to(peer)
        peer.close()
        expect(f'Content-Length: {64 << 20}' in head and size < 64 << 20, (head, size))
        equal(len(server.request('GET', '/shrinks.bin')[2]), 1 << 20)
        equal(server.request('GET', '/hello.txt')[0], 200)


@test
def a_file_that_grows_is_sent_as_long_as_it_was():
    with serving() as (server, root):
        path = write(root + '/grows.bin')
        os.truncate(path, 8 << 20)
        peer = slowly(server, '/grows.bin')
        expect(peer.recv(1, socket.MSG_PEEK) == b'H', 'no head')
        os.truncate(path, 16 << 20)
        equal(answer_to(peer)[1], 8 << 20)
        peer.close()


@test
def a_thousand_downloads_at_once_are_all_whole():
    descriptors_for(1000)
    with serving() as (server, root):
        content = os.urandom(1 << 19)
        with open(root + '/large.bin', 'wb') as file:
            file.write(content)
        server.request('GET', '/large.bin')
        before = server.descriptors()
        peers = [slowly(server, '/large.bin') for _ in range(1000)]
        for peer in peers:
            expect(peer.recv(1, socket.MSG_PEEK) == b'H', 'no head')
        expect(server.descriptors() > before + 1900, (before, server.descriptors()))
        for peer in peers:
            head, size, digest = answer_to(peer)
            peer.close()
            equal((head[:15], size), ('HTTP/1.1 200 OK', len(content)))
            equal(digest, hashlib.sha256(content).digest())
        while server.descriptors() > before:
            pass  # the last are being closed


@test
def a_large_file_takes_no_memory():
    with serving(environment=measured()) as (server, root):
        os.truncate(write(root + '/huge.bin'), 1 << 30)
        server.request('GET', '/hello.txt')
        before = server.memory_peak()
        client = server.client()
        client.request('GET', '/huge.bin', headers={'Range': f'bytes={3 << 28}-'})
        answer = client.getresponse()
        size = 0
        while piece := answer.read(1 << 20):
            size += len(piece)
        client.close()
        equal((answer.status, size), (206, 1 << 28))
        expect(server.memory_peak() - before < 8 << 20, server.memory_peak() - before)


@test
def downloads_under_way_at_ctrl_c_end_well():
    with serving() as (server, root):
        os.truncate(write(root + '/large.bin'), 16 << 20)
        peer = slowly(server, '/large.bin')
        expect(peer.recv(1, socket.MSG_PEEK) == b'H', 'no head')
        server.process.send_signal(2)
        while 'finishing' not in server.said():
            pass
        equal(answer_to(peer)[1], 16 << 20)
        peer.close()
        server.ended()


@test
def requests_in_a_row_are_answered_in_order():
    with serving() as (server, _):
        text = ''.join(f'GET {target} HTTP/1.1\r\nHost: x\r\n\r\n'
                       for target in ('/hello.txt', '/', '/missing', '/sub', '/hello.txt') * 10)
        answers = raw(server, text.encode())
        equal(re.findall(rb'HTTP/1.1 (\d+) ', answers),
              [b'200', b'200', b'404', b'301', b'200'] * 10)


@test
def a_browser_finds_its_way_by_keyboard_alone():
    with serving() as (server, root):
        with open(os.path.join(os.fsencode(root), b'<script>alert(1)<'), 'wb'):
            pass
        write(root + '/Ein sehr langer Name ohne Ende ' + 'x' * 120 + '.txt')
        write(root + '/sub/page.html', '<!doctype html><title>A page</title><h1>It works</h1>')
        browse('static.js', server.url)


main()

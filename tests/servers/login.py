#!/usr/bin/env python3
"""Logging in from outside: the form and its signature, passwords, limits, sessions that end, and
the page for members in a browser, by keyboard alone. See server.py for how to run it.

That an unknown user costs as much time as a wrong password is not tested: no test here measures.

SPDX-License-Identifier: MIT
"""

import contextlib
import http.client
import os
import pty
import re
import shutil
import sqlite3
import ssl
import subprocess
import tempfile
import termios
from urllib.parse import urlencode

from server import Server, Skip, browse, equal, expect, main, program, run, test, together

FORM = {'Content-Type': 'application/x-www-form-urlencoded'}
NAME = '<b>"Zoë" & \'Co\'</b>'
PASSWORD = 'correct & horse=+%41 ü'


def add_user(path, name, password):
    return run([program('login'), '--add-user', name, '--database', path], input=password + '\n')


@contextlib.contextmanager
def serving(*arguments):
    """A server with two users, and the path of its database."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'login.db')
        for name in NAME, 'bob':
            equal(add_user(path, name, PASSWORD)[0], 0)
        with Server('login', '--database', path, *arguments) as server:
            yield server, path


class Browser:
    """What a browser would keep: cookies, and the form of the page that it shows."""

    def __init__(self, server):
        self.server = server
        self.cookies = {}
        self.set = []

    def ask(self, method, target, fields=None):
        headers = {'Cookie': '; '.join(f'{name}={value}' for name, value in self.cookies.items())}
        if fields is not None:
            headers.update(FORM)
        body = None if fields is None else urlencode(fields)
        status, found, text = self.server.request(method, target, body, headers)
        self.set = found.get_all('set-cookie') or []
        for cookie in self.set:
            name, value = cookie.split(';')[0].split('=')
            self.cookies[name] = value
            if 'Max-Age=0' in cookie:
                del self.cookies[name]
        self.page = text.decode()
        return status, found

    def signature(self):
        return re.search(r'name="form" value="([0-9a-f]{64})"', self.page)[1]

    def log_in(self, name, password):
        self.ask('GET', '/login')
        return self.ask('POST', '/login', {'form': self.signature(), 'name': name,
                                           'password': password})


@test
def who_has_the_password_comes_in_and_goes_out_again():
    with serving() as (server, _):
        browser = Browser(server)
        equal(browser.ask('GET', '/members')[1]['location'], '/login')
        status, headers = browser.log_in('bob', PASSWORD)
        equal((status, headers['location'], headers['cache-control']),
              (303, '/members', 'no-store'))
        token = browser.cookies['session']
        expect(re.fullmatch('[0-9a-f]{32}', token), token)
        for wanted in 'HttpOnly', 'SameSite=Lax', 'Path=/', 'Max-Age=43200':
            expect(wanted in browser.set[0], browser.set)
        status, headers = browser.ask('GET', '/members')
        equal((status, headers['cache-control']), (200, 'no-store'))
        expect('Hello, <span class="name">bob</span>' in browser.page, browser.page)
        equal(browser.ask('POST', '/logout', {'form': browser.signature()})[0], 303)
        equal('session' in browser.cookies, False)
        browser.cookies['session'] = token  # somebody has kept it
        equal(browser.ask('GET', '/members')[0], 303)


@test
def a_wrong_password_and_an_unknown_name_look_the_same():
    with serving() as (server, _):
        pages = []
        for name, password in (('bob', 'wrong'), ('bub', PASSWORD), ('bob', PASSWORD + 'x'),
                               ('bob', ''), ('', PASSWORD), ('x' * 65, PASSWORD),
                               ('bob\0', PASSWORD), ('bob', PASSWORD + '\0'),
                               ("' OR 1=1 --", PASSWORD), ('bob', 'x' * 300)):
            browser = Browser(server)
            equal(browser.log_in(name, password)[0], 403)
            expect('session' not in browser.cookies, name)
            expect('This name or this password is wrong.' in browser.page, browser.page)
            pages.append(re.sub('value="[^"]*"', '', browser.page))
        equal(len(set(pages)), 1)


@test
def names_are_shown_as_text():
    with serving() as (server, _):
        browser = Browser(server)
        escaped = '&lt;b&gt;&quot;Zoë&quot; &amp; &#39;Co&#39;&lt;/b&gt;'
        browser.log_in(NAME, 'wrong')
        expect(f'value="{escaped}"' in browser.page, browser.page)
        equal(browser.log_in(NAME, PASSWORD)[0], 303)
        _, headers = browser.ask('GET', '/members')
        expect(f'>{escaped}<' in browser.page and NAME not in browser.page, browser.page)
        policy = headers['content-security-policy']
        expect("default-src 'none'" in policy and 'unsafe' not in policy, policy)


@test
def a_form_that_is_not_from_here_is_refused():
    with serving() as (server, _):
        other = Browser(server)
        other.ask('GET', '/login')
        for signature in '', 'x' * 64, other.signature(), '\0', 'a' * 1000:
            browser = Browser(server)
            browser.ask('GET', '/login')
            fields = {'form': signature, 'name': 'bob', 'password': PASSWORD}
            equal(browser.ask('POST', '/login', fields)[0], 403)
            expect('session' not in browser.cookies, 'logged in')
        bare = Browser(server)
        bare.page = other.page
        equal(bare.ask('POST', '/login', {'form': other.signature(), 'name': 'bob',
                                          'password': PASSWORD})[0], 403)
        equal(server.request('POST', '/login', 'name=bob', {})[0], 415)
        equal(server.request('POST', '/login', 'x' * 9000, FORM)[0], 413)
        equal(server.request('POST', '/login', 'name=%zz', FORM)[0], 400)


@test
def logging_out_takes_the_form_of_the_session():
    with serving() as (server, _):
        browser, other = Browser(server), Browser(server)
        browser.log_in('bob', PASSWORD)
        other.log_in(NAME, PASSWORD)
        other.ask('GET', '/members')
        for fields in {}, {'form': other.signature()}:
            equal(browser.ask('POST', '/logout', fields)[0], 403)
            equal(browser.ask('GET', '/members')[0], 200)
        equal(browser.ask('GET', '/logout')[0], 405)


def until_too_many(browser, names):
    """Wrong passwords until there is 429: its number, and the seconds to wait."""
    for number, name in enumerate(names):
        status, headers = browser.log_in(name, 'wrong')
        if status == 429:
            return number, int(headers['retry-after'])
        equal(status, 403)
    raise AssertionError(f'{len(names)} attempts are not too many')


@test
def an_account_is_closed_for_a_while_after_too_many_attempts():
    with serving() as (server, _):
        browser = Browser(server)
        tries, wait = until_too_many(browser, ['bob'] * 20)
        expect(tries >= 5 and 0 < wait <= 60, (tries, wait))
        expect('Too many attempts' in browser.page, browser.page)
        equal(browser.log_in('bob', PASSWORD)[0], 429)  # also for who knows it
        equal(browser.log_in(NAME, PASSWORD)[0], 303)  # and nobody else


@test
def attempts_that_come_together_count_one_by_one():
    with serving() as (server, _):
        browsers = [Browser(server) for _ in range(12)]
        together(12, lambda number: browsers[number].log_in('bob', 'wrong'))
        closed = sum('Too many' in browser.page for browser in browsers)
        wrong = sum('wrong' in browser.page for browser in browsers)
        expect(wrong >= 5 and closed > 0 and wrong + closed == 12, (wrong, closed))


@test
def a_login_that_is_right_forgives_the_account():
    with serving() as (server, _):
        browser = Browser(server)
        for _ in range(4):
            for _ in range(3):
                equal(browser.log_in('bob', 'wrong')[0], 403)
            equal(browser.log_in('bob', PASSWORD)[0], 303)


@test
def an_address_is_held_up_whatever_names_it_tries():
    with serving() as (server, _):
        browser = Browser(server)
        tries, wait = until_too_many(browser, [f'user{number}' for number in range(100)])
        expect(tries >= 30 and 0 < wait <= 15, (tries, wait))


@test
def addresses_are_told_apart_on_a_socket_that_takes_ipv6_too():
    with serving('--host', '') as (server, _):
        until_too_many(Browser(server), [f'user{number}' for number in range(100)])
        server.client = lambda: http.client.HTTPConnection('127.0.0.1', server.port,
                                                           source_address=('127.0.0.2', 0))
        equal(Browser(server).log_in('bob', PASSWORD)[0], 303)


@test
def a_session_ends_at_its_time_and_with_a_new_password():
    with serving() as (server, path):
        browser = Browser(server)
        for end in 'UPDATE sessions SET expires = unixepoch()', None:
            equal(browser.log_in('bob', PASSWORD)[0], 303)
            equal(browser.ask('GET', '/members')[0], 200)
            if end:
                other = sqlite3.connect(path)
                other.execute(end)
                other.commit()
                other.close()
            else:
                equal(add_user(path, 'bob', 'another password')[0], 0)
            equal(browser.ask('GET', '/members')[0], 303)
        equal(browser.log_in('bob', PASSWORD)[0], 403)
        equal(browser.log_in('bob', 'another password')[0], 303)


@test
def the_database_holds_neither_passwords_nor_tokens():
    with serving() as (server, path):
        browser = Browser(server)
        browser.log_in('bob', PASSWORD)
        equal(os.stat(path).st_mode & 0o777, 0o600)
        other = sqlite3.connect(path)
        hashes = [row[0] for row in other.execute('SELECT hash FROM users')]
        expect(len(set(hashes)) == 2 and all(text.startswith('$y$') for text in hashes), hashes)
        text = '\n'.join(other.iterdump())
        other.close()
        expect('horse' not in text and browser.cookies['session'] not in text.lower(), text)


@test
def over_tls_cookies_are_for_tls_alone():
    if not shutil.which('openssl'):
        raise Skip('openssl is not installed')
    with tempfile.TemporaryDirectory() as folder:
        cert = os.path.join(folder, 'cert.pem')
        equal(run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                   'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
                   '/CN=localhost', '-keyout', cert + '.key', '-out', cert])[0], 0)
        with serving('--cert', cert, '--key', cert + '.key') as (server, _):
            context = ssl._create_unverified_context()
            server.client = lambda: http.client.HTTPSConnection('127.0.0.1', server.port,
                                                                context=context)
            browser = Browser(server)
            equal(browser.log_in('bob', PASSWORD)[0], 303)
            expect('__Host-session=' in browser.set[0] and '; Secure' in browser.set[0],
                   browser.set)
            equal(browser.ask('GET', '/members')[0], 200)


@test
def a_user_is_added_in_a_terminal_that_does_not_show_the_password():
    with tempfile.TemporaryDirectory() as folder:
        command = [program('login'), '--add-user', 'carol', '--database',
                   os.path.join(folder, 'login.db')]
        for again, wanted in ('long enough', 'carol may log in'), ('different', 'not the same'):
            master, slave = pty.openpty()
            child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
            os.close(slave)
            shown = b''
            for prompt, answer in (b'Password: ', 'long enough'), (b'Again: ', again):
                while not shown.endswith(prompt):
                    shown += os.read(master, 1000)
                while terminal_shows(master):
                    pass  # the prompt comes before the switch
                os.write(master, answer.encode() + b'\n')
            with contextlib.suppress(OSError):  # its end
                while piece := os.read(master, 1000):
                    shown += piece
            child.wait()
            os.close(master)
            expect(wanted in shown.decode() and b'enough' not in shown, shown)


def terminal_shows(descriptor):
    return bool(termios.tcgetattr(descriptor)[3] & termios.ECHO)


@test
def users_and_passwords_that_will_not_do_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'login.db')
        for name, password, why in (
                ('', PASSWORD, 'A name'), (' bob', PASSWORD, 'A name'),
                ('a\tb', PASSWORD, 'A name'),
                ('x' * 65, PASSWORD, 'A name'), ('bob', 'short', '8 bytes'),
                ('bob', 'x' * 257, '256 bytes'), ('bob', 'x' * 1000, '256 bytes')):
            status, _, errors = add_user(path, name, password)
            expect(status == 1 and why in errors, (name, password, errors))
        equal(add_user(path, 'x' * 64, 'y' * 256)[0], 0)
        missing = os.path.join(folder, 'none', 'login.db')
        equal(add_user(missing, 'bob', PASSWORD)[0], 1)


@test
def a_database_that_is_locked_is_503():
    with serving('--patience', '300') as (server, path):
        browser = Browser(server)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute('BEGIN IMMEDIATE')
        status, headers = browser.log_in('bob', PASSWORD)
        equal((status, headers['retry-after']), (503, '5'))
        other.execute('ROLLBACK')
        other.close()
        equal(browser.log_in('bob', PASSWORD)[0], 303)


@test
def a_browser_comes_in_and_out_by_keyboard_alone():
    with serving() as (server, _):
        browse('login.js', server.url, NAME, PASSWORD)


main()

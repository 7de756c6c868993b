"""What the tests of the servers share: the program on a free port, clients, pages in Chromium, TAP.

A test file imports it, marks its tests with @test, and ends with main(). Each test is a function
whose name is its sentence, and fails by expect(); raise Skip where something is not installed.

    with Server('rest') as server:              # on --port 0; its end is checked, see stop()
        status, headers, body = server.request('GET', '/notes')

meson runs it as NAME.py SOURCE_ROOT BUILD_ROOT [MORE]. Nothing passes or fails by time: servers are
patient, nothing here has a deadline, and what hangs is ended by meson, whose limit grows with the
sanitizers. Whatever was started then ends with the test.

SPDX-License-Identifier: MIT
"""

import contextlib
import fcntl
import http.client
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

SOURCE, BUILD = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = []


class Skip(Exception):
    """What a test needs is not here."""


def test(function):
    TESTS.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise AssertionError(str(what))


def equal(got, wanted):
    expect(got == wanted, f'{got!r}\ninstead of\n{wanted!r}')


def program(name):
    """Where the build has put a server."""
    path = os.path.join(BUILD, 'examples', 'servers', name)
    if not os.path.exists(path):
        raise Skip(f'{name} is not built')
    return path


def run(command, **options):
    """Exit status, output and errors of a program that ends."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr


def descriptors_for(count):
    """Lets this process, and servers that it starts from now on, have so many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 100
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Skip(f'only {hard} descriptors are allowed')
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@contextlib.contextmanager
def reserved_port():
    """A port where nobody listens, until a server of the test does.

    It stays bound, so that nobody else is given it. Two sockets with SO_REUSEADDR may be bound to
    one port as long as only one of them listens; servers set that option."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(('127.0.0.1', 0))
        yield holder.getsockname()[1]


def measured():
    """The environment of a server whose memory is measured: the address sanitizer, which keeps what
    was freed, is to keep little of it."""
    return {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=1'}


class Server:
    """A server of ours that runs: NAME --port 0 --patient ARGUMENTS. options are those of Popen.

    It is patient, since a machine may stall for longer than a server waits. The time limits have
    tests of their own, in the library's suite."""

    def __init__(self, name, *arguments, environment=None, **options):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([program(name), '--port', '0', '--patient', *arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True,
                                        env={**os.environ, **(environment or {})}, **options)
        self.first = self.process.stdout.readline().strip()
        match = re.fullmatch(r'listening on (https?://.*:(\d+))', self.first)
        if not match:
            status = self.process.wait()
            raise AssertionError(f'{name} said {self.first!r} and ended with {status}\n'
                                 + self.said())
        self.url = match[1]
        self.port = int(match[2])
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.communicate()
            self.errors.close()

    def said(self):
        """All that it has written to standard error."""
        self.errors.flush()
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode(errors='replace')

    def stop(self, number=signal.SIGINT):
        """Ctrl-C: it drains, ends with status 0, and no sanitizer has anything to say."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.ended()

    def ended(self):
        """The same for one that has been told to end: a second Ctrl-C would cut its draining."""
        status = self.process.wait()
        errors = self.said()
        expect('Sanitizer' not in errors and 'runtime error' not in errors, errors)
        expect(status == 0, f'it ended with {status}\n{errors}')

    def connect(self):
        """A plain socket, for what no client would send."""
        return socket.create_connection(('127.0.0.1', self.port))

    def client(self):
        """An http.client.HTTPConnection, for several requests on one connection."""
        return http.client.HTTPConnection('127.0.0.1', self.port)

    def request(self, method, target, body=None, headers=None):
        """One request on a connection of its own: status, headers (any case), bytes."""
        client = self.client()
        try:
            return ask(client, method, target, body, headers)
        finally:
            client.close()

    def memory_peak(self):
        """The most that it has had in memory, in bytes (VmHWM)."""
        with open(f'/proc/{self.pid}/status', encoding='ascii') as file:
            return int(re.search(r'VmHWM:\s*(\d+) kB', file.read())[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))


def ask(client, method, target, body=None, headers=None):
    """The same on a connection that is there. A server may answer, and hang up, before the body has
    gone; then that is the answer."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.request(method, target, body, headers or {})
    answer = client.getresponse()
    return answer.status, answer.headers, answer.read()


def raw(server, text):
    """Sends bytes, and reads to the end of the connection."""
    with server.connect() as peer:
        peer.sendall(text)
        peer.shutdown(socket.SHUT_WR)
        return b''.join(iter(lambda: peer.recv(65536), b''))


def together(count, function):
    """function(0), function(1)… in threads that begin at once: their results, in order."""
    results = [None] * count
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        try:
            results[number] = function(number)
        except Exception as error:  # for the test to see
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,), daemon=True)
               for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- pages ---

def packages():
    """The folder with playwright-core, installed once into the build folder."""
    for tool in 'node', 'npm', 'chromium':
        if not shutil.which(tool):
            raise Skip(f'{tool} is not installed')
    folder = os.path.join(BUILD, 'tests', 'servers', 'browser')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'lock'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if not is_fresh(folder):
            install(folder)
    return os.path.join(folder, 'node_modules')


def is_fresh(folder):
    """Whether all that is wanted has been installed, to the end."""
    installed = os.path.join(folder, 'installed')
    if not os.path.exists(installed):
        return False
    with open(installed, encoding='utf-8') as have, \
            open(os.path.join(HERE, 'package-lock.json'), encoding='utf-8') as want:
        return have.read() == want.read()


def install(folder):
    for name in 'package.json', 'package-lock.json', '.npmrc':
        shutil.copy(os.path.join(HERE, name), folder)
    words = ['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts']
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired as late:  # no fault of what is tested
        raise Skip('npm hears nothing from its registry') from late
    if done.returncode != 0:
        raise Skip('npm has no packages: ' + (done.stderr.strip().split('\n') or [''])[-1])
    shutil.copy(os.path.join(folder, 'package-lock.json'), os.path.join(folder, 'installed'))


def browse(script, *arguments):
    """Runs tests/servers/SCRIPT in node with browser.js at hand; it must end well."""
    environment = {**os.environ, 'NODE_PATH': packages()}
    status, out, errors = run(['node', os.path.join(HERE, script), *map(str, arguments)],
                              env=environment)
    expect(status == 0, out + errors)
    return out


# --- the run ---

def main():
    """Runs the tests of the file, or those named behind the folders."""
    # So that meson ends it: by an exception, which ends on its way what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))
    wanted = sys.argv[3:]
    chosen = [each for each in TESTS if not wanted or each.__name__ in wanted]
    print(f'1..{len(chosen)}')
    failed = 0
    for number, function in enumerate(chosen, 1):
        remarks = ''
        try:
            function()
            line = f'ok {number} - {function.__name__}'
        except Skip as skip:
            line = f'ok {number} - {function.__name__} # SKIP {skip}'
        except Exception as error:  # whatever a client threw is a failure too
            failed += 1
            line = f'not ok {number} - {function.__name__}'
            remarks = f'{type(error).__name__}: {error}'
        print(line)
        for text in remarks.splitlines():
            print(f'# {text}')
        sys.stdout.flush()
    sys.exit(failed > 0)

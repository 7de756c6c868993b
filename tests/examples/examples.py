#!/usr/bin/env python3
"""Runs every example as its opening comment says, the README's program and the script, and looks
at what comes.

    examples.py SOURCE_ROOT BUILD_ROOT examples
    examples.py SOURCE_ROOT BUILD_ROOT readme      (not with sanitizers: it links a plain program)

Prints TAP. An example that has no test here fails one of them: they are copied, so none may rot.

SPDX-License-Identifier: MIT
"""
import contextlib
import gzip
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

SOURCE, BUILD, WHAT = sys.argv[1:4]
CURL = ['curl', '-q', '--noproxy', '*']  # whatever proxies and settings there are for others
TESTS = {'examples': [], 'readme': []}


def test(function):
    TESTS['readme' if 'readme' in function.__name__ else 'examples'].append(function)
    return function


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr


def example(name, *arguments, **options):
    return run([os.path.join(BUILD, 'examples', name), *arguments], **options)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


@test
def the_timer_counts_down():
    expect(example('01_timer') == (0, '3\n2\n1\n', ''), 'not 3 2 1')


@test
def the_worker_finds_its_prime_beside_dots():
    code, out, _ = example('02_worker')
    expect(code == 0 and re.fullmatch(r'\.+\n1000000000000037 is prime\n', out), out)


@test
def standard_input_is_read_to_its_end():
    code, out, _ = example('03_stdin', input='one\ntwo\n')
    expect(code == 0 and out.startswith('8 bytes after ') and out.endswith('end of file\n'), out)


@test
def a_regular_file_as_standard_input_is_refused():
    with open(__file__, encoding='utf-8') as file:
        code, _, err = example('03_stdin', stdin=file)
    expect(code == 1 and 'Operation not permitted' in err, err)


@test
def all_results_of_the_threads_arrive():
    code, out, _ = example('04_threads')
    lines = out.splitlines()
    expect(code == 0 and len(lines) == 10 and lines[-1] == 'all results are here', out)
    for thread in range(3):
        sums = [int(line.split()[-1]) for line in lines if line.startswith(f'thread {thread}:')]
        expect(len(sums) == 3 and sums == sorted(sums), f'thread {thread}: {sums}')


@test
def nodes_words_have_nodes_order():
    code, out, _ = example('05_node')
    lines = out.splitlines()
    expect(code == 0 and lines[:3] == ['main', 'tick', 'microtask'], out)
    expect(sorted(lines[3:]) == ['immediate', 'timeout'], out)


def udp_server(name, *arguments):
    """The program, listening, and its address."""
    program = subprocess.Popen([os.path.join(BUILD, 'examples', name), '0', *arguments],
                               stdout=subprocess.PIPE, text=True)
    return program, ('127.0.0.1', int(program.stdout.readline().rsplit(':', 1)[1]))


@test
def the_time_server_answers_each_datagram():
    server, address = udp_server('11_udp_time', '--count', '3')
    with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        for question in b'', b'time?', b'x' * 65507:
            client.sendto(question, address)
            answer, sender = client.recvfrom(100)
            expect(re.fullmatch(rb'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n', answer), answer)
            expect(sender == address, f'{sender} answered')
        out = server.communicate(timeout=30)[0]
    expect(server.returncode == 0 and out.count(' asked: answered\n') == 3, out)


@test
def node_is_answered_by_the_time_server():
    if not shutil.which('node'):
        return
    server, (host, port) = udp_server('11_udp_time', '--count', '1')
    script = f"""
        const client = require('dgram').createSocket('udp4');
        client.on('message', (text) => {{ process.stdout.write(text); client.close(); }});
        client.send('', {port}, '{host}');"""
    with server:
        code, out, err = run(['node', '-e', script])
        server.communicate(timeout=30)
    expect(code == 0 and out.endswith('Z\n') and server.returncode == 0, out + err)


@test
def the_telemetry_sink_counts_what_was_lost():
    sink, address = udp_server('12_telemetry', '--count', '9')
    with sink, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        for number in 1, 2, 5, 4, 6:
            device.sendto(f'pump {number} 20.5'.encode(), address)
        for line in b'fan 7 1e3', b'nonsense', b'', b'fan 8 0.5 ' + b'x' * 200:
            device.sendto(line, address)
        out = sink.communicate(timeout=30)[0]
    expect(sink.returncode == 0, out)
    expect('9 from 2 devices, 1 lost, 3 unreadable\n' in out, out)
    expect('pump: 5 received, 1 lost, last reading 20.5\n' in out, out)
    expect('fan: 1 received, 0 lost, last reading 1000\n' in out, out)
    code, out, _ = example('12_telemetry', '0', '--idle', '1')
    expect(code == 0 and out.endswith('0 this second; 0 from 0 devices, 0 lost, 0 unreadable\n'), out)


@test
def the_datagram_examples_have_help_and_refuse_what_they_do_not_know():
    for name in '11_udp_time', '12_telemetry':
        code, out, _ = example(name, '--help')
        expect(code == 0 and out.startswith('usage: '), out)
        for wrong in (['--nonsense'], ['65536'], ['1', '2'], ['-1'], ['80x']):
            code, _, err = example(name, *wrong)
            expect(code == 2 and 'usage: ' in err, f'{name} {wrong}: {err}')


@test
def cp_copies_a_file_and_shows_how_far_it_is():
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, 'copy')
        code, out, err = example('16_cp', '--progress', __file__, target)
        expect(code == 0 and out == '' and '100 % of ' in err, err)
        with open(target, encoding='utf-8') as copy, open(__file__, encoding='utf-8') as original:
            expect(copy.read() == original.read(), 'other bytes')
        code, _, err = example('16_cp', __file__, folder)
        expect(code == 0 and err == '', err)
        expect(sorted(os.listdir(folder)) == ['copy', os.path.basename(__file__)], 'left behind')
        code, _, err = example('16_cp', os.path.join(folder, 'none'), target)
        expect(code == 1 and 'No such file' in err, err)
        code, _, err = example('16_cp', __file__, os.path.join(folder, 'none', 'copy'))
        expect(code == 1 and 'No such file' in err, err)


@test
def cp_interrupted_leaves_the_old_file_and_no_half_one():
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, 'large'), os.path.join(folder, 'copy')
        with open(target, 'w', encoding='ascii') as old:
            old.write('old')
        with open(source, 'wb') as large:
            for _ in range(512):
                large.write(b'x' * (1 << 20))
        copying = subprocess.Popen([os.path.join(BUILD, 'examples', '16_cp'), source, target],
                                   stderr=subprocess.PIPE, text=True)
        while copying.poll() is None and not os.path.exists(target + '.part'):
            pass
        copying.send_signal(signal.SIGINT)
        err = copying.communicate(timeout=60)[1]
        if copying.returncode not in (0, -signal.SIGINT):  # it was done in no time
            expect(copying.returncode == 1 and 'canceled' in err, err)
            with open(target, encoding='ascii') as old:
                expect(old.read() == 'old', 'the old file is gone')
        expect(sorted(os.listdir(folder)) == ['copy', 'large'], os.listdir(folder))


@test
def du_says_what_du_says():
    with tempfile.TemporaryDirectory() as folder:
        below = folder
        for level in range(30):
            for name in range(level):
                with open(os.path.join(below, f'file {name}'), 'wb') as file:
                    file.write(b'x' * 1000 * name)
            os.symlink('/', os.path.join(below, 'link'))
            below = os.path.join(below, 'directory')
            os.mkdir(below)
        os.link(os.path.join(folder, 'directory', 'file 0'), os.path.join(folder, 'again'))
        with open(os.path.join(folder, 'large'), 'wb') as file:
            file.write(b'x' * 100000)
        os.link(os.path.join(folder, 'large'), os.path.join(below, 'large'))
        _, expected, _ = run(['du', '-s', '-k', folder])
        for words in [folder], ['--slow', folder]:
            code, out, err = example('17_du', *words)
            expect(code == 0 and out == expected, f'{out}{err} and not {expected}')
        code, out, err = example('17_du', os.path.join(folder, 'none'), folder)
        expect(code == 1 and 'No such file' in err and expected in out, out + err)


@test
def the_file_examples_have_help_and_refuse_what_they_do_not_know():
    for name in '16_cp', '17_du':
        code, out, _ = example(name, '--help')
        expect(code == 0 and out.startswith('usage: '), out)
        for wrong in ([], ['--nonsense'], ['--nonsense', 'a', 'b', 'c']):
            code, _, err = example(name, *wrong)
            expect(code == 2 and 'usage: ' in err, f'{name} {wrong}: {err}')


def demo(*arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'trace.json')
        code, out, err = example('demo', '--json', path, *arguments)
        expect(code == 0, err)
        with open(path, encoding='utf-8') as file:
            return out, json.load(file)['traceEvents']


@test
def the_demo_shows_every_phase_and_ends_by_itself():
    out, _ = demo('--plain')
    for lane in 'timers pending idle prepare poll check closing'.split():
        expect(re.search(rf'^  {lane} +\|', out, re.MULTILINE), f'no lane {lane}:\n{out}')
    expect('ended by itself' in out and '\033' not in out, out)
    order = [out.index(name) for name in (' on_timeout ', ' on_tick ', ' on_microtask ',
                                          ' on_immediate ', ' on_zero_timeout ')]
    expect(order == sorted(order), 'tick, microtask, immediate, timer of 0 ms: ' + out)
    expect(out.count('worker ') == 5, 'four jobs for the file and one for the primes: ' + out)


@test
def the_demos_chrome_trace_nests_and_its_arrows_lead_somewhere():
    _, events = demo('--plain')
    depth = {}
    for event in events:
        track = event.get('tid')
        step = {'B': 1, 'E': -1}.get(event['ph'], 0)
        depth[track] = depth.get(track, 0) + step
        expect(depth[track] >= 0, f'an end without a beginning: {event}')
    expect(not any(depth.values()), f'left open: {depth}')
    began = {event['id'] for event in events if event['ph'] == 's'}
    ended = {event['id'] for event in events if event['ph'] == 'f'}
    expect(ended and ended <= began, f'arrows from nowhere: {ended - began}')


@test
def the_demo_says_when_the_file_cannot_be_read():
    out, _ = demo('--plain', '--file', '/nonexistent')
    expect('/nonexistent: No such file or directory' in out, out)


@test
def the_demo_has_help_and_refuses_what_it_does_not_know():
    code, out, _ = example('demo', '--help')
    expect(code == 0 and '--json FILE' in out, out)
    code, _, err = example('demo', '--nonsense')
    expect(code == 2 and 'nonsense' in err, err)
    code, _, err = example('demo', 'argument')
    expect(code == 2 and 'argument' in err, err)
    code, _, err = example('demo', '--json', '/nonexistent/trace.json')
    expect(code == 1 and 'No such file or directory' in err, err)


class Server:
    """An example that says on its first line where it listens; ended with the block."""

    def __init__(self, name, *arguments):
        self.process = subprocess.Popen([os.path.join(BUILD, 'examples', name), *arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.where = self.line().removeprefix('listening on ').strip()
        self.port = self.where.rpartition(':')[2]

    def line(self):
        return self.process.stdout.readline()

    def connect(self):
        return socket.create_connection(('127.0.0.1', int(self.port)), timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        running = self.process.poll() is None
        self.process.kill()
        self.process.communicate()
        expect(running, f'the server has ended by itself: {self.process.returncode}')


def received(peer):
    """All that comes until the peer has ended."""
    return b''.join(iter(lambda: peer.recv(65536), b''))


def ask(peer, text):
    """What is answered to one who says no more."""
    peer.sendall(text)
    peer.shutdown(socket.SHUT_WR)
    return received(peer)


def line_of(peer):
    return b''.join(iter(lambda: peer.recv(1), b'\n')).decode()


def clients(*names):
    return [name for name in names if shutil.which(name)]


@test
def the_server_lets_its_clients_finish_at_ctrl_c():
    with subprocess.Popen([os.path.join(BUILD, 'examples', '14_shutdown'), '0', '30'],
                          stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline().rpartition(':')[2])
        with socket.create_connection(('127.0.0.1', port), timeout=30) as client:
            client.sendall(b'before')
            expect(client.recv(100) == b'before', 'no echo')
            server.send_signal(signal.SIGINT)
            expect(server.stdout.readline() == 'signal 2: waiting for 1 clients\n', 'does not wait')
            client.sendall(b'after')
            expect(client.recv(100) == b'after', 'no echo behind the signal')
            try:
                socket.create_connection(('127.0.0.1', port), timeout=30).close()
                expect(False, 'a new client got in')
            except ConnectionRefusedError:
                pass
        out = server.communicate(timeout=30)[0]
    expect(server.returncode == 0 and out == 'goodbye\n', out)


@test
def the_server_cuts_off_who_stays_and_ends_at_a_second_ctrl_c():
    for seconds, signals, code in ('0', 1, 0), ('3600', 2, -signal.SIGTERM):
        with subprocess.Popen([os.path.join(BUILD, 'examples', '14_shutdown'), '0', seconds],
                              stdout=subprocess.PIPE, text=True) as server:
            port = int(server.stdout.readline().rpartition(':')[2])
            with socket.create_connection(('127.0.0.1', port), timeout=30) as client:
                client.sendall(b'x')
                client.recv(1)
                server.send_signal(signal.SIGTERM)
                server.stdout.readline()
                if signals == 2:
                    server.send_signal(signal.SIGTERM)
                expect(received(client) == b'', 'still connected')
            out = server.stdout.read()
        expect(server.returncode == code, f'{server.returncode}: {out}')
        expect(signals == 2 or out == 'a client is cut off\ngoodbye\n', out)


def jobs(text, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, 'file'), 'w', encoding='utf-8') as file:
            file.write(text)
        return example('15_jobs', *arguments, 'file', cwd=folder)


@test
def jobs_are_done_in_the_order_of_their_dependencies():
    code, out, err = jobs("""# a comment
all: left right
    cat left right
left: base
    cat base base > left
right: base some-file
    echo right > right
    echo two lines >&2
base:
    echo base > base
""", '-j', '8')
    expect(code == 0 and err == '', out + err)
    lines = out.splitlines()
    expect(lines[0] == '# base' and lines[-4:] == ['# all', 'base', 'base', 'right'], out)
    expect('# right\ntwo lines\n' in out and '# left\n' in out, out)


@test
def jobs_stop_at_the_first_failure_and_do_not_mix_their_output():
    code, out, _ = jobs('last: bad\n echo never\nbad: good\n echo oops\n exit 3\n echo x\ngood:\n'
                        ' echo a; sleep 0.1; echo b\nother:\n echo c; sleep 0.05; echo d\n')
    expect(code == 1 and 'never' not in out, out)
    expect('# bad\noops\nbad: failed with status 3\n' in out, out)
    expect('# good\na\nb\n' in out and '# other\nc\nd\n' in out, out)
    for wrong in ' indented\n', 'no colon\n', 'a:\na:\n':
        expect(jobs(wrong)[0] == 1, wrong)
    code, out, _ = jobs('a: b\n true\nb: a\n true\n')
    expect(code == 1 and 'a: depends on itself' in out, out)
    code, _, err = example('15_jobs', '-j', '0', 'file')
    expect(code == 2 and err.startswith('usage: '), err)


@test
def ctrl_c_kills_what_jobs_has_started():
    with tempfile.TemporaryDirectory() as folder:
        fifo = os.path.join(folder, 'fifo')
        os.mkfifo(fifo)
        with open(os.path.join(folder, 'file'), 'w', encoding='utf-8') as file:
            file.write(f'long:\n exec 3>{fifo}; echo started >&3; sleep 60 & sleep 60; echo x\n')
        with subprocess.Popen([os.path.join(BUILD, 'examples', '15_jobs'), 'file'], cwd=folder,
                              stdout=subprocess.PIPE, text=True) as runner, \
                open(fifo, encoding='utf-8') as pipe:
            expect(pipe.readline() == 'started\n', 'not started')
            runner.send_signal(signal.SIGINT)
            expect(pipe.read() == '', 'something goes on')  # ends when none of them is left
            out = runner.communicate(timeout=30)[0]
        expect(runner.returncode == 1 and 'long: Operation canceled' in out, out)


@test
def echo_gives_back_what_programs_nobody_here_wrote_send():
    with Server('06_echo', '0') as server:
        words = {'nc': ['nc', '-N', '127.0.0.1', server.port],
                 'socat': ['socat', '-', f'TCP:127.0.0.1:{server.port}'],
                 'node': ['node', '-e', f"""
                    const peer = require('net').connect({server.port}, '127.0.0.1');
                    peer.pipe(process.stdout);
                    process.stdin.pipe(peer);"""]}
        for name in clients(*words):
            code, out, err = run(words[name], input='one\ntwo\n')
            expect(code == 0 and out == 'one\ntwo\n', f'{name}: {out}{err}')


@test
def echo_shows_a_silent_client_the_door():
    with Server('06_echo', '0', '--idle', '1') as server, server.connect() as peer:
        expect(received(peer) == b'', 'an answer to nothing')
        expect(server.line() == 'a silent client is shown the door\n', 'it does not say so')


@test
def curl_talks_to_echo():
    if not clients('curl'):
        return
    with Server('06_echo', '0') as server:
        command = [*CURL, '-sN', f'telnet://127.0.0.1:{server.port}']
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
            curl.stdin.write(b'hi\n')
            curl.stdin.flush()
            heard = curl.stdout.read(3)
            curl.kill()  # it does not say that it has ended
        expect(heard == b'hi\n', heard)


@test
def echo_listens_on_a_unix_domain_socket():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'echo')
        with Server('06_echo', '--unix', path) as server:
            expect(server.where == path, server.where)
            words = {'nc': ['nc', '-N', '-U', path], 'socat': ['socat', '-', f'UNIX:{path}']}
            for name in clients(*words):
                code, out, err = run(words[name], input='hello\n')
                expect(code == 0 and out == 'hello\n', f'{name}: {out}{err}')
            code, out, _ = example('06_echo', '--unix', path)
            expect(code == 1 and 'Address already in use' in _, out + _)


def resident_bytes(process):
    with open(f'/proc/{process.pid}/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE')


@test
def echo_reads_no_further_than_its_client_does():
    with Server('06_echo', '0') as server, server.connect() as peer:
        before = resident_bytes(server.process)
        sent, piece = 0, b'x' * 65536
        peer.settimeout(1)  # nothing more is taken when all buffers on the way are full
        try:
            while sent < 1 << 30:
                sent += peer.send(piece)
        except TimeoutError:
            pass
        expect(sent < 1 << 30, 'a gigabyte was taken')
        expect(resident_bytes(server.process) - before < 4 << 20, 'it is kept in memory')
        peer.settimeout(30)
        peer.shutdown(socket.SHUT_WR)
        expect(len(received(peer)) == sent, 'not all came back')


@test
def chat_passes_on_what_is_said():
    with Server('07_chat', '0') as server, server.connect() as ann, server.connect() as bob:
        expect(line_of(ann).startswith('welcome, guest1'), 'no welcome')
        expect(line_of(ann) == 'guest2 is here', 'who came?')
        expect(line_of(bob).startswith('welcome, guest2'), 'no welcome')
        ann.sendall(b'/nick ann\r\nhel')
        expect(line_of(bob) == line_of(ann) == 'guest1 is now called ann', 'no new name')
        ann.sendall(b'lo\x1b[2J\n/nick guest2\n/nick two words\n')
        expect(line_of(bob) == 'ann: hello?[2J', 'not what ann said')
        expect(line_of(ann) == 'somebody has that name', 'two have a name')
        expect('no spaces' in line_of(ann), 'a name with a space')
        ann.sendall(b'x' * 5000 + b'\n/who\n')
        expect(line_of(ann) == 'that line was too long', 'a line without bound')
        expect({line_of(ann), line_of(ann)} == {'ann', 'guest2'}, 'who is here?')
        bob.sendall(b'/quit\nnever heard\n')
        expect(received(bob) == b'goodbye\n', 'no goodbye')
        expect(line_of(ann) == 'guest2 has left', 'bob is still here')


@test
def chat_drops_a_client_that_does_not_read_and_no_other():
    with Server('07_chat', '0') as server, server.connect() as slow, server.connect() as talker, \
            server.connect() as reader:
        line_of(reader)
        sent = 0
        text = (b'x' * 500 + b'\n') * 100
        left = b'guest1 has left'
        heard = b''
        while left not in heard and sent < 200 << 20:
            talker.sendall(text)
            sent += len(text)
            heard = heard.rpartition(b'\n')[2]
            while heard.count(b'\n') < 100:  # so that never much waits for this one
                piece = reader.recv(1 << 20)
                expect(piece, 'the reader was dropped')
                heard += piece
        expect(left in heard, 'the slow one was not dropped')
        slow.settimeout(30)
        talker.settimeout(30)
        talker.sendall(b'/who\n')
        while b'guest2\n' not in (heard := talker.recv(65536)):
            expect(heard, 'the talker was dropped')


@test
def chat_is_a_place_for_nc():
    if clients('nc'):
        with Server('07_chat', '0') as server:
            code, out, err = run(['nc', '127.0.0.1', server.port], input='/who\n/quit\n')
            lines = out.splitlines()
            expect(code == 0 and lines[1:] == ['guest1', 'goodbye'], out + err)


@test
def the_proxy_passes_bytes_and_half_closes_both_ways():
    payload = os.urandom(3 << 20)
    with Server('06_echo', '0') as echo, \
            Server('08_proxy', '0', f'localhost:{echo.port}') as proxy:
        with proxy.connect() as peer:
            sender = threading.Thread(target=lambda: (peer.sendall(payload),
                                                      peer.shutdown(socket.SHUT_WR)))
            sender.start()
            expect(received(peer) == payload, 'not what was sent')
            sender.join()
        expect(proxy.line() == f'{len(payload)} bytes there, {len(payload)} back: done\n', 'count')
        if clients('socat'):
            code, out, err = run(['socat', '-', f'TCP:127.0.0.1:{proxy.port}'], input='hello\n')
            expect(code == 0 and out == 'hello\n', out + err)


@test
def curl_and_a_web_server_talk_through_the_proxy():
    if not clients('curl'):
        return
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, 'page'), 'w', encoding='ascii') as file:
            file.write('x' * 100000)
        command = [sys.executable, '-u', '-m', 'http.server', '-b', '127.0.0.1', '-d', folder, '0']
        web = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = re.search(r'port (\d+)', web.stdout.readline())[1]
        with web, Server('08_proxy', '0', f'127.0.0.1:{port}') as proxy:
            code, out, err = run([*CURL, '-sS', f'http://127.0.0.1:{proxy.port}/page'])
            web.kill()
        expect(code == 0 and out == 'x' * 100000, err)


def closed_port():
    """One that nobody listens on: bound, so that nobody else will."""
    holder = socket.socket()
    holder.bind(('127.0.0.1', 0))
    return holder, holder.getsockname()[1]


@test
def the_proxy_says_why_it_reaches_nobody():
    holder, port = closed_port()
    with holder, Server('08_proxy', '0', f'127.0.0.1:{port}') as proxy, proxy.connect() as peer:
        expect(received(peer) == b'', 'an answer from nobody')
        expect('Connection refused' in proxy.line(), 'no reason')


@test
def cat_copies_a_pipe_a_file_and_a_device():
    text = ''.join(f'{number}\n' for number in range(200000))
    expect(example('09_cat', input=text) == (0, text, ''), 'a pipe')
    with tempfile.TemporaryDirectory() as folder:
        path, copy = os.path.join(folder, 'text'), os.path.join(folder, 'copy')
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        with open(path, encoding='ascii') as file:
            expect(example('09_cat', copy, stdin=file) == (0, text, ''), 'a file')
        with open(copy, encoding='ascii') as file:
            expect(file.read() == text, 'the copy')
    expect(example('09_cat', stdin=subprocess.DEVNULL) == (0, '', ''), '/dev/null')


@test
def cat_copies_to_a_fifo_too_and_outlives_a_reader():
    text = ''.join(f'{number}\n' for number in range(200000))
    with tempfile.TemporaryDirectory() as folder:
        fifo = os.path.join(folder, 'fifo')
        os.mkfifo(fifo)
        for command, heard in (['cat', fifo], text), (['head', '-n', '1', fifo], '0\n'):
            with tempfile.TemporaryFile('w+', encoding='ascii') as file:
                reader = subprocess.Popen(command, stdout=file)
                expect(example('09_cat', fifo, input=text) == (0, text, ''), command[0])
                reader.wait(timeout=30)
                file.seek(0)
                expect(file.read() == heard, command[0])


@test
def cat_reads_a_terminal_until_control_d():
    master, slave = os.openpty()
    cat = subprocess.Popen([os.path.join(BUILD, 'examples', '09_cat')], stdin=slave,
                           stdout=subprocess.PIPE, text=True)
    os.write(master, b'typed\n\x04')
    out = cat.communicate(timeout=30)[0]
    blocking = os.get_blocking(slave)
    os.close(master)
    os.close(slave)
    expect(cat.returncode == 0 and out == 'typed\n' and blocking, out)


@test
def ports_tells_open_from_closed():
    holder, closed = closed_port()
    with holder, socket.create_server(('127.0.0.1', 0)) as listener:
        open_port = listener.getsockname()[1]
        code, out, err = example('10_ports', '127.0.0.1', str(open_port), '--parallel', '1',
                                 '--timeout', '3600000')
        expect((code, out) == (0, f'{open_port} open\n'), out + err)
        code, out, err = example('10_ports', 'localhost', str(closed), str(open_port),
                                 '--timeout', '3600000')
        expect((code, out) == (1, f'{closed} closed\n{open_port} open\n'), out + err)


@test
def ports_calls_a_host_that_says_nothing_filtered():
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(('127.0.0.1', 0))
        listener.listen(0)  # one waits; the kernel answers no other
        for peer in first, second:
            peer.setblocking(False)
            peer.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        code, out, err = example('10_ports', '127.0.0.1', str(port), '--timeout', '100')
        expect((code, out) == (1, f'{port} filtered\n'), out + err)


@test
def the_prime_server_answers_while_it_computes():
    with Server('13_prime_server', '0') as server:
        with server.connect() as peer:
            peer.sendall(b'1000000000000000003\n7\r\n1\n8\nseven\n')
            answers = sorted(line_of(peer) for _ in range(4))
            expect(answers == ['1 is not prime', '7 is prime', '8 is not prime',
                               'a number has 1 to 19 digits'], answers)
            while not re.match(r'[01] questions with the pool, [34] answered; heartbeat',
                               beat := server.line()):
                expect(re.match(r'\d+ questions with the pool, [0-2] answered', beat), beat)
        while not server.line().startswith('0 questions'):
            pass  # the client has gone: its question is answered or given up
        with server.connect() as peer:
            expect(ask(peer, b'1000003\n9\n').split(b'\n')[2:] == [b''], 'two answers, and the end')


@test
def the_stream_examples_have_help_and_refuse_what_they_do_not_know():
    for name in '06_echo', '07_chat', '08_proxy', '09_cat', '10_ports', '13_prime_server':
        code, out, _ = example(name, '--help')
        expect(code == 0 and out.startswith('usage: '), name)
        if name != '09_cat':
            code, out, err = example(name, 'nonsense')
            expect(code == 2 and err.startswith('usage: '), name)


@test
def passwords_are_hashed_beside_a_loop_that_keeps_its_appointments():
    code, out, err = example('20_hash', '-', '--cost', '1', input='secret\nother\n')
    expect(code == 0, err)
    expect(len(re.findall(r'ms since it was asked for: \$y\$', out)) == 2, out)
    expect(re.search(r'the loop was at most \d+\.\d ms late', out), out)
    code, out, _ = example('20_hash', '--help')
    expect(code == 0 and out.startswith('usage: '), out)
    expect(example('20_hash', '--cost', '99')[0] == 2, 'a cost that is out of range')


class Pages(http.server.BaseHTTPRequestHandler):
    """A server that nobody of us has written."""
    protocol_version = 'HTTP/1.1'
    body = bytes(range(256)) * 4000

    def do_GET(self):
        status = {'/page': 200, '/packed': 200, '/moved': 302}.get(self.path, 404)
        body = self.body if status == 200 else b'not here'
        self.send_response(status)
        if self.path == '/packed' and self.headers['Accept-Encoding'] == 'gzip':
            body = gzip.compress(body)
            self.send_header('Content-Encoding', 'gzip')
        if status == 302:
            self.send_header('Location', '/page')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command == 'GET':
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def pages():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()


def fetch(*arguments, **options):
    done = subprocess.run([os.path.join(BUILD, 'examples', '21_fetch'), *arguments],
                          capture_output=True, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr.decode()


@test
def fetch_brings_what_a_server_has():
    if not os.path.exists(os.path.join(BUILD, 'examples', '21_fetch')):
        return
    with pages() as url, tempfile.TemporaryDirectory() as folder:
        for path in 'page', 'packed', 'moved':
            code, out, err = fetch(f'{url}/{path}')
            expect(code == 0 and out == Pages.body and err == '', f'{path}: {code} {err}')
        name = os.path.join(folder, 'page')
        code, out, err = fetch('--progress', '-o', name, f'{url}/page')
        expect(code == 0 and out == b'' and err.endswith('100 % of 1000 KiB\n'), err)
        with open(name, 'rb') as file:
            expect(file.read() == Pages.body, 'other bytes')
        code, out, _ = fetch('--head', f'{url}/page')
        expect(code == 0 and out.startswith(b'HTTP/1.1 200 OK\n'), out)
        expect(b'\ncontent-length: 1024000\n' in out, out)
        code, out, _ = fetch(f'{url}/none')
        expect(code == 1 and out == b'not here', out)


@test
def fetch_says_what_it_cannot_do():
    if not os.path.exists(os.path.join(BUILD, 'examples', '21_fetch')):
        return
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        code, _, err = fetch(f'http://127.0.0.1:{taken.getsockname()[1]}/')
        expect(code == 1 and 'Connection refused' in err, err)
    code, _, err = fetch('nonsense')
    expect(code == 1 and 'Invalid argument' in err, err)
    code, _, err = fetch('-o', '/nowhere/file', 'http://127.0.0.1/')
    expect(code == 1 and 'No such file' in err, err)
    code, out, _ = fetch('--help')
    expect(code == 0 and out.startswith(b'usage: '), out)
    for wrong in [], ['a', 'b'], ['--nonsense', 'a']:
        expect(fetch(*wrong)[0] == 2, wrong)


@test
def fetch_does_not_read_what_nobody_takes():
    if not os.path.exists(os.path.join(BUILD, 'examples', '21_fetch')):
        return
    with pages() as url:
        done = run(['sh', '-c', f'{BUILD}/examples/21_fetch {url}/page | head -c 5 | wc -c'])
        expect(done[0] == 0 and done[1].strip() == '5', done)
        expect('Broken pipe' in done[2], done)


@test
def the_script_of_the_readme_tells_its_usage_and_touches_nothing():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(SOURCE, 'run'), folder)
        os.mkdir(os.path.join(folder, 'build'))
        for words in ('', '--help', '-h', 'help', 'test --help', 'test --quick -h', 'clean --help',
                      'sanitize tsan --help', 'install --help', 'bench --help', 'example --help'):
            code, out, err = run([os.path.join(folder, 'run'), *words.split()])
            expect((code, err) == (0, '') and out.startswith('Usage: ./run VERB'), words + out + err)
        expect(os.listdir(os.path.join(folder, 'build')) == [], 'there is something in build/')
        code, out, err = run([os.path.join(folder, 'run'), 'tset'])
        expect(code == 2 and out == '' and "no verb 'tset'" in err, f'{code} {out} {err}')


@test
def the_program_in_the_readme_prints_what_the_readme_says():
    with open(os.path.join(SOURCE, 'README.md'), encoding='utf-8') as file:
        text = file.read()
    program = re.search(r'```c\n(.*?)```', text, re.DOTALL).group(1)
    promised = re.search(r'\./a\.out\n(.*?)\$ LOOP_TRACE', text, re.DOTALL).group(1)
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, 'hello.c'), os.path.join(folder, 'hello')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(program)
        code, _, err = run(['cc', '-Wall', '-Wextra', '-Werror', '-o', binary, '-I',
                            os.path.join(SOURCE, 'include'), source, '-L', BUILD, '-lloop',
                            f'-Wl,-rpath,{BUILD}'])
        expect(code == 0, err)
        code, out, err = run([binary])
        expect(code == 0 and out == promised, out + err)


@test
def watch_runs_its_command_when_something_changes():
    with tempfile.TemporaryDirectory() as folder:
        command = [os.path.join(BUILD, 'examples', '18_watch'), '--settle', '20', '--runs', '3',
                   folder, '--', 'sh', '-c', 'echo run; exit 3']
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            lines = [watch.stdout.readline() for _ in range(2)]
            os.mkdir(os.path.join(folder, 'new'))
            lines += [watch.stdout.readline() for _ in range(3)]
            with open(os.path.join(folder, 'new', 'file'), 'w', encoding='ascii'):
                pass
            lines += [watch.stdout.readline() for _ in range(3)]
            rest = watch.communicate(timeout=30)[0]
        ended = '[watch] the command ended with 3\n'
        expect(lines == ['run\n', ended, '[watch] created new\n', 'run\n', ended,
                         '[watch] created new/file\n', 'run\n', ended], lines)
        expect(watch.returncode == 0 and rest == '', rest)


@test
def watch_ends_a_command_that_does_not_end():
    with tempfile.TemporaryDirectory() as folder:
        command = [os.path.join(BUILD, 'examples', '18_watch'), '--kill', '--settle', '20',
                   folder, '--', 'sh', '-c', 'echo run; exec sleep 1000']
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            lines = [watch.stdout.readline()]
            with open(os.path.join(folder, 'file'), 'w', encoding='ascii'):
                pass
            lines += [watch.stdout.readline() for _ in range(3)]
            watch.send_signal(signal.SIGINT)
            rest = watch.communicate(timeout=30)[0]
        expect(lines == ['run\n', '[watch] created file\n',
                         '[watch] the command ended by signal 15\n', 'run\n'], lines)
        expect(watch.returncode == 0 and 'ended by signal 2' in rest, rest)


@test
def tail_follows_growth_truncation_and_rotation():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'log')

        def write(text, how='a'):
            with open(path, how, encoding='ascii') as file:
                file.write(text)

        write('1\n2\n3\n')
        command = [os.path.join(BUILD, 'examples', '19_tail'), '-n', '2', path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as tail:
            lines = [tail.stdout.readline() for _ in range(2)]
            write('grown\n')
            lines.append(tail.stdout.readline())
            os.rename(path, path + '.1')
            write('rotated\n')
            lines.append(tail.stdout.readline())
            write('cut\n', 'w')
            lines.append(tail.stdout.readline())
            tail.terminate()
        expect(lines == ['2\n', '3\n', 'grown\n', 'rotated\n', 'cut\n'], lines)


@test
def every_example_is_tried_here():
    with open(__file__, encoding='utf-8') as file:
        text = file.read()
    for name in sorted(os.listdir(os.path.join(SOURCE, 'examples'))):
        stem, ending = os.path.splitext(name)
        expect(ending != '.c' or f"'{stem}'" in text, f'{name} has no test in {__file__}')


def main():
    tests = TESTS[WHAT]
    failed = 0
    print(f'1..{len(tests)}')
    for number, function in enumerate(tests, 1):
        try:
            function()
            print(f'ok {number} - {function.__name__}', flush=True)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f'not ok {number} - {function.__name__}')
            print(''.join(f'# {line}\n' for line in str(error).splitlines()), end='', flush=True)
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())

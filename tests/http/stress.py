#!/usr/bin/env python3
"""Lets tools that were made to load or to starve servers loose on ours, and runs the program of the
book's chapter.

    stress.py SOURCE_ROOT BUILD_FOLDER SERVER     prints TAP

SERVER --serve prints its port and ends with its input. h2load sends many requests, which all have
to succeed; slowhttptest holds connections open by heads and bodies that drip and by answers that it
does not read, while somebody else asks, and gets an answer. Nothing is passed by time: what hangs is ended by
who runs this.

SPDX-License-Identifier: MIT
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request

ATTACK = 8  # seconds, during which all is well
KINDS = {'heads that drip': ['-H'], 'bodies that drip': ['-B'],
         'answers that nobody reads': ['-X', '-w', '10', '-y', '20', '-n', '1', '-z', '8']}


class Skip(Exception):
    """What a test needs is not here."""


def need(tool):
    if not shutil.which(tool):
        raise Skip(f'{tool} is not installed')


def get(port, body=None):
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/', body) as answer:
        return answer.read()


class Server:
    def __init__(self, words):
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r'(\d+)/?$', self.child.stdout.readline().strip())[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.stdout.close()
        assert self.child.wait() == 0, f'the server ended with {self.child.returncode}'


def the_program_of_the_book_says_what_the_book_says(root, build, _):
    with open(os.path.join(root, 'docs', '21_http.md'), encoding='utf-8') as file:
        text = file.read()
    program = re.search(r'```c\n(.*?)```', text, re.DOTALL)[1]
    compile_words = os.environ.get('STRESS_CC', 'cc').split()
    need(compile_words[0])
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, 'a.c'), os.path.join(folder, 'a')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(program.replace('8080', '0').replace(
                '\n    loop_run(', '\n    fflush(stdout);\n    loop_run('))
        words = [*compile_words, '-Wall', '-Wextra', '-Werror', '-o', binary, source]
        words += ['-I', os.path.join(root, 'include')]
        for path, name in (os.path.join(build, 'libloop', 'http'), 'loop-http'), (build, 'loop'):
            words += ['-L', path, f'-l{name}', f'-Wl,-rpath,{path}']
        done = subprocess.run(words, capture_output=True, text=True)
        if 'undefined reference to `__' in done.stderr:
            raise Skip('the library is built for another kind of program')
        assert done.returncode == 0, done.stderr
        with Server([binary]) as server:
            assert get(server.port) == b'send me something\n'
            assert get(server.port, b'hello') == b'hello'
            server.child.send_signal(signal.SIGINT)


def h2load_gets_an_answer_to_each_request(_, __, program):
    need('h2load')
    with Server([program, '--serve', '--patient']) as server:
        done = subprocess.run(['h2load', '--h1', '-n', '20000', '-c', '50', '-m', '4',
                               f'http://127.0.0.1:{server.port}/'],
                              capture_output=True, text=True)
        assert '20000 succeeded, 0 failed, 0 errored' in done.stdout, done.stdout + done.stderr


def slow_peers_keep_nobody_from_an_answer(_, __, program):
    need('slowhttptest')
    with Server([program, '--serve']) as server:
        attacks = [subprocess.Popen(['slowhttptest', *kind, '-c', '200', '-r', '200', '-i', '1',
                                     '-l', str(ATTACK), '-u', f'http://127.0.0.1:{server.port}/'],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                   for kind in KINDS.values()]
        while any(attack.poll() is None for attack in attacks):
            assert get(server.port) == b'GET / '
            try:
                attacks[0].wait(0.2)  # only so as not to ask more often
            except subprocess.TimeoutExpired:
                pass
        assert get(server.port) == b'GET / '


def main():
    tests = [the_program_of_the_book_says_what_the_book_says,
             h2load_gets_an_answer_to_each_request, slow_peers_keep_nobody_from_an_answer]
    print(f'1..{len(tests)}')
    failed = 0
    for number, test in enumerate(tests, 1):
        name = test.__name__
        try:
            test(*sys.argv[1:4])
            print(f'ok {number} - {name}')
        except Skip as skip:
            print(f'ok {number} - {name} # SKIP {skip}')
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f'not ok {number} - {name}')
            for line in str(error).split('\n'):
                print('# ' + line)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

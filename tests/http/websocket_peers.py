#!/usr/bin/env python3
"""Lets our WebSockets talk to other people's: the npm packages ws (client and server) and undici
(the WebSocket of Node itself), in the versions of package-lock.json, which are installed into the
build folder.

    websocket_peers.py PROGRAM BUILD_FOLDER     prints TAP

Without node, npm or a registry there is nothing to talk to, and the tests are skipped. Nothing else
here depends on time: what hangs is ended by who runs this.

SPDX-License-Identifier: MIT
"""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, 'websocket_peers.cjs')
NEEDED = ('package.json', 'package-lock.json', '.npmrc')
LATE = 100  # seconds, for a registry


class Skip(Exception):
    """What a test needs is not here."""


def install(build):
    """The folder of the packages."""
    for tool in ('node', 'npm'):
        if not shutil.which(tool):
            raise Skip(f'{tool} is not installed')
    version = subprocess.run(['node', '--version'], capture_output=True, text=True).stdout
    if int(re.match(r'v(\d+)', version)[1]) < 20:
        raise Skip(f'node is {version.strip()}, and 20 is needed')
    folder = os.path.join(build, 'http-peers')
    packages = os.path.join(folder, 'node_modules')
    os.makedirs(folder, exist_ok=True)
    if is_fresh(folder):
        return packages
    for name in NEEDED:
        shutil.copy(os.path.join(HERE, name), folder)
    words = ['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts']
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=LATE)
    except subprocess.TimeoutExpired as late:
        raise Skip('npm hears nothing from its registry') from late
    if done.returncode != 0:
        raise Skip('npm has no packages: ' + (done.stderr.strip().split('\n') or [''])[-1])
    shutil.copy(os.path.join(folder, 'package-lock.json'), os.path.join(folder, 'installed'))
    return packages


def is_fresh(folder):
    """Whether all that is wanted has been installed, to the end."""
    installed = os.path.join(folder, 'installed')
    if not os.path.exists(installed):
        return False
    with open(installed, encoding='utf-8') as have, \
            open(os.path.join(HERE, 'package-lock.json'), encoding='utf-8') as want:
        return have.read() == want.read()


class Server:
    """A child that prints its port and ends with its input."""

    def __init__(self, words, environment):
        self.child = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return f'ws://127.0.0.1:{self.child.stdout.readline().strip()}/'

    def __exit__(self, *_):
        self.child.stdin.close()
        self.status = self.child.wait()
        self.child.stdout.close()


def run(words, environment):
    """Exit status and what was printed."""
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def against_our_server(program, environment):
    """(sentence, passed, remarks) of each client."""
    server = Server([program, 'serve'], environment)
    with server as url:
        for name in ('ws', 'undici'):
            status, text = run(['node', SCRIPT, name, url], environment)
            found = re.findall(r'^(not )?ok \d+ - (\S+)$', text, re.MULTILINE)
            for bad, sentence in found:
                yield sentence, not bad, ''
            yield f'{name}_ends_well', status == 0 and found, text
    yield 'our_server_ends_well', server.status == 0, f'it ended with {server.status}'


def against_their_server(program, environment):
    for kind in ('plain', 'deflate'):
        with Server(['node', SCRIPT, 'serve', kind], environment) as url:
            status, text = run([program, 'visit', url], environment)
            yield f'our_client_has_everything_echoed_by_ws_{kind}', status == 0, text


def main():
    program, build = sys.argv[1:3]
    try:
        environment = {**os.environ, 'NODE_PATH': install(build)}
    except Skip as skip:
        print(f'1..0 # SKIP {skip}')
        return 0
    results = [*against_our_server(program, environment),
               *against_their_server(program, environment)]
    for number, (sentence, passed, remarks) in enumerate(results, 1):
        print(f'{"" if passed else "not "}ok {number} - {sentence}')
        for line in remarks.split('\n') if not passed else []:
            print(f'# {line}')
    print(f'1..{len(results)}')
    return 0 if all(passed for _, passed, _ in results) else 1


if __name__ == '__main__':
    sys.exit(main())

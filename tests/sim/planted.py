#!/usr/bin/env python3
"""Plants a bug in a copy of the library and looks whether the simulator finds it.

    planted.py SOURCE_ROOT [--sample N] [--seeds N] [--table] [NAME...]

prints TAP: one test per bug; and at the end, with --table, by which seed each was found, the
seconds of the search, and what was said.

Each tests/sim/planted/NN-name.patch is one bug of a kind that event loops have had; its first line
says which. It must apply, build, and be found within 1,000 seeds. With --sample N only N of them
are planted, others each day of the year.

SPDX-License-Identifier: MIT
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

# As in meson.build: what is not simulated.
LEFT_OUT = ['dial', 'file', 'tty', 'udp', 'fs', 'read_file',
            'write_file', 'dns', 'getnameinfo', 'record']


def run(words, folder):
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def library_sources(root):
    """What meson.build lists, less what is not simulated."""
    with open(os.path.join(root, 'meson.build'), encoding='utf-8') as file:
        listed = re.search(r'core_sources = files\((.*?)\)', file.read(), re.DOTALL).group(1)
    for path in re.findall(r"'([^']+)'", listed):
        stem = os.path.basename(path)[:-2]
        left_out = stem in LEFT_OUT or stem.split('_')[0] in LEFT_OUT
        if stem.startswith('fs_event') or not left_out:
            yield path


class Builder:
    """A copy of the tree, in which each object is built once and those of a patch again."""

    FLAGS = ['-std=c11', '-D_GNU_SOURCE', '-O1', '-g', '-fsanitize=address,undefined',
             '-Iinclude', '-Ilibloop', '-Itests/sim']

    def __init__(self, root, folder):
        self.folder = folder
        for name in ('include', 'libloop', 'tests/sim'):
            shutil.copytree(os.path.join(root, name), os.path.join(folder, name))
        shutil.copy(os.path.join(root, 'meson.build'), folder)
        own = sorted(os.listdir(os.path.join(folder, 'tests/sim')))
        self.sources = list(library_sources(folder))
        self.sources += [f'tests/sim/{name}' for name in own if name.endswith('.c')]

    def object_of(self, source):
        return source.replace('/', '_')[:-2] + '.o'

    def compile(self, sources):
        compiler = os.environ.get('CC', 'gcc')
        for source in sources:
            words = [compiler, *self.FLAGS, '-c', source, '-o', self.object_of(source)]
            result = run(words, self.folder)
            if result.returncode:
                return result.stderr
        objects = [self.object_of(source) for source in self.sources]
        return run([compiler, *self.FLAGS, *objects, '-o', 'sim'], self.folder).stderr

    def patch(self, path, *options):
        return run(['patch', '-p1', '--quiet', '--no-backup-if-mismatch', *options, '-i', path],
                   self.folder)

    def touched(self, path):
        with open(path, encoding='utf-8') as file:
            names = re.findall(r'^\+\+\+ b/(\S+)', file.read(), re.MULTILINE)
        if any(name.endswith('.h') for name in names):
            return self.sources
        return names


def find(builder, path, seeds):
    """None if the bug was found, otherwise what went wrong; and the seed, seconds, words."""
    applied = builder.patch(path)
    if applied.returncode:
        return 'it does not apply: ' + applied.stdout.strip().replace('\n', ' '), None
    try:
        broken = builder.compile(builder.touched(path))
        if broken:
            return 'it does not build: ' + broken.split('\n')[0], None
        begin = time.monotonic()
        result = run(['./sim', '--seeds', str(seeds), '--no-shrink'], builder.folder)
        found = re.search(r'seed (\d+) fails', result.stdout)
        said = re.search(r'FAILED: (.*)', result.stdout)
        if result.returncode == 0 or not found:
            return f'not found in {seeds} seeds', None
        sanitizer = re.search(r'SUMMARY: (.*)', result.stderr)
        why = said.group(1) if said else sanitizer.group(1) if sanitizer else 'it crashes'
        return None, (found.group(1), time.monotonic() - begin, why)
    finally:
        builder.patch(path, '-R')
        builder.compile([name for name in builder.touched(path)])


def choose(paths, sample):
    if not sample:
        return paths
    first = time.localtime().tm_yday * sample
    return [paths[(first + i) % len(paths)] for i in range(min(sample, len(paths)))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('root')
    parser.add_argument('names', nargs='*')
    parser.add_argument('--sample', type=int, default=0)
    parser.add_argument('--seeds', type=int, default=1000)
    parser.add_argument('--table', action='store_true')
    options = parser.parse_intermixed_args()
    here = os.path.join(os.path.abspath(options.root), 'tests/sim/planted')
    paths = [os.path.join(here, name) for name in sorted(os.listdir(here))
             if not options.names or any(word in name for word in options.names)]
    paths = choose(paths, options.sample)
    print(f'1..{len(paths)}', flush=True)
    failed, rows = 0, []
    with tempfile.TemporaryDirectory() as folder:
        builder = Builder(os.path.abspath(options.root), folder)
        broken = builder.compile(builder.sources)
        if broken:
            sys.exit('the simulator does not build: ' + broken)
        if run(['./sim', '--seeds', str(options.seeds), '--no-shrink'], folder).returncode:
            sys.exit('Bail out! the simulator finds something with nothing planted')
        for number, path in enumerate(paths, 1):
            wrong, where = find(builder, path, options.seeds)
            name = os.path.basename(path)[:-6]
            failed += wrong is not None
            said = wrong or f'seed {where[0]} fails: {where[2]}'
            print(f'{"not ok" if wrong else "ok"} {number} - {name}: {said}', flush=True)
            rows.append((name, *(where or ('-', 0, wrong))))
    if options.table:
        print(f'# {"bug":28} {"seed":>5} {"s":>6}  how it is noticed')
        for name, seed, seconds, why in rows:
            print(f'# {name:28} {seed:>5} {seconds:6.1f}  {why}')
    return 1 if failed else 0


sys.exit(main())

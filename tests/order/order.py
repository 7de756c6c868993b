#!/usr/bin/env python3
"""Runs the scenarios of the order of callbacks: each in C, and in Node where it is installed.

    order.py TWINS SOURCES     prints TAP; TWINS holds the built programs, SOURCES this folder

A scenario is a script NN-name.js, what Node 20 prints for it, NN-name.out, and a twin in C,
NN-name.c. The twin must print the same, and so must the script under any newer node. The table
differences.txt says where that is not so, and why. Nothing may be missing without a reason, and no
reason may outlive what it explains: that is tested too.

SPDX-License-Identifier: MIT
"""

import difflib
import functools
import os
import re
import shutil
import subprocess
import sys

NODE_OLDEST = 20  # from here on Node cuts the circle of phases where we do
KINDS = ('differs', 'later', 'not in C')
ENTRY = re.compile(rf'(\d\d): ({"|".join(KINDS)}): (\S.*)')


class Skip(Exception):
    """The machine lacks what a test needs."""


class Scenarios:
    """The files of a folder, by the kind of file and the number of the scenario."""

    def __init__(self, folder):
        self.folder = folder
        self.names = {ending: self.find(ending) for ending in ('js', 'out', 'c', 'ours')}
        self.differences, self.faults = read_table(os.path.join(folder, 'differences.txt'))

    def find(self, ending):
        """From the number to the name without its ending."""
        found = [re.fullmatch(rf'((\d\d)-.+)\.{ending}', name) for name in os.listdir(self.folder)]
        return {match[2]: match[1] for match in filter(None, found)}

    def path(self, number, ending):
        return os.path.join(self.folder, f'{self.names[ending][number]}.{ending}')

    def text(self, number, ending):
        with open(self.path(number, ending), encoding='utf-8') as file:
            return file.read()

    def kind(self, number):
        return self.differences.get(number)

    def has(self, number, ending):
        return number in self.names[ending]


def read_table(path):
    """From the number to the kind of difference; and the lines that cannot be read."""
    differences, faults = {}, []
    with open(path, encoding='utf-8') as file:
        for place, line in enumerate(file, 1):
            entry = ENTRY.fullmatch(line.rstrip('\n'))
            if entry and entry[1] not in differences:
                differences[entry[1]] = entry[2]
            elif line.strip() and not line.startswith('#'):
                faults.append(f'differences.txt:{place}: not "NUMBER: KIND: REASON", or twice')
    return differences, faults


# --- what is compared ---


def run(words):
    """What the program prints; if it fails, the reason as faults."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(('NODE_', 'UV_', 'LOOP_'))}
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    faults = [f'exit status {done.returncode}'] if done.returncode else []
    return done.stdout, faults + (done.stderr.splitlines() if faults else [])


def compare(words, expected, name):
    """The faults of a program that should print what is expected."""
    printed, faults = run(words)
    wrong = difflib.unified_diff(expected.splitlines(), printed.splitlines(), name, 'printed',
                                 lineterm='')
    return faults + list(wrong)


def twin_faults(scenarios, twins, number):
    ending = 'ours' if scenarios.kind(number) == 'differs' else 'out'
    name = scenarios.names['c'][number]
    program = os.path.join(twins, name)
    if not os.path.exists(program):
        return [f'{program}: is not built: list it in meson.build']
    return compare([program], scenarios.text(number, ending), f'{name}.{ending}')


@functools.lru_cache
def node():
    path = shutil.which('node')
    version = subprocess.run([path, '--version'], capture_output=True, text=True) if path else None
    number = re.match(r'v(\d+)\.', version.stdout) if version else None
    if not number or int(number[1]) < NODE_OLDEST:
        raise Skip(f'node {NODE_OLDEST} or newer is not installed')
    return path


def script_faults(scenarios, number):
    words = [node(), scenarios.path(number, 'js')]
    return compare(words, scenarios.text(number, 'out'), f'{scenarios.names["js"][number]}.out')


def gaps(scenarios):
    """Scenarios that lack a file without a reason, and files and reasons that lack a scenario."""
    for number, name in sorted(scenarios.names['js'].items()):
        kind = scenarios.kind(number)
        if scenarios.names['out'].get(number) != name:
            yield f'{name}.js: what Node prints, {name}.out, is missing'
        if kind in (None, 'differs') and scenarios.names['c'].get(number) != name:
            yield f'{name}.js: write {name}.c, or say in differences.txt why it is not there'
        if kind == 'differs' and scenarios.names['ours'].get(number) != name:
            yield f'{name}.js: what its twin prints, {name}.ours, is missing'
        if kind in ('later', 'not in C') and scenarios.has(number, 'c'):
            yield f'{name}.c: is here now: take {number} out of differences.txt'
        if kind != 'differs' and scenarios.has(number, 'ours'):
            yield f'{name}.ours: differences.txt does not say that {number} differs'
        if kind == 'differs' and same_text(scenarios, number):
            yield f'{name}.ours: is the same as {name}.out: there is no difference'


def same_text(scenarios, number):
    return (scenarios.has(number, 'ours') and scenarios.has(number, 'out') and
            scenarios.text(number, 'ours') == scenarios.text(number, 'out'))


def strays(scenarios):
    scripts = scenarios.names['js']
    for ending in ('out', 'c', 'ours'):
        for number, name in sorted(scenarios.names[ending].items()):
            if scripts.get(number) != name:
                yield f'{name}.{ending}: there is no {name}.js'
    for number in sorted(scenarios.differences):
        if number not in scripts:
            yield f'differences.txt: {number}: there is no such scenario'


# --- TAP ---


def checks(scenarios, twins):
    """(what should be true, a function that returns the faults) for each test."""
    yield ('each scenario has its twin, or a reason in differences.txt',
           lambda: scenarios.faults + list(gaps(scenarios)))
    yield 'each file and each reason has its scenario', lambda: list(strays(scenarios))
    for number, name in sorted(scenarios.names['js'].items()):
        if scenarios.has(number, 'c'):
            said = 'what we do instead' if scenarios.kind(number) else 'what node prints'
            yield (f'{name}: the twin prints {said}',
                   functools.partial(twin_faults, scenarios, twins, number))
        if scenarios.has(number, 'out'):
            yield (f'{name}: node prints what is written here',
                   functools.partial(script_faults, scenarios, number))


def check(number, title, function):
    try:
        faults = function()
    except Skip as skip:
        print(f'ok {number} - {title} # SKIP {skip}', flush=True)
        return True
    print(f'{"not ok" if faults else "ok"} {number} - {title}', flush=True)
    for fault in faults:
        print(f'# {fault}')
    return not faults


def main():
    if len(sys.argv) != 3:
        sys.exit('the arguments are the folder of the built twins and the folder of the scenarios')
    tests = list(checks(Scenarios(sys.argv[2]), sys.argv[1]))
    print(f'1..{len(tests)}')
    results = [check(number, *test) for number, test in enumerate(tests, 1)]
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())

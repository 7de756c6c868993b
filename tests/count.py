"""What a run of the test suite came to, from the logs that `meson test` leaves.

    count.py configuration NAME             the line of build/NAME, after the output of what failed
    count.py total [--broken N] NAME...     the last line of ./run test; status 1 if anything failed

Every test that a program prints as TAP counts, not every program. A program that crashes, times out
or stops halfway without a `not ok` is one failure; one that prints no TAP is one test. A skipped
test is neither passed nor failed.

SPDX-License-Identifier: MIT
"""

import argparse
import json
import os
import re
import sys

RESULT = re.compile(r'(not )?ok\b[^#\n]*(?:#\s*(skip|todo)\b)?', re.IGNORECASE)
PLAN = re.compile(r'1\.\.(\d+)\s*(#\s*skip\b)?', re.IGNORECASE)
LINES_MAX = 200  # of one stream of one program: the whole is in meson-logs/testlog.txt


class Program:
    """One test program: how its tests came out."""

    def __init__(self, entry):
        self.entry = entry
        self.passed = self.failed = self.skipped = 0
        self.planned = None
        for line in (entry.get('stdout') or '').splitlines():
            self.count_line(line)
        self.seen = self.passed + self.failed + self.skipped
        if self.planned is None and not self.seen:
            self.count_without_tap()
        elif self.is_broken() and not self.failed:
            self.failed = 1

    def count_line(self, line):
        if result := RESULT.match(line):
            self.count_result(bool(result[1]), (result[2] or '').lower())
        elif plan := PLAN.match(line):
            self.planned = (self.planned or 0) + int(plan[1])
            self.skipped += bool(plan[2])

    def count_result(self, negative, directive):
        if directive == 'skip':  # cmocka writes "not ok 1 # SKIP"
            self.skipped += 1
        elif negative and directive != 'todo':
            self.failed += 1
        else:
            self.passed += 1

    def count_without_tap(self):
        """By the status. meson also calls skipped what should print TAP and prints nothing."""
        self.passed = int(self.entry['result'] in ('OK', 'EXPECTEDFAIL'))
        self.skipped = int(self.entry['result'] == 'SKIP' and self.entry['returncode'] == 77)
        self.failed = 1 - self.passed - self.skipped

    def is_broken(self):
        """Whether it failed in another way than by `not ok`."""
        if self.entry['result'] == 'FAIL':
            # Also what meson makes of the skips of cmocka: the program itself is then content.
            return self.entry['returncode'] != 0 or self.seen < (self.planned or 0)
        return self.entry['result'] not in ('OK', 'SKIP', 'EXPECTEDFAIL')

    def how_it_ended(self):
        code = self.entry['returncode']
        ended = f'killed by signal {-code}' if code < 0 else f'exit status {code}'
        if self.entry['result'] in ('TIMEOUT', 'INTERRUPT'):
            ended = self.entry['result'].lower()
        if self.planned is None:
            return ended + (', and no TAP' if code == 0 else '')
        cut_short = self.seen < self.planned
        return ended + (f' after {self.seen} of {self.planned} tests' if cut_short else '')


def read_log(name):
    """The programs of one configuration; none if its tests did not run."""
    path = os.path.join('build', name, 'meson-logs', 'testlog.json')
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as log:
        return [Program(json.loads(line)) for line in log]


def seconds(programs):
    """From the start of the first program to the end of the last."""
    starts = [program.entry['starttime'] for program in programs]
    ends = [program.entry['starttime'] + program.entry['duration'] for program in programs]
    return max(ends) - min(starts)


def total(programs, what):
    return sum(getattr(program, what) for program in programs)


def summary(passed, failed, skipped):
    return f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else '')


def colour(code, text):
    return f'\033[{code}m{text}\033[m' if sys.stdout.isatty() else text


def interesting(stream):
    """The lines that are not about a test that passed, or the last of them."""
    lines = [line for line in (stream or '').splitlines() if not re.match(r'ok |1\.\.', line)]
    left_out = len(lines) - LINES_MAX
    if left_out > 0:
        lines = [f'({left_out} lines left out)'] + lines[left_out:]
    return lines


def show_failure(name, program):
    title = f'{name}: {program.entry["name"].split(" / ")[-1]}: {program.how_it_ended()}'
    print(colour('1;31', title))
    for stream in ('stdout', 'stderr'):
        for line in interesting(program.entry.get(stream)):
            print(f'    {line}')


def print_configuration(name):
    programs = read_log(name)
    if not programs:
        print(f'{name:<10} none of these tests')
        return
    for program in programs:
        if program.failed:
            show_failure(name, program)
    failed = total(programs, 'failed')
    counts = summary(total(programs, 'passed'), failed, total(programs, 'skipped'))
    print(f'{name:<10} {colour(31 if failed else 32, counts)}  ({seconds(programs):.1f} s)')


def print_total(names, broken, skipped):
    """Tests of which none ran have not passed."""
    programs = [program for name in names for program in read_log(name)]
    passed = total(programs, 'passed')
    failed = total(programs, 'failed') + broken
    if not programs and not failed:
        print('no test of this name', file=sys.stderr)
        failed = 1
    counts = summary(passed, failed, total(programs, 'skipped') + skipped)
    print(colour('1;31' if failed else '1;32', counts))
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest='verb', required=True)
    configuration = verbs.add_parser('configuration')
    configuration.add_argument('name')
    everything = verbs.add_parser('total')
    everything.add_argument('--broken', type=int, default=0)
    everything.add_argument('--skipped', type=int, default=0)
    everything.add_argument('names', nargs='+')
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.verb == 'total':
        return print_total(arguments.names, arguments.broken, arguments.skipped)
    print_configuration(arguments.name)
    return 0


if __name__ == '__main__':
    sys.exit(main())

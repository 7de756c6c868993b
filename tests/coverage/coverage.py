"""Which lines and branches of libloop/ the tests reach: ./run coverage [OPTIONS]

Builds the library with counters, runs the test suite and all of ./run torture, which alone reaches
most error paths, and prints a row for each file. No file may fall below what
tests/coverage/gate.txt says of it, by more than threads and chance account for.

  --missing    also lists each line and branch that was not reached
  --update     writes what is reached now into gate.txt
  --html       also writes build/coverage/html/index.html, with every line

What cannot be reached carries its reason: /* unreachable: WHY */ at the end of a line, or on the
line above it. Such a line is not counted, nor are the branches that were not taken there and in the
condition that leads there. A mark where everything is reached is an error, and so is one without a
reason. Not counted either are the branches that the compiler adds by itself, and those by which the
library's SYS_RETRY() tries a call on a file again: no signal interrupts those.

SPDX-License-Identifier: MIT
"""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GATE = os.path.join(HERE, 'gate.txt')
BUILD = os.path.join(ROOT, 'build', 'coverage')
COUNTED = os.path.join(BUILD, 'counted.json')
CHANCE = 2.0  # percent of a file, and at least one line or branch
MARK = re.compile(r'/\* unreachable:\s*(.*)')
REASON_MIN = 10  # characters: a reason, and not a word


def gcovr(*options):
    words = ['gcovr', '--root', ROOT, '--filter', re.escape(ROOT) + '/libloop/',
             '--exclude-unreachable-branches', '--exclude-throw-branches',
             '--gcov-ignore-parse-errors', *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f'gcovr failed:\n{done.stderr}')
    return done.stdout


class Source:
    """The lines of a file, of which some may be marked."""

    def __init__(self, name):
        with open(os.path.join(ROOT, name), encoding='utf-8') as file:
            self.lines = file.read().split('\n')
        self.unreasoned = []
        self.marked = {}  # the line that a mark is about, and where the mark is
        for number, text in enumerate(self.lines, 1):
            mark = MARK.search(text)
            if mark and len(mark[1]) < REASON_MIN:
                self.unreasoned.append(number)
            elif mark:
                self.marked[self.subject(number, text)] = number

    def subject(self, number, text):
        """The line itself, or the first behind the comment if it begins there."""
        if not text.strip().startswith('/*'):
            return number
        while '*/' not in self.lines[number - 1]:
            number += 1
        return number + 1


def is_open(line):
    return line['count'] == 0 or any(branch['count'] == 0 for branch in line['branches'])


def forgive_branches(line):
    line['branches'] = [branch for branch in line['branches'] if branch['count'] > 0]


def apply_marks(file, source):
    """Drops what is marked; says which marks are wrong."""
    lines = {line['line_number']: line for line in file['lines']}
    numbers = sorted(lines)
    problems = [f'{file["file"]}:{number}: a mark without a reason' for number in source.unreasoned]
    dropped = set()
    for number, place in source.marked.items():
        before = max((other for other in numbers if other < number), default=None)
        if number not in lines or not is_open(lines[number]):
            problems.append(f'{file["file"]}:{place}: marked as unreachable, but all is reached')
            continue
        if lines[number]['count'] == 0:
            dropped.add(number)
            if before and lines[before]['count'] > 0:
                forgive_branches(lines[before])
        forgive_branches(lines[number])
    file['lines'] = [line for line in file['lines'] if line['line_number'] not in dropped]
    return problems


def measure():
    """The files as gcovr describes them, without what is not counted; and wrong marks."""
    report = json.loads(gcovr(BUILD, '--json'))
    problems = []
    for file in report['files']:
        source = Source(file['file'])
        file['lines'] = [line for line in file['lines'] if not line['gcovr/noncode']]
        for line in file['lines']:
            if 'SYS_RETRY' in source.lines[line['line_number'] - 1]:
                forgive_branches(line)
        problems += apply_marks(file, source)
    with open(COUNTED, 'w', encoding='utf-8') as out:
        json.dump(report, out)
    return report['files'], problems


def totals(file):
    """(lines reached, lines, branches reached, branches)"""
    branches = [branch for line in file['lines'] for branch in line['branches']]
    return (sum(line['count'] > 0 for line in file['lines']), len(file['lines']),
            sum(branch['count'] > 0 for branch in branches), len(branches))


def share(part, whole):
    return 100.0 * part / whole if whole else 100.0


def read_gate():
    if not os.path.exists(GATE):
        return {}
    with open(GATE, encoding='utf-8') as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith('#')]
    return {row[0]: (float(row[1]), float(row[2])) for row in rows}


def write_gate(measured):
    with open(GATE, 'w', encoding='utf-8') as file:
        file.write('# What the tests reach of each file, in percent of its lines and branches:\n'
                   '# ./run coverage --update writes it, and ./run coverage demands it.\n')
        for name, (line, lines, branch, branches) in sorted(measured.items()):
            file.write(f'{name} {share(line, lines):.1f} {share(branch, branches):.1f}\n')


def below(reached, whole, demanded):
    return share(reached, whole) < demanded - CHANCE and share(reached + 1, whole) < demanded


def print_rows(measured, gate):
    """How many files are below the gate."""
    failed = 0
    print(f'{"file":40} {"lines":>14} {"branches":>14}')
    for name, (line, lines, branch, branches) in sorted(measured.items()):
        demanded = gate.get(name, (0, 0))
        bad = below(line, lines, demanded[0]) or below(branch, branches, demanded[1])
        failed += bad
        print(f'{name:40} {line:5}/{lines:<5}{share(line, lines):5.1f} {branch:4}/{branches:<5}'
              f'{share(branch, branches):5.1f}'
              + (f'   below the gate: {demanded[0]} {demanded[1]}' if bad else ''))
    return failed


def part_of(name):
    """The libraries beside the core have a folder of their own."""
    folder = name.split('/')[1]
    return folder if folder in ('debug', 'http', 'inspect') else 'core'


def print_totals(measured):
    parts = {}
    for name, counts in measured.items():
        before = parts.get(part_of(name), (0, 0, 0, 0))
        parts[part_of(name)] = tuple(map(sum, zip(before, counts)))
    for part, (line, lines, branch, branches) in sorted(parts.items()):
        print(f'{part}: {share(line, lines):.1f} % of {lines} lines, '
              f'{share(branch, branches):.1f} % of {branches} branches')


def print_missing(files):
    for file in files:
        source = Source(file['file'])
        for line in filter(is_open, file['lines']):
            number, taken = line['line_number'], [b['count'] > 0 for b in line['branches']]
            what = 'line' if line['count'] == 0 else f'{taken.count(False)}/{len(taken)}'
            print(f'{file["file"]}:{number}: {what:5} {source.lines[number - 1].strip()}')


def main():
    if '--help' in sys.argv:
        print(__doc__)
        return 0
    files, problems = measure()
    measured = {file['file']: totals(file) for file in files}
    if '--missing' in sys.argv:
        print_missing(files)
    if '--html' in sys.argv:
        os.makedirs(os.path.join(BUILD, 'html'), exist_ok=True)
        gcovr('--add-tracefile', COUNTED, '--html-details',
              os.path.join(BUILD, 'html', 'index.html'))
        print('build/coverage/html/index.html')
    failed = print_rows(measured, {} if '--update' in sys.argv else read_gate())
    print_totals(measured)
    print(f'{failed} files below the gate')
    for problem in problems:
        print(problem)
    if '--update' in sys.argv:
        write_gate(measured)
    return 1 if failed or problems else 0


if __name__ == '__main__':
    sys.exit(main())

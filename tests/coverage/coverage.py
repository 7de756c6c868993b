"""Which lines and branches of libloop/ the tests reach: ./run coverage [--update] [--html]

Builds the library with counters, runs the test suite (with a sample of ./run torture, which alone
reaches most error paths), and prints a row for each file. No file may fall below what
tests/coverage/gate.txt says of it, by more than threads and chance account for.

  --update   writes what is reached now into gate.txt
  --html     also writes build/coverage/html/index.html, with every line

Branches that the compiler adds by itself are not counted. SPDX-License-Identifier: MIT
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
CHANCE = 2.0  # percent of a file, and at least one line or branch


def gcovr(*options):
    words = ['gcovr', BUILD, '--root', ROOT, '--filter', re.escape(ROOT) + '/libloop/', '--exclude-unreachable-branches',
             '--exclude-throw-branches', '--gcov-ignore-parse-errors', *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f'gcovr failed:\n{done.stderr}')
    return done.stdout


def measure():
    """(lines reached, lines, branches reached, branches) of each file."""
    summary = json.loads(gcovr('--json-summary'))
    return {file['filename']: (file['line_covered'], file['line_total'], file['branch_covered'],
                               file['branch_total']) for file in summary['files']}


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


def main():
    if '--help' in sys.argv:
        print(__doc__)
        return 0
    measured = measure()
    if '--html' in sys.argv:
        os.makedirs(os.path.join(BUILD, 'html'), exist_ok=True)
        gcovr('--html-details', os.path.join(BUILD, 'html', 'index.html'))
        print('build/coverage/html/index.html')
    failed = print_rows(measured, {} if '--update' in sys.argv else read_gate())
    line, lines, branch, branches = (sum(column) for column in zip(*measured.values()))
    print(f'{share(line, lines):.1f} % of {lines} lines, {share(branch, branches):.1f} % of '
          f'{branches} branches; {failed} files below the gate')
    if '--update' in sys.argv:
        write_gate(measured)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

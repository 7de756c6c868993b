"""What the tests have come to, as docs/how_it_is_tested.md tells it: python3 tests/figures.py

Runs each command below, one after another, and writes a line of the document's table from what it
prints at its end: so each figure stands beside the command that made it. Takes about an hour of one
machine; with words, such as `torture soak`, only the rows of commands that contain one of them are
made anew. A command that fails leaves its row as it was, and its output on standard error.

SPDX-License-Identifier: MIT
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, 'docs/how_it_is_tested.md')
TABLE = re.compile(r'(<!-- figures -->\n)(.*?)(<!-- end of figures -->)', re.S)

REACHED = r'([\d.]+) % of (\d+) lines, ([\d.]+) % of (\d+) branches'

# The command, what of its output is told, and how.
ROWS = [
    ('./run test', r'(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*\Z',
     '{0} tests passed, {1} failed, under four compilers and sanitizers'),
    ('./run sanitize', r'(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*\Z',
     '{0} tests passed, {1} failed, in twelve rows'),
    ('./run sim --seeds 100000', r'(\d+) seeds from 0, (\d+) steps, (\d+) callbacks, ([\d.]+) s',
     '{0} programs, {1} simulated steps, {2} callbacks in {3} s: nothing found'),
    ('python3 tests/sim/planted.py .', r'1\.\.(\d+)\n(.*)', None),
    ('./run torture', r'(\d+) injections; (\d+) of (\d+) call sites, and (\d+) (\S+)',
     '{0} injections; {1} of {2} call sites failed, the others listed with a reason'),
    ('./run fuzz 60', r'(.*)', None),
    ('./run coverage', r'core: ' + REACHED + r'.*^http: ' + REACHED,
     '{0} % of {1} lines and {2} % of {3} branches of the core; {4} % of {5} lines and {6} % of {7} '
     'branches of libloop-http'),
    ('./run soak 10', r'ended: (\d+) connections, .*?, (\d+) chores, (\d+) children, (\d+) changes',
     '{0} connections, {1} chores, {2} children, {3} changes in files: nothing grew, nothing left'),
]


def planted(output):
    seeds = [int(seed) for seed in re.findall(r'^ok .*: seed (\d+) fails', output, re.M)]
    count = re.search(r'^1\.\.(\d+)', output, re.M)[1]
    return f'{len(seeds)} of {count} bugs found, the last by seed {max(seeds)}, half of them by ' \
           f'seed {sorted(seeds)[len(seeds) // 2]}'


def fuzzed(output):
    runs = [int(runs) for runs in re.findall(r'ok: (\d+) runs', output)]
    return f'{sum(runs):,} runs of {len(runs)} targets: nothing found'


def figure(command, pattern, text):
    """The second column of a row; None: the command has failed."""
    print(command, file=sys.stderr)
    done = subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stdout, re.S | re.M)
    if done.returncode or not found:
        print(done.stdout[-4000:], done.stderr[-1000:], file=sys.stderr)
        return None
    if 'planted' in command:
        return planted(done.stdout)
    if 'fuzz' in command:
        return fuzzed(done.stdout)
    return text.format(*(f'{int(word):,}' if word and word.isdigit() else word
                         for word in found.groups()))


def main():
    words = sys.argv[1:]
    if '--help' in words:
        print(__doc__)
        return 0
    with open(PAGE, encoding='utf-8') as file:
        page = file.read()
    before = dict(re.findall(r'^\| `(.*?)` \| (.*?) \|$', TABLE.search(page)[2], re.M))
    rows, failed = ['| command | what came of it |', '|---|---|'], 0
    for command, pattern, text in ROWS:
        told = before.get(command)
        if not words or any(word in command for word in words):
            made = figure(command, pattern, text)
            failed += made is None
            told = made or told
        if told:
            rows.append(f'| `{command}` | {told} |')
    table = '\n'.join(rows)
    page = TABLE.sub(lambda match: f'{match[1]}{table}\n{match[3]}', page)
    with open(PAGE, 'w', encoding='utf-8') as file:
        file.write(page)
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())

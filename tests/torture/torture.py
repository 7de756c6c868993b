"""Fails every outside effect of libloop in turn: ./run torture [OPTIONS] [SCENARIO...]

Runs each scenario of tests/torture/scenarios again and again, failing another call each time, until
a run fails nothing: once with each error that the call may have, and once with all calls behind it
failing too; then with reads and writes of one byte, and with everything interrupted once.

  --step K     only every Kth call
  --sample     few calls, and TAP: for the test suite
  --sites      lists where no failure was injected, also what is known and listed
  --list       lists the scenarios

The last argument of --sample is the torture program; it is found in build/asan otherwise. What is
demanded of each run is said in tests/torture/torture.c. Errors that nobody was told of have to be
listed in tests/torture/swallowed.txt, and calls that no scenario can fail in sites.txt, each with a
reason.

SPDX-License-Identifier: MIT
"""
import argparse
import collections
import concurrent.futures
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TRANSIENT = ('EINTR', 'EAGAIN')
SAMPLE_STEP = {'timers': 1, 'async': 2}

sys.path.insert(0, HERE)
import seam  # noqa: E402
import errno  # noqa: E402


class Tally:
    """What all scenarios came to."""

    def __init__(self):
        self.injected = self.calls = 0
        self.failures = []
        self.sites = {}
        self.askers = collections.Counter()
        self.swallowed = collections.Counter()
        self.base = 0

    def add(self, scenario, output):
        injected, failures = 0, []
        for line in output.splitlines():
            word, _, rest = line.partition(' ')
            if word == 'failed':
                failures.append(rest)
            elif word == '|' and failures:
                failures[-1] += '\n    ' + rest
            elif word == 'injected':
                injected = int(rest)
            elif word == 'calls':
                self.calls += int(rest)
            elif word == 'base':
                self.base = int(rest, 16)
            elif word == 'site':
                self.add_site(rest.split(' ', 4))
            elif word == 'asker':
                address, count = rest.split()
                self.askers[int(address, 16)] += int(count)
            elif word == 'swallowed':
                address, error = rest.split()
                self.swallowed[int(address, 16), int(error)] += 1
        self.injected += injected
        self.failures += failures
        return injected, failures

    def add_site(self, words):
        address, met, failed, name, place = words
        before = self.sites.get(int(address, 16), (0, 0))
        self.sites[int(address, 16)] = (before[0] + int(met), before[1] + int(failed), name,
                                        shortened(place))


def shortened(place):
    at = place.find('libloop/')
    return place[at:] if at >= 0 else place


def run_all(program, scenarios, step_of, tell):
    """As many at a time as there are processors; tell(scenario, output, status) as they end."""
    running = set()

    def run(name):
        words = [program, name, '--step', str(step_of(name))]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True,
                              errors='replace') as process:
            running.add(process)
            output = process.communicate()[0]
            running.discard(process)
        return name, output, process.returncode

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            for done in concurrent.futures.as_completed(
                    [threads.submit(run, name) for name in scenarios]):
                tell(*done.result())
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.kill()
            raise


def places_of(program, addresses, base):
    """FILE:LINE of who asked for memory."""
    del base  # the program is not relocated
    if not addresses:
        return {}
    words = ['addr2line', '-e', program, *(hex(address - 1) for address in addresses)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split('\n')
    return {address: shortened(line.split(' ')[0]) for address, line in zip(addresses, lines)}


def read_swallowed():
    """The listed errors, or None for all, by file and call."""
    with open(os.path.join(HERE, 'swallowed.txt'), encoding='utf-8') as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith('#')]
    words = [line.split(':', 1)[0].split() for line in lines]
    return {tuple(word[:2]): word[2:] or None for word in words}


def named(tally, places, address):
    if address in tally.sites:
        _, _, name, place = tally.sites[address]
    else:
        name, place = 'resize', places.get(address, '?')
    return place, name


def unlisted(tally, places):
    listed, problems, met = read_swallowed(), [], set()
    for (address, error), count in sorted(tally.swallowed.items()):
        word = errno.errorcode.get(error, str(error))
        place, name = named(tally, places, address)
        key = (place.split(':')[0], name)
        met.add(key)
        allowed = listed.get(key, TRANSIENT) or [word]
        if word not in allowed and word not in TRANSIENT:
            problems.append(f'{place} {name}: {word} was swallowed {count} times')
    return problems, [key for key in listed if key not in met]


def read_sites():
    """How many calls of each name in each file cannot be failed."""
    with open(os.path.join(HERE, 'sites.txt'), encoding='utf-8') as file:
        lines = [line.split(':', 1)[0].split() for line in file
                 if line.strip() and not line.startswith('#')]
    return {(words[0], words[1]): int(words[2]) if len(words) > 2 else 1 for words in lines}


def unreached(tally):
    """Calls that were not failed and are not listed; and lines of the list that are not needed."""
    left = collections.defaultdict(list)
    for _, failed, name, place in tally.sites.values():
        if not failed:
            left[place.split(':')[0], name].append(place)
    listed = read_sites()
    problems = [f'{" ".join(places)} {key[1]}: never failed; a scenario has to, or sites.txt '
                f'says why none can' for key, places in sorted(left.items())
                if len(places) > listed.get(key, 0)]
    return problems, [key for key, count in listed.items() if len(left[key]) < count]


def unknown_effects():
    table = seam.read_table(os.path.join(HERE, 'errors.txt'))
    folder = os.path.join(ROOT, 'libloop', 'sys')
    headers = sorted(os.path.join(folder, name) for name in os.listdir(folder)
                     if name.startswith('sys'))
    return [effect.name for effect in seam.effects(headers) if seam.is_missing(effect, table)
            and not effect.name.startswith('child_')]


def print_sites(tally):
    for _, failed, name, place in sorted(tally.sites.values(), key=lambda site: site[3]):
        if not failed:
            print(f'not failed: {place} {name}')


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write('\r\033[K' + text)
        sys.stderr.flush()


def report(tally, program, sites, everything):
    places = places_of(program, list(tally.askers), tally.base)
    swallowed, unmet = unlisted(tally, places)
    unfailed, failed_all_the_same = unreached(tally) if everything else ([], [])
    problems = tally.failures + swallowed + unfailed
    problems += [f'sys_{name}() has no line in tests/torture/errors.txt'
                 for name in unknown_effects()]
    for problem in problems:
        print('FAILED', problem)
    for key in unmet if everything else []:
        print('not met, though listed as swallowed:', *key)
    for key in failed_all_the_same:
        print('failed, though listed in sites.txt:', *key)
    if sites:
        print_sites(tally)
    failed = sum(1 for site in tally.sites.values() if site[1])
    memory = sum(1 for count in tally.askers.values() if count)
    print(f'{tally.injected} injections; {failed} of {len(tally.sites)} call sites, and {memory} '
          f'of {len(tally.askers)} allocations that were met, failed at least once; '
          f'{len(problems)} problems')
    return 1 if problems else 0


def torture(program, scenarios, step, sites, everything):
    tally, started = Tally(), time.monotonic()

    def tell(name, output, status):
        progress('')
        if status not in (0, 1):
            tally.failures.append(f'{name}: the program itself ended with {status}')
        injected, failures = tally.add(name, output)
        print(f'{name:10} {injected:6} injections, {len(failures)} failed', flush=True)
        progress(f'libloop: torture: {tally.injected} injections in '
                 f'{time.monotonic() - started:.0f} s ...')

    run_all(program, scenarios, lambda name: step, tell)
    return report(tally, program, sites, everything)


def sample(program):
    scenarios, tally, results = names(program), Tally(), []
    run_all(program, scenarios, lambda name: SAMPLE_STEP.get(name, 23),
            lambda name, output, status: results.append((name, tally.add(name, output))))
    places = places_of(program, list(tally.askers), tally.base)
    results.append(('what_is_swallowed_is_listed', (0, unlisted(tally, places)[0])))
    print(f'1..{len(results)}')
    for number, (name, (_, failures)) in enumerate(results, 1):
        print(f'{"not ok" if failures else "ok"} {number} - {name}')
        for failure in failures:
            print('# ' + failure.replace('\n', '\n# '))
    return 0


def names(program):
    return subprocess.run([program, '--list'], capture_output=True, text=True,
                          check=True).stdout.split()


def main():
    parser = argparse.ArgumentParser(prog='./run torture', usage=argparse.SUPPRESS,
                                     description=__doc__, add_help=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ('--sample', '--sites', '--list', '--help'):
        parser.add_argument(flag, action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--step', type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument('--program', default=os.path.join(ROOT, 'build/asan/tests/torture/torture'),
                        help=argparse.SUPPRESS)
    parser.add_argument('words', nargs='*', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.help:
        print(__doc__.split('The last argument')[0].rstrip())
        return 0
    if arguments.sample:
        return sample(arguments.words[0])
    known = names(arguments.program)
    if arguments.list:
        print('\n'.join(known))
        return 0
    strange = [word for word in arguments.words if word not in known]
    if strange or arguments.step < 1:
        print(f'there is no scenario {" ".join(strange)}: ./run torture --list', file=sys.stderr)
        return 2
    return torture(arguments.program, arguments.words or known, arguments.step, arguments.sites,
                   not arguments.words and arguments.step == 1)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

"""Traffic without end, looking for growth: ./run soak [MINUTES]

Connections come and go in every way (short, long, silent, reset, with a reader too slow), beside
look-ups, files, work and timers, all on one loop: tests/soak/soak.c. Each second the memory, the
descriptors and the threads of the process are noted, and what the loop says of its handles and of
how late its timers are. Ten minutes if not told otherwise.

In the second half nothing may grow: a straight line is laid through each figure. In the end all
must be gone. And a loop with nothing to do, watched for three seconds, must not wake up once.

SPDX-License-Identifier: MIT
"""
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.join(ROOT, 'build/gcc/tests/soak/soak')
# What the line may rise by over the second half: a page table, a stack that was touched first.
GROWTH_MAX = {'rss_kib': 512, 'descriptors': 20, 'threads': 0.5, 'handles': 20}


def status_of(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        fields = dict(line.split(':', 1) for line in file if ':' in line)
    return {'rss_kib': int(fields['VmRSS'].split()[0]), 'threads': int(fields['Threads']),
            'descriptors': len(os.listdir(f'/proc/{pid}/fd'))}


def switches(pid):
    """Of each thread, how often it went to sleep by itself: once for each time it woke."""
    counts = {}
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/status', encoding='ascii') as file:
            counts[task] = int(re.search(r'^voluntary_ctxt_switches:\s*(\d+)', file.read(),
                                         re.M)[1])
    return counts


def rise(samples, key):
    """By how much the line through the second half of the samples rises."""
    values = [sample[key] for sample in samples[len(samples) // 2:]]
    count = len(values)
    if count < 2:
        return 0.0
    middle, mean = (count - 1) / 2, sum(values) / count
    slope = sum((i - middle) * (value - mean) for i, value in enumerate(values)) \
        / sum((i - middle) ** 2 for i in range(count))
    return slope * (count - 1)


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write('\r\033[K' + text)
        sys.stderr.flush()


def sample(process, line):
    words = line.split()
    figures = {key: int(value) for key, value in zip(words[1::2], words[2::2])}
    figures.update(status_of(process.pid))
    progress(f'libloop: {words[0]} s: {figures["connections"]} connections, '
             f'{figures["rss_kib"]} KiB, {figures["descriptors"]} descriptors, '
             f'late by at most {figures["lag_us"]} us ...')
    return figures


def run_traffic(program, seconds):
    samples, last = [], ''
    with subprocess.Popen([program, str(seconds)], stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                last = line.strip()
                if ' connections ' in line and last[0].isdigit():
                    samples.append(sample(process, line))
        except BaseException:
            process.kill()
            raise
    progress('')
    return samples, last, process.returncode


def judge(samples):
    failed = 0
    for key, limit in GROWTH_MAX.items():
        grown = rise(samples, key)
        failed += grown > limit
        print(f'{key:12} {samples[len(samples) // 2][key]:8} at half time, {samples[-1][key]:8} at '
              f'the end; the line rises by {grown:+.1f} (at most {limit})'
              f'{"  FAILED" if grown > limit else ""}')
    lags = sorted(figures['lag_us'] for figures in samples)
    print(f'lag          {lags[len(lags) // 2]} us in the median second, {lags[-1]} us at worst')
    return failed


def idle_wake_ups(program, seconds=3):
    with subprocess.Popen([program, 'idle'], stdout=subprocess.PIPE, text=True) as process:
        try:
            process.stdout.readline()
            while open(f'/proc/{process.pid}/stat', encoding='ascii').read().split()[2] != 'S':
                time.sleep(0.01)
            before = switches(process.pid)
            time.sleep(seconds)
            return sum(switches(process.pid).values()) - sum(before.values())
        finally:
            process.kill()


def soak(program, seconds):
    woken = idle_wake_ups(program)
    print(f'an idle loop woke up {woken} times in 3 s{"  FAILED" if woken else ""}')
    samples, last, status = run_traffic(program, seconds)
    failed = judge(samples) if len(samples) > 1 else 1
    print(last + ('  FAILED' if status else ''))
    return 1 if failed or woken or status else 0


def short(program):
    """For the test suite: no verdict by time, but all must end, and an idle loop sleep."""
    woken = idle_wake_ups(program, 1)
    _, last, status = run_traffic(program, 2)
    print('1..2')
    print(f'{"not " if woken else ""}ok 1 - an_idle_loop_does_not_wake_up # {woken} times')
    print(f'{"not " if status else ""}ok 2 - all_traffic_ends_and_leaves_nothing # {last}')
    return 0


def main():
    words = sys.argv[1:]
    if '--help' in words:
        print(__doc__)
        return 0
    if words[:1] == ['--short']:
        return short(words[1])
    minutes = float(words[0]) if words else 10
    return soak(PROGRAM, max(4, round(minutes * 60)))


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

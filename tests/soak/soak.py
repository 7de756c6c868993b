"""Traffic without end, looking for growth: ./run soak [MINUTES]

Connections come and go in every way (short, long, silent, reset, half-open, with readers too slow),
beside look-ups, files, work, children, and watched folders that churn, all on one loop:
tests/soak/soak.c and its neighbours. Each second it is noted what the process has: memory,
descriptors, threads, children and zombies, watches of inotify; and what the loop says of itself:
handles, timers, blocks of memory, and how late its timers are. Ten minutes if not told otherwise.

In the second half nothing may grow: a straight line is laid through each figure. All that should
happen must still happen then; in the end all must be gone. And a loop with nothing to do, watched
for three seconds, must not return from epoll_wait() once.

Ctrl-C ends the traffic, and with it the report of what was seen until then.

SPDX-License-Identifier: MIT
"""
import os
import re
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.join(ROOT, 'build/gcc/tests/soak/soak')
# What the line may rise by over the second half: a page table, a stack that was touched first; and
# as much as the figure goes up and down by itself.
GROWTH_MAX = {'rss_kib': 512, 'descriptors': 20, 'threads': 0.5, 'children': 2, 'zombies': 1,
              'watches': 20, 'handles': 20, 'timers': 20, 'blocks': 40}
# What is counted, and must go on to the end.
GOES_ON = ['connections', 'unanswered', 'chores', 'children_ended', 'changes']
SECONDS_MIN = 20  # below that the second half is too short to lay a line through


def field(path, name):
    with open(path, encoding='ascii', errors='replace') as file:
        found = re.search(rf'^{name}:\s*(\S+)', file.read(), re.M)
    return found[1] if found else '0'


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        return file.read().split()


def is_zombie(pid):
    try:
        return field(f'/proc/{pid}/status', 'State') == 'Z'
    except OSError:
        return False  # it ended, and was reaped, meanwhile


def watches_of(pid):
    count = 0
    for name in os.listdir(f'/proc/{pid}/fdinfo'):
        try:
            with open(f'/proc/{pid}/fdinfo/{name}', encoding='ascii', errors='replace') as file:
                count += sum(line.startswith('inotify ') for line in file)
        except OSError:
            pass  # closed meanwhile
    return count


def status_of(pid):
    status, children = f'/proc/{pid}/status', children_of(pid)
    return {'rss_kib': int(field(status, 'VmRSS')), 'threads': int(field(status, 'Threads')),
            'descriptors': len(os.listdir(f'/proc/{pid}/fd')), 'children': len(children),
            'zombies': sum(map(is_zombie, children)), 'watches': watches_of(pid)}


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
    figures = {key: int(value) for key, value in zip(words[::2], words[1::2])}
    figures['children_ended'] = figures.pop('children')
    figures.update(status_of(process.pid))
    progress(f'libloop: {figures["second"]} s: {figures["connections"]} connections, '
             f'{figures["rss_kib"]} KiB, {figures["descriptors"]} descriptors, '
             f'{figures["lag_max_us"]} us late ...')
    return figures


class Traffic:
    """One run of the program: samples, its last line, its status, and whether it was stopped."""

    def __init__(self, program, seconds):
        self.samples, self.last, self.stopped = [], '', False
        with subprocess.Popen([program, str(seconds)], stdout=subprocess.PIPE, text=True,
                              start_new_session=True) as process:
            try:
                self.listen(process)
            except KeyboardInterrupt:
                self.stopped = True
                process.send_signal(signal.SIGINT)
                self.listen(process)
            except BaseException:
                process.kill()
                raise
        self.status = process.returncode
        progress('')

    def listen(self, process):
        for line in process.stdout:
            self.last = line.strip()
            if line.startswith('second ') and not self.stopped:
                self.samples.append(sample(process, line))


def judge(samples):
    """Prints a line for each figure; returns how many are not as they should be."""
    failed, half = 0, samples[len(samples) // 2]
    for key, limit in GROWTH_MAX.items():
        grown = rise(samples, key)
        failed += grown > limit
        print(f'{key:12} {half[key]:8} at half time, {samples[-1][key]:8} at the end; the line '
              f'rises by {grown:+.1f} (at most {limit}){"  FAILED" if grown > limit else ""}')
    for key in GOES_ON:
        seconds = samples[-1]['second'] - half['second']
        went_on = samples[-1][key] > half[key]
        failed += not went_on
        print(f'{key:14} {(samples[-1][key] - half[key]) / max(1, seconds):10.1f} a second'
              f'{"" if went_on else "  FAILED"}')
    last = samples[-1]
    print(f'lag          {last["lag_p50_us"]} us median, {last["lag_p99_us"]} us 99th percentile, '
          f'{max(figures["lag_max_us"] for figures in samples)} us at worst')
    return failed


def idle_wake_ups(program, seconds=3):
    """What the program says: how often epoll_wait() returned; or why it cannot say."""
    words = [program, 'idle', str(seconds)]
    idle = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    return idle.stdout.strip() or f'status {idle.returncode}'


def soak(program, seconds):
    woken = idle_wake_ups(program)
    print(f'an idle loop woke up {woken} times in 3 s{"" if woken == "0" else "  FAILED"}')
    traffic = Traffic(program, seconds)
    failed = 0
    if len(traffic.samples) >= SECONDS_MIN:
        failed = judge(traffic.samples)
    else:
        print(f'{len(traffic.samples)} s: too short to say what grows')
    print(traffic.last + ('  FAILED' if traffic.status else ''))
    if traffic.stopped:
        print(f'stopped after {len(traffic.samples)} of {seconds} s')
    if failed or woken != '0' or traffic.status:
        return 1
    return 130 if traffic.stopped else 0


def short(program):
    """For the test suite: no verdict by time, but all must end, and an idle loop sleep."""
    woken = idle_wake_ups(program, 1)
    traffic = Traffic(program, 2)
    print('1..2')
    print(f'{"" if woken == "0" else "not "}ok 1 - an_idle_loop_does_not_wake_up # {woken} times')
    print(f'{"not " if traffic.status else ""}ok 2 - all_traffic_ends_and_leaves_nothing '
          f'# {traffic.last}')
    return 0


def main():
    words = sys.argv[1:]
    if '--help' in words:
        print(__doc__)
        return 0
    if words[:1] == ['--short']:
        return short(words[1])
    program = words[1] if len(words) > 1 else PROGRAM
    return soak(program, max(4, round(float(words[0] if words else 10) * 60)))


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

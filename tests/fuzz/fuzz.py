"""Looks for inputs that break libloop: ./run fuzz [SECONDS] [TARGET...] [--keep]

Runs each fuzz target of tests/fuzz for so long (60 seconds if not told), under clang's libFuzzer with
the address and undefined-behaviour sanitizers. It begins with the committed corpus; what it finds
on the way stays in build/fuzz/corpus.

  --keep     merges what adds coverage into the committed corpus, as few and small inputs as can be

An input that breaks something is written to build/fuzz/found and its path printed. Put it into
tests/fuzz/corpus/TARGET with the fix: every test run replays those.

SPDX-License-Identifier: MIT
"""
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get('LOOP_FUZZ_BUILD', os.path.join(ROOT, 'build', 'fuzz'))
# And how long an input may be.
TARGETS = {'address': 80, 'dns': 400, 'api': 600, 'net': 600, 'sim': 1500, 'url': 400, 'query': 400,
           'form': 400, 'cookie': 400, 'multipart': 800, 'websocket': 800, 'tls': 1500,
           'request': 1200, 'response': 600, 'range': 100, 'file_path': 100}
KEPT_MAX = 250


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write('\r\033[K' + text)
        sys.stderr.flush()


def folders(target):
    grown = os.path.join(BUILD, 'corpus', target)
    found = os.path.join(BUILD, 'found', target)
    committed = os.path.join(HERE, 'corpus', target)
    for folder in (grown, found, committed):
        os.makedirs(folder, exist_ok=True)
    return grown, found + os.sep, committed


def program(target):
    return os.path.join(BUILD, 'tests', 'fuzz', 'fuzz-' + target)


def fuzz(target, seconds):
    grown, found, committed = folders(target)
    words = [program(target), f'-max_total_time={seconds}', f'-max_len={TARGETS[target]}',
             '-timeout=20', '-rss_limit_mb=2000', '-print_final_stats=1',
             '-entropic=0',  # weighing the inputs would cost more than running them
             f'-artifact_prefix={found}', grown, committed]
    words += [f'-dict={path}' for path in [os.path.join(HERE, target + '.dict')]
              if os.path.exists(path)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, errors='replace') as process:
        try:
            return read_output(target, process)
        except BaseException:
            process.kill()
            raise


def read_output(target, process):
    lines, started, coverage = [], time.monotonic(), ''
    for line in process.stderr:
        lines.append(line)
        coverage = (re.findall(r'cov: (\d+)', line) or [coverage])[-1]
        progress(f'libloop: fuzzing {target} for {time.monotonic() - started:.0f} s: {coverage} '
                 'edges ...')
    process.wait()
    progress('')
    text = ''.join(lines)
    runs = (re.findall(r'number_of_executed_units: (\d+)', text) or ['?'])[-1]
    if process.returncode != 0:
        print(''.join(lines[-80:]))
    print(f'{target:10} {"ok" if process.returncode == 0 else "FAILED"}: {runs} runs, '
          f'{coverage} edges', flush=True)
    return process.returncode == 0


def keep(target):
    """Into an empty folder first: so what no longer adds anything goes."""
    grown, _, committed = folders(target)
    fresh = os.path.join(BUILD, 'kept', target)
    subprocess.run(['rm', '-rf', fresh], check=True)
    os.makedirs(fresh)
    # By edges alone: how often each was passed would keep ten times as many.
    subprocess.run([program(target), '-merge=1', '-use_counters=0', f'-max_len={TARGETS[target]}',
                    fresh, committed, grown], check=True, capture_output=True)
    names = sorted(os.listdir(fresh), key=lambda name: os.path.getsize(os.path.join(fresh, name)))
    names = names[::max(1, -(-len(names) // KEPT_MAX))]
    for name in names:
        subprocess.run(['cp', os.path.join(fresh, name), committed], check=True)
    print(f'{target:10} {len(os.listdir(committed))} inputs in the corpus')


def main():
    words = [word for word in sys.argv[1:] if word != '--keep']
    if '--help' in words:
        print(__doc__)
        return 0
    seconds = int(words.pop(0)) if words and words[0].isdigit() else 60
    strange = [word for word in words if word not in TARGETS]
    if strange:
        print(f'there is no target {strange[0]}: there are {", ".join(TARGETS)}', file=sys.stderr)
        return 2
    passed = [fuzz(target, seconds) for target in words or TARGETS]
    if '--keep' in sys.argv:
        for target in words or TARGETS:
            keep(target)
    return 0 if all(passed) else 1


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

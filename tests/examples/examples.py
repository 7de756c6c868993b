#!/usr/bin/env python3
"""Runs every example as its opening comment says, and the README's program, and looks at what comes.

    examples.py SOURCE_ROOT BUILD_ROOT examples
    examples.py SOURCE_ROOT BUILD_ROOT readme      (not with sanitizers: it links a plain program)

Prints TAP. An example that has no test here fails one of them: they are copied, so none may rot.

SPDX-License-Identifier: MIT
"""
import json
import os
import re
import subprocess
import sys
import tempfile

SOURCE, BUILD, WHAT = sys.argv[1:4]
TESTS = {'examples': [], 'readme': []}


def test(function):
    TESTS['readme' if 'readme' in function.__name__ else 'examples'].append(function)
    return function


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    return done.returncode, done.stdout, done.stderr


def example(name, *arguments, **options):
    return run([os.path.join(BUILD, 'examples', name), *arguments], **options)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


@test
def the_timer_counts_down():
    expect(example('01_timer') == (0, '3\n2\n1\n', ''), 'not 3 2 1')


@test
def the_worker_finds_its_prime_beside_dots():
    code, out, _ = example('02_worker')
    expect(code == 0 and re.fullmatch(r'\.+\n1000000000000037 is prime\n', out), out)


@test
def standard_input_is_read_to_its_end():
    code, out, _ = example('03_stdin', input='one\ntwo\n')
    expect(code == 0 and out.startswith('8 bytes after ') and out.endswith('end of file\n'), out)


@test
def a_regular_file_as_standard_input_is_refused():
    with open(__file__, encoding='utf-8') as file:
        code, _, err = example('03_stdin', stdin=file)
    expect(code == 1 and 'Operation not permitted' in err, err)


@test
def all_results_of_the_threads_arrive():
    code, out, _ = example('04_threads')
    lines = out.splitlines()
    expect(code == 0 and len(lines) == 10 and lines[-1] == 'all results are here', out)
    for thread in range(3):
        sums = [int(line.split()[-1]) for line in lines if line.startswith(f'thread {thread}:')]
        expect(len(sums) == 3 and sums == sorted(sums), f'thread {thread}: {sums}')


@test
def nodes_words_have_nodes_order():
    code, out, _ = example('05_node')
    lines = out.splitlines()
    expect(code == 0 and lines[:3] == ['main', 'tick', 'microtask'], out)
    expect(sorted(lines[3:]) == ['immediate', 'timeout'], out)


def demo(*arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'trace.json')
        code, out, err = example('demo', '--json', path, *arguments)
        expect(code == 0, err)
        with open(path, encoding='utf-8') as file:
            return out, json.load(file)['traceEvents']


@test
def the_demo_shows_every_phase_and_ends_by_itself():
    out, _ = demo('--plain')
    for lane in 'timers pending idle prepare poll check closing'.split():
        expect(re.search(rf'^  {lane} +\|', out, re.MULTILINE), f'no lane {lane}:\n{out}')
    expect('ended by itself' in out and '\033' not in out, out)
    order = [out.index(name) for name in (' on_timeout ', ' on_tick ', ' on_microtask ',
                                          ' on_immediate ', ' on_zero_timeout ')]
    expect(order == sorted(order), 'tick, microtask, immediate, timer of 0 ms: ' + out)
    expect(out.count('worker ') == 5, 'four jobs for the file and one for the primes: ' + out)


@test
def the_demos_chrome_trace_nests_and_its_arrows_lead_somewhere():
    _, events = demo('--plain')
    depth = {}
    for event in events:
        track = event.get('tid')
        step = {'B': 1, 'E': -1}.get(event['ph'], 0)
        depth[track] = depth.get(track, 0) + step
        expect(depth[track] >= 0, f'an end without a beginning: {event}')
    expect(not any(depth.values()), f'left open: {depth}')
    began = {event['id'] for event in events if event['ph'] == 's'}
    ended = {event['id'] for event in events if event['ph'] == 'f'}
    expect(ended and ended <= began, f'arrows from nowhere: {ended - began}')


@test
def the_demo_says_when_the_file_cannot_be_read():
    out, _ = demo('--plain', '--file', '/nonexistent')
    expect('/nonexistent: No such file or directory' in out, out)


@test
def the_demo_has_help_and_refuses_what_it_does_not_know():
    code, out, _ = example('demo', '--help')
    expect(code == 0 and '--json FILE' in out, out)
    code, _, err = example('demo', '--nonsense')
    expect(code == 2 and 'nonsense' in err, err)
    code, _, err = example('demo', 'argument')
    expect(code == 2 and 'argument' in err, err)
    code, _, err = example('demo', '--json', '/nonexistent/trace.json')
    expect(code == 1 and 'No such file or directory' in err, err)


@test
def the_program_in_the_readme_prints_what_the_readme_says():
    with open(os.path.join(SOURCE, 'README.md'), encoding='utf-8') as file:
        text = file.read()
    program = re.search(r'```c\n(.*?)```', text, re.DOTALL).group(1)
    promised = re.search(r'\./a\.out\n(.*?)\$ LOOP_TRACE', text, re.DOTALL).group(1)
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, 'hello.c'), os.path.join(folder, 'hello')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(program)
        code, _, err = run(['cc', '-Wall', '-Wextra', '-Werror', '-o', binary, '-I',
                            os.path.join(SOURCE, 'include'), source, '-L', BUILD, '-lloop',
                            f'-Wl,-rpath,{BUILD}'])
        expect(code == 0, err)
        code, out, err = run([binary])
        expect(code == 0 and out == promised, out + err)


@test
def every_example_is_tried_here():
    with open(__file__, encoding='utf-8') as file:
        text = file.read()
    for name in sorted(os.listdir(os.path.join(SOURCE, 'examples'))):
        stem, ending = os.path.splitext(name)
        expect(ending != '.c' or f"'{stem}'" in text, f'{name} has no test in {__file__}')


def main():
    tests = TESTS[WHAT]
    failed = 0
    print(f'1..{len(tests)}')
    for number, function in enumerate(tests, 1):
        try:
            function()
            print(f'ok {number} - {function.__name__}', flush=True)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f'not ok {number} - {function.__name__}')
            print(''.join(f'# {line}\n' for line in str(error).splitlines()), end='', flush=True)
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())

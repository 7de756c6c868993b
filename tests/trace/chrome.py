#!/usr/bin/env python3
"""Traces examples that know nothing of tracing, by LOOP_TRACE, and reads the JSON as a viewer does.

    chrome.py SOURCE_ROOT BUILD_ROOT      prints TAP

On each track slices begin and end like parentheses and time does not run backwards; what a thread
of the pool did stands on a track of its own, named after it; an arrow that ends somewhere has begun
somewhere, and earlier; phases and callbacks are there by name.

SPDX-License-Identifier: MIT
"""
import json
import os
import re
import subprocess
import sys
import tempfile

SOURCE, BUILD = sys.argv[1:3]
PHASES = ['timers', 'pending', 'idle', 'prepare', 'poll', 'check', 'closing']
LOOP_TRACK = 1
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def traced(folder, name, *arguments):
    """The events of an example, run under LOOP_TRACE."""
    path = os.path.join(folder, name + '.json')
    environment = dict(os.environ, LOOP_TRACE='chrome:' + path)
    done = subprocess.run([os.path.join(BUILD, 'examples', name), *arguments], cwd=SOURCE,
                          env=environment, timeout=60, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f'{name} ended with {done.returncode}: {done.stderr}')
    expect(done.stderr == '', f'{name} said: {done.stderr}')
    with open(path, encoding='utf-8') as file:
        return json.load(file)['traceEvents']


def tracks(events):
    """Of each track, its slices' beginnings and ends."""
    found = {}
    for event in events:
        if event['ph'] in 'BE':
            found.setdefault(event['tid'], []).append(event)
    return found


def slices(events):
    """(track, depth, name, begin, end) of each slice, in the order of their ends."""
    for track, marks in tracks(events).items():
        open_slices, last = [], 0
        for mark in marks:
            expect(mark['ts'] >= last, f'track {track} runs backwards at {mark}')
            last = mark['ts']
            if mark['ph'] == 'B':
                open_slices.append(mark)
                continue
            expect(open_slices, f'a slice of track {track} ends that has not begun: {mark}')
            begun = open_slices.pop()
            yield track, len(open_slices), begun['name'], begun['ts'], mark['ts']
        expect(not open_slices, f'slices of track {track} do not end: {open_slices}')


def thread_names(events):
    return {event['tid']: event['args']['name'] for event in events
            if event['ph'] == 'M' and event['name'] == 'thread_name'}


@test
def slices_nest_on_every_track(trace):
    """each slice ends on its own track, inside the one around it"""
    for events in trace.values():
        expect(list(slices(events)), 'there are no slices')


@test
def turns_phases_and_callbacks_are_three_levels(trace):
    """turns, phases and callbacks lie inside each other in this order"""
    for events in trace.values():
        for track, depth, name, _, _ in slices(events):
            if track != LOOP_TRACK:
                continue
            is_turn = re.fullmatch(r'turn \d+', name) is not None
            expect(not is_turn or depth == 0, f'{name} lies inside something')
            expect(name not in PHASES or depth <= 1, f'phase {name} lies {depth} deep')
            expect(is_turn or name in PHASES or depth <= 2, f'{name} lies {depth} deep')


@test
def turns_are_counted_and_each_has_all_phases(trace):
    """turns are numbered from 1 and each has its seven phases in order"""
    for events in trace.values():
        turns = []
        for event in tracks(events)[LOOP_TRACK]:
            if event['ph'] == 'B' and event['name'].startswith('turn '):
                turns.append((event['name'], []))
            elif event['ph'] == 'B' and event['name'] in PHASES and turns:
                turns[-1][1].append(event['name'])
        expect(turns, 'there are no turns')
        for number, (name, phases) in enumerate(turns, 1):
            expect(name == f'turn {number}', f'turn {number} is called {name}')
            expect(phases == PHASES[1:] + PHASES[:1], f'{name} has the phases {phases}')


@test
def work_has_a_track_of_its_own(trace):
    """what a thread of the pool did stands on that thread's own track, once"""
    events = trace['02_worker']
    work = [each for each in slices(events) if each[0] != LOOP_TRACK]
    expect([(depth, name) for _, depth, name, _, _ in work] == [(0, 'work')], work)
    names = thread_names(events)
    expect(names[LOOP_TRACK] == 'loop', names)
    expect(re.fullmatch(r'worker \d+', names.get(work[0][0], '')), names)
    expect('work' not in [name for track, _, name, _, _ in slices(events) if track == LOOP_TRACK],
           "work stands on the loop's track")


@test
def work_ends_before_its_callback(trace):
    """the callback of the work begins when the thread is done"""
    events = trace['02_worker']
    begin, end = next((each[3], each[4]) for each in slices(events) if each[2] == 'work')
    found = next(each[3] for each in slices(events) if each[2] == 'on_found')
    expect(begin <= end <= found, f'work from {begin} to {end}, its callback at {found}')


@test
def arrows_that_end_have_begun(trace):
    """each arrow that ends has begun, earlier, by the same number"""
    for name, events in trace.items():
        begun = set()
        for event in events:
            if event['ph'] == 's':
                begun.add(event['id'])
            elif event['ph'] == 'f':
                expect(event['id'] in begun, f'{name}: an arrow ends that has not begun: {event}')
                expect(event.get('bp') == 'e', f'{name}: it ends in no slice: {event}')


@test
def arrows_lead_from_callback_to_callback(trace):
    """in the demo, whose callbacks start others, there are arrows"""
    expect([event for event in trace['demo'] if event['ph'] == 'f'], 'no arrow ends anywhere')


@test
def callbacks_have_their_names(trace):
    """callbacks bear the names of their functions, static as they are"""
    names = {each[2] for each in slices(trace['02_worker'])}
    expect({'on_dot', 'on_found'} <= names, sorted(names))
    expect('?' not in names, 'a callback has no name')
    expect([each for each in names if each.startswith('sleep: ')], 'poll does not say why it sleeps')


@test
def times_are_microseconds_on_one_clock(trace):
    """timestamps are numbers, and the run took what it took"""
    for events in trace.values():
        stamps = [event['ts'] for event in events if 'ts' in event]
        expect(all(isinstance(stamp, (int, float)) for stamp in stamps), 'a time is no number')
        expect(max(stamps) - min(stamps) < 60e6, 'the run took longer than this test may')


def main():
    with tempfile.TemporaryDirectory() as folder:
        examples = [['01_timer'], ['02_worker'], ['04_threads'], ['05_node'], ['demo', '--plain']]
        try:
            trace = {words[0]: traced(folder, *words) for words in examples}
        except (AssertionError, OSError, ValueError) as error:
            print(f'Bail out! {error}')
            return 1
    failed = 0
    print(f'1..{len(TESTS)}')
    for number, function in enumerate(TESTS, 1):
        try:
            function(trace)
            print(f'ok {number} - {function.__doc__}')
        except (AssertionError, KeyError, StopIteration) as error:
            failed += 1
            print(f'not ok {number} - {function.__doc__}\n# {error!r}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

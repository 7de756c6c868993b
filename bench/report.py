#!/usr/bin/env python3
"""Run the benchmark programs of a group and report the medians.

A group is a folder of bench/. Its programs, one for each workload and peer, are those that the
build folder was configured with; each does one round and prints a line for every figure, the unit
and the value for one operation.

Rounds are interleaved: every round runs every program once, in random order, so that a machine
which grows slower or faster does so for all peers alike. The first round warms up and is dropped.
The ratio is the median of the ratios of the single rounds, not the ratio of the medians.

SPDX-License-Identifier: MIT
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

WARM_UP_ROUNDS = 1
PROGRAM_SECONDS_MAX = 300  # a program takes about one second: this one hangs
PEERS_FIRST = ["libloop", "libloop-pool", "libloop-spin", "libloop-stream", "libuv", "libuv-try",
               "libev", "libevent", "libevent-raw", "sd-event", "node"]
PEERS_LAST = ["limit", "limit-spin"]
SUBJECT, REFERENCE = "libloop", "libuv"


class ReportError(Exception):
    """What the user should read instead of a traceback."""


class Program:
    """One workload on one peer."""

    def __init__(self, workload, peer, command):
        self.workload = workload
        self.peer = peer
        self.name = f"{workload} on {peer}"
        self.command = command
        self.rounds = {}  # unit: the value of each round

    def run(self):
        """One round: the unit and the value of each figure."""
        return self.figures(output_of(self.name, self.command))

    def figures(self, text):
        try:
            figures = {unit: float(value) for unit, value in map(str.split, text.splitlines())}
        except ValueError as error:
            raise ReportError(f"{self.name} printed what is no figure: {text!r}") from error
        if not figures:
            raise ReportError(f"{self.name} printed no figure")
        return figures

    def keep(self, figures):
        for unit, value in figures.items():
            self.rounds.setdefault(unit, []).append(value)


def output_of(name, command):
    """What a program that must succeed prints."""
    if not Path(command[0]).exists():
        raise ReportError(f"{command[0]} is missing: build it with ninja")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              timeout=PROGRAM_SECONDS_MAX)
    except OSError as error:
        raise ReportError(f"{name} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ReportError(f"{name} did not end within {PROGRAM_SECONDS_MAX} s") from error
    if done.returncode != 0:
        raise ReportError(f"{name} ended with status {done.returncode}: "
                          f"{done.stderr.strip() or 'nothing on standard error'}")
    return done.stdout


class Progress:
    """A line on the terminal that says how far we are; nothing where there is no terminal."""

    def __init__(self, total):
        self.shown = sys.stderr.isatty()
        self.total = total
        self.done = 0
        self.start = time.monotonic()

    def show(self, program, round_name):
        if not self.shown:
            return
        left = ""
        if self.done > 0:
            seconds = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            left = f", about {seconds:.0f} s left"
        sys.stderr.write(f"\r\033[K{round_name}: {program.name} "
                         f"({self.done + 1} of {self.total}{left})")
        sys.stderr.flush()

    def step(self):
        self.done += 1

    def clear(self):
        if self.shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def targets_of(group, build):
    """The programs that the build folder was configured with, in the order of the group's list: the
    path of each name."""
    targets_file = build / "meson-info" / "intro-targets.json"
    try:
        targets = json.loads(targets_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{build} is no build folder of meson: set one up with "
                          f"meson setup {build} -Dbench=true -Dbuildtype=release") from error
    folder = Path("bench") / group
    found = {target["name"]: target["filename"][0] for target in targets
             if target["type"] == "executable"
             and Path(target["defined_in"]).parts[-3:-1] == folder.parts}
    if not found:
        raise ReportError(f"{build} has no programs of the group {group!r}: is there a folder "
                          f"{folder}, and was it configured with -Dbench=true?")
    return found


def programs_of(group, build):
    return [Program(*name.split("-", 1), [path]) for name, path in targets_of(group, build).items()]


def selected(programs, workloads, peers):
    """Those of the named workloads and peers; no names: all."""
    known_workloads = unique(program.workload for program in programs)
    known_peers = in_peer_order({program.peer for program in programs})
    for kind, named, known in (("workload", workloads, known_workloads),
                               ("peer", peers, known_peers)):
        for name in named:
            if name not in known:
                raise ReportError(f"no {kind} {name!r}; there are: {', '.join(known)}")
    chosen = [program for program in programs
              if (not workloads or program.workload in workloads)
              and (not peers or program.peer in peers)]
    if not chosen:
        raise ReportError("no such pair: that peer cannot do that workload")
    return chosen


def unique(items):
    return list(dict.fromkeys(items))


def in_peer_order(peers):
    middle = sorted(set(peers) - set(PEERS_FIRST) - set(PEERS_LAST))
    return [peer for peer in PEERS_FIRST + middle + PEERS_LAST if peer in peers]


def shuffled(programs):
    """Workloads in random order, and within each its peers, so that what is compared runs close
    together in time."""
    workloads = unique(program.workload for program in programs)
    place = {workload: random.random() for workload in workloads}
    return sorted(programs, key=lambda program: (place[program.workload], random.random()))


def run_rounds(programs, rounds):
    progress = Progress((WARM_UP_ROUNDS + rounds) * len(programs))
    try:
        for number in range(1 - WARM_UP_ROUNDS, rounds + 1):
            name = f"round {number} of {rounds}" if number > 0 else "warm-up"
            for program in shuffled(programs):
                progress.show(program, name)
                figures = program.run()
                progress.step()
                if number > 0:
                    program.keep(figures)
    finally:
        progress.clear()


def better(unit):
    return "higher" if unit.endswith("_per_s") else "lower"


def rows_of(programs):
    """For each workload and unit, the rounds of each peer."""
    rows = {}
    for workload in unique(program.workload for program in programs):
        peers = {program.peer: program for program in programs if program.workload == workload}
        for unit in unique(unit for program in peers.values() for unit in program.rounds):
            rows[workload, unit] = {peer: peers[peer].rounds[unit]
                                    for peer in in_peer_order(peers)
                                    if unit in peers[peer].rounds}
    return rows


def ratio(row, subject=SUBJECT, reference=REFERENCE):
    """How much of the reference the subject takes, in the same round; None if one is missing."""
    pairs = zip(row.get(subject, []), row.get(reference, []))
    ratios = [one / other for one, other in pairs if other > 0]
    return statistics.median(ratios) if ratios else None


def number_text(value):
    """Three significant digits or all before the point: 0.123, 12.3, 12345."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    for limit, decimals in ((1, 3), (10, 2), (100, 1)):
        if value < limit:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}"


def table(rows):
    peers = in_peer_order({peer for row in rows.values() for peer in row})
    lines = [["workload", "unit", *peers, f"{SUBJECT}/{REFERENCE}"]]
    for (workload, unit), row in rows.items():
        medians = [statistics.median(row[peer]) if peer in row else None for peer in peers]
        lines.append([workload, unit, *map(number_text, medians), number_text(ratio(row))])
    return aligned(lines, 2)


def aligned(lines, words):
    """The first columns, words, to the left, and the others, numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) if index < words else cell.rjust(width)
                               for index, (cell, width) in enumerate(zip(line, widths))).rstrip()
                     for line in lines)


def as_json(rows):
    return [{"workload": workload, "unit": unit, "better": better(unit),
             "results": {peer: round(statistics.median(values), 4)
                         for peer, values in row.items()}}
            for (workload, unit), row in rows.items()]


def write_json(path, rows):
    """All of the file or none of it: who reads it may be waiting for it."""
    draft = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(as_json(rows), indent=2) + "\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error.strerror}") from error


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def arguments(description=__doc__):
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", help="a folder of bench/, such as core")
    parser.add_argument("--build", type=Path, required=True, metavar="DIR",
                        help="the meson build folder that holds the programs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the medians, JSON")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N",
                        help="rounds that count, after the warm-up (default: 5)")
    parser.add_argument("--workload", action="append", default=[], metavar="NAME",
                        help="only this workload; may be repeated")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME",
                        help="only this peer; may be repeated")
    return parser.parse_args()


def measure_and_print(options):
    """The group of which every program is a workload on a peer."""
    programs = selected(programs_of(options.group, options.build), options.workload, options.peer)
    run_rounds(programs, options.rounds)
    rows = rows_of(programs)
    print(f"{options.group}: the median of {rounds_text(options.rounds)}, for one operation\n")
    print(table(rows))
    return rows


def rounds_text(rounds):
    return "1 round" if rounds == 1 else f"{rounds} rounds"


def main(options, measure=measure_and_print):
    """measure(options) measures and prints, and returns the rows to write."""
    try:
        rows = measure(options)
        if options.out is not None:
            write_json(options.out, rows)
    except ReportError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(arguments()))

#!/usr/bin/env python3
"""Run the network benchmarks and report the medians.

A workload is a client that puts load on a server, or a program of its own (chain). Each round runs
each workload on each peer once, in random order, as ../report.py does for the other groups; the
first round warms up and is dropped.

What the server does for an operation is then counted in runs of their own, since that makes it
slow: its system calls by strace, its instructions outside the kernel by valgrind. Each is done with
N operations and with twice as many, and the difference divided by N, so that what happens once
does not count. Whatever is not installed leaves a dash.

SPDX-License-Identifier: MIT
"""

import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True  # what is built belongs in build/
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# pylint: disable=wrong-import-position
from report import (Program, Progress, ReportError, aligned, arguments, in_peer_order,
                    main, number_text, output_of, ratio, rounds_text, rows_of, run_rounds,
                    selected, targets_of, unique)

NODE_SERVER = Path(__file__).resolve().parent / "servers" / "node.js"

# The program that serves, and the words that it is given before its role.
SERVERS = {
    "libloop": ("server-libloop",),
    "libloop-spin": ("server-libloop", "spin"),
    "libuv": ("server-libuv",),
    "libuv-try": ("server-libuv", "try"),
    "libev": ("server-libev",),
    "libevent": ("server-libevent",),
    "libevent-raw": ("server-libevent-raw",),
    "node": ("node", NODE_SERVER),
    "limit": ("server-limit",),
    "limit-spin": ("server-limit", "spin"),
}
CHAINS = ["libloop", "libloop-stream", "libuv", "libev", "libevent", "limit"]

EVERYBODY = [peer for peer in SERVERS if not peer.endswith("-spin")]
ONE_WAY = [peer for peer in EVERYBODY if peer != "libuv-try"]  # it answers, and here nobody does
WORKLOADS = {
    "echo_100": EVERYBODY,
    "echo_1": list(SERVERS),  # with a hundred there is always work, and nothing to spin for
    "stream_in": ONE_WAY,
    "stream_out": ONE_WAY,
    "accept_close": ONE_WAY,
    "idle_10k": EVERYBODY,
}
REFERENCES = ["libuv", "limit"]
TIMED = "0"  # operations: as many as there is time for

# What is counted, with how many operations. As valgrind is a machine of its own on which node would
# have to compile its code first, node has no instructions.
COUNTED = {"echo_100": 5000, "accept_close": 1000}
UNCOUNTABLE = ["node"]
OFTEN = 0.02  # system calls for each operation that are worth a word


class Counter:
    """A tool that counts something about a server."""

    def __init__(self, unit, tool, words, pattern):
        self.unit = unit
        self.tool = tool
        self.words = words  # of the command, before its log file
        self.pattern = pattern  # of a line in that: a count, and of what

    def counts(self, program, operations):
        """How many of each kind."""
        client, workload, _, *server = program.command
        with tempfile.NamedTemporaryFile(mode="r", encoding="utf-8") as log:
            command = [client, workload, str(operations), self.tool, *self.words[:-1],
                       self.words[-1] + log.name, *server]
            output_of(f"{program.name} under {self.tool}", command)
            text = Path(log.name).read_text(encoding="utf-8")
        found = {match["kind"]: int(match["count"].replace(",", ""))
                 for match in re.finditer(self.pattern, text, re.MULTILINE)}
        if not found:
            raise ReportError(f"{program.name} under {self.tool} counted nothing: {text.strip()}")
        return found

    def per_operation(self, program):
        operations = COUNTED[program.workload]
        once = self.counts(program, operations)
        twice = self.counts(program, 2 * operations)
        return {kind: max(count - once.get(kind, 0), 0) / operations
                for kind, count in twice.items()}


# strace is not to ignore the signal that ends the server, which is what -I2 is for.
SYSTEM_CALLS = Counter(
    "system_calls", "strace", ["-f", "-c", "-I2", "--output="],
    r"^ *[0-9.]+ +[0-9.]+ +[0-9]+ +(?P<count>[0-9]+) +(?:[0-9]+ +)?(?!total)(?P<kind>\w+)$")
INSTRUCTIONS = Counter(
    "instructions", "valgrind",
    ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file="],
    r"(?P<kind>Collected) : (?P<count>[0-9]+)")


def net_programs(targets):
    """What can be run of all workloads and peers."""
    client = targets["client"]
    found = []
    for workload, peers in WORKLOADS.items():
        for peer in peers:
            name, *words = SERVERS[peer]
            server = shutil.which(name) if peer == "node" else targets.get(name)
            if server is not None:
                command = [client, workload, TIMED, server, *map(str, words)]
                found.append(Program(workload, peer, command))
    found += [Program("chain", peer, [targets[f"chain-{peer}"]]) for peer in CHAINS
              if f"chain-{peer}" in targets]
    return found


def tables(programs, rows):
    """One for each workload: a line for each peer, and its ratios to the references."""
    for workload in unique(program.workload for program in programs):
        units = [unit for name, unit in rows if name == workload]
        main_row = rows[workload, units[0]]
        lines = [[workload, *units, *(f"{units[0]}/{name}" for name in REFERENCES)]]
        for peer in main_row:
            medians = [statistics.median(rows[workload, unit][peer]) for unit in units]
            ratios = [ratio(main_row, peer, reference) for reference in REFERENCES]
            lines.append([peer, *map(number_text, medians), *map(number_text, ratios)])
        yield aligned(lines, 1)


def count_all(programs, counters):
    """For each counter and program, the counts of one operation by kind."""
    jobs = [(counter, program) for counter in counters for program in programs
            if program.workload in COUNTED
            and not (counter is INSTRUCTIONS and program.peer in UNCOUNTABLE)]
    progress = Progress(len(jobs))
    counted = {}
    try:
        for counter, program in jobs:
            progress.show(program, f"counting {counter.unit.replace('_', ' ')}")
            counted[counter.unit, program.workload, program.peer] = counter.per_operation(program)
            progress.step()
    finally:
        progress.clear()
    return counted


def calls_text(calls):
    often = sorted(calls.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {count:.2f}" for kind, count in often if count >= OFTEN)


def count_table(counted):
    """A line for each pair of workload and peer; last, which system calls it makes."""
    lines = [["counted", "peer", INSTRUCTIONS.unit, SYSTEM_CALLS.unit]]
    which = [""]
    for workload in COUNTED:
        for peer in in_peer_order({peer for _, name, peer in counted if name == workload}):
            kinds = [counted.get((counter.unit, workload, peer))
                     for counter in (INSTRUCTIONS, SYSTEM_CALLS)]
            sums = [number_text(sum(kind.values()) if kind else None) for kind in kinds]
            lines.append([workload, peer, *sums])
            which.append(calls_text(kinds[1] or {}))
    return "\n".join(map("   ".join, zip(aligned(lines, 2).splitlines(), which)))


def measure_and_print(options):
    targets = targets_of(options.group, options.build)
    programs = selected(net_programs(targets), options.workload, options.peer)
    run_rounds(programs, options.rounds)
    rows = rows_of(programs)
    print(f"{options.group}: the median of {rounds_text(options.rounds)}, for one operation\n")
    print("\n\n".join(tables(programs, rows)))
    counters = [counter for counter in (SYSTEM_CALLS, INSTRUCTIONS) if shutil.which(counter.tool)]
    counted = count_all(programs, counters)
    if counted:
        print()
        print(count_table(counted))
    for (unit, workload, peer), kinds in counted.items():
        rows.setdefault((workload, unit), {})[peer] = [sum(kinds.values())]
    return rows


if __name__ == "__main__":
    sys.exit(main(arguments(__doc__), measure_and_print))

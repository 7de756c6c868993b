#!/usr/bin/env python3
"""Run the HTTP benchmarks and report the medians.

A workload is a request that wrk makes again and again on 64 connections, or a message that the
WebSocket client sends. Each round starts each server, looks at one answer, puts load on it, and
takes the CPU time of the server's process from outside, between two marks; rounds are random and
interleaved as ../report.py has it. The server and the client each have a CPU.

After the rounds every server is run once more under strace for its system calls, and once with
10,000 idle connections for its memory. Whatever is not installed leaves its rows out.

SPDX-License-Identifier: MIT
"""

import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # what is built belongs in build/
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

# pylint: disable=wrong-import-position
from report import (SUBJECT, Program, ReportError, aligned, arguments, main, number_text,
                    output_of, ratio, rounds_text, rows_of, run_rounds, selected, targets_of,
                    unique)

SECONDS = 2
CONNECTIONS = 64
CONNECTIONS_LARGE = 8  # of the largest file: with more there is no end to a request in a round
IDLE = 10000
DESCRIPTORS_ELSE = 100  # that a process has besides its connections
OFTEN = 0.02  # system calls for each operation that are worth a word
START_SECONDS_MAX = 10
WRK = "/usr/bin/wrk"
NODE_MODULES = Path("/usr/share/nodejs")  # where Debian has them; other builds of node ask

# The path, the size of the body, and who can do it: the program, or what is installed.
FILES = {"static_1k": 1024, "static_100k": 100 * 1024, "static_10m": 10 * 1024 * 1024}
HELLO = len("Hello, world!")
WORKLOADS = {
    "hello": {"libloop": "server-libloop", "nginx": "nginx", "node": "node",
              "evhttp": "server-evhttp", "limit": "server-limit"},
    **{name: {"libloop": "server-libloop-files", "nginx": "nginx"} for name in FILES},
    "static_100k": {"libloop": "server-libloop-files", "nginx": "nginx", "limit": "server-limit"},
    "websocket": {"libloop": "server-libloop", "node": "node"},
}
HEADERS = {"date", "server", "content-type", "content-length"}  # that everybody sends


def read_answer(connection):
    """The head, and how many bytes come behind it."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += some_bytes(connection)
    head, body = answer.split(b"\r\n\r\n", 1)
    head = head.decode("ascii") + "\r\n\r\n"
    length = re.search(r"\r\ncontent-length: (\d+)\r\n", head, re.IGNORECASE)
    size = len(body)
    while length and size < int(length[1]):
        size += len(some_bytes(connection))
    return head, size


def some_bytes(connection):
    piece = connection.recv(65536)
    if not piece:
        raise ReportError("a server ends its answer early")
    return piece


class Server:
    """One that runs, from entering to leaving."""

    def __init__(self, program, path, work):
        self.program = program
        self.command = [path]
        self.work = work
        self.port = 0
        self.process = None
        self.cpus = sorted(os.sched_getaffinity(0))

    def words(self):
        """What it is called with; nginx wants to be told its port."""
        role = {"hello": "hello", "websocket": "websocket"}.get(self.program.workload, "static")
        if self.program.peer == "nginx":
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            text = (HERE / "servers" / "nginx.conf").read_text(encoding="utf-8")
            for name, value in (("PORT", self.port), ("ROOT", self.work / "files"),
                                ("WORK", self.work)):
                text = text.replace(f"@{name}@", str(value))
            (self.work / "nginx.conf").write_text(text, encoding="utf-8")
            return ["-c", str(self.work / "nginx.conf"), "-e", "stderr", "-p", str(self.work)]
        script = [str(HERE / "servers" / "node.js")] if self.program.peer == "node" else []
        return [*script, role, *([str(self.work / "files")] if role == "static" else [])]

    def __enter__(self):
        pin = {self.cpus[-1]}
        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self.process = subprocess.Popen([*self.command, *self.words()], stdout=subprocess.PIPE,
                                        text=True,
                                        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
                                        preexec_fn=lambda: os.sched_setaffinity(0, pin))
        if not self.port:
            line = self.process.stdout.readline()
            if not line.strip().isdigit():
                self.__exit__()
                raise ReportError(f"{self.program.name} did not say its port: {line!r}")
            self.port = int(line)
        self.wait_until_ready()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def wait_until_ready(self):
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError as error:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise ReportError(f"{self.program.name} does not serve: {error}") from error
                time.sleep(0.01)

    def cpu_ns(self):
        """Of all its threads, user and kernel: the clock that clock_getcpuclockid(3) names."""
        return time.clock_gettime_ns((~self.process.pid << 3) | 2)

    def resident_bytes(self):
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", text)[1])


class HttpProgram(Program):
    """A workload on a server."""

    def __init__(self, workload, peer, path, client, work):
        super().__init__(workload, peer, [path])
        self.client = client
        self.work = work

    def server(self):
        return Server(self, self.command[0], self.work)

    @property
    def path(self):
        return f"/{self.workload}.txt" if self.workload in FILES else "/"

    def run(self):
        with self.server() as server:
            size = self.answer_bytes(server.port)
            start_ns = server.cpu_ns()
            load = self.load(server.port)
            cpu_ns = server.cpu_ns() - start_ns
        operations = load["operations"]
        if self.workload in FILES:  # those under way at the end count for what came of them
            operations = load["bytes"] / size
        return {
            "cpu_ns": cpu_ns / operations,
            "requests_per_cpu_s": operations / cpu_ns * 1e9,
            "requests_per_s": operations / load["duration_us"] * 1e6,
            "p50_us": load["p50_us"],
            "p99_us": load["p99_us"],
        }

    def load(self, port):
        """What the client says of a few seconds."""
        if self.workload == "websocket":
            command = [str(self.client), str(port), str(SECONDS)]
        else:
            count = CONNECTIONS_LARGE if self.workload == "static_10m" else CONNECTIONS
            command = [WRK, "-t1", f"-c{count}", f"-d{SECONDS}s", "--timeout", "30s", "-s",
                       str(HERE / "load" / "report.lua"), f"http://127.0.0.1:{port}{self.path}"]
        cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cpus)})  # which the client inherits
        try:
            text = output_of(f"the client of {self.name}", command)
        finally:
            os.sched_setaffinity(0, cpus)
        found = {name: float(value) for name, value in re.findall(r"^(\w+) ([0-9.]+)$", text, re.M)}
        if found.get("failed") != 0 or not found.get("operations"):
            raise ReportError(f"{self.name}: requests failed: {text}")
        return found

    def answer_bytes(self, port):
        """Looks at one answer, so that only the right ones are counted: its size with its head."""
        if self.workload == "websocket":
            return 0
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(self.request())
            head, size = read_answer(connection)
        names = {line.split(":")[0].lower() for line in head.split("\r\n")[1:]}
        wanted = FILES.get(self.workload, HELLO)
        if " 200 " not in head or size != wanted or HEADERS - names:
            raise ReportError(f"{self.name} answers with {size} bytes: {head}")
        return len(head) + size

    def request(self):
        return f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def calls(self):
        """System calls of each kind for one operation: none are counted before the load."""
        with self.server() as server, tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
            strace = subprocess.Popen(["strace", "-f", "-c", f"--output={log.name}", "-p",
                                       str(server.process.pid)], stderr=subprocess.PIPE)
            try:
                strace.stderr.readline()  # it has attached
                operations = self.load(server.port)["operations"]
            finally:
                strace.send_signal(signal.SIGINT)
                strace.communicate()
            text = log.read()
        pattern = r"^ *[0-9.]+ +[0-9.]+ +[0-9]+ +([0-9]+) +(?:[0-9]+ +)?(?!total)(\w+)$"
        return {kind: int(count) / operations for count, kind in re.findall(pattern, text, re.M)}

    def idle_bytes(self):
        """Resident memory of the server for a connection that has made one request and waits: the
        connections and the bytes for each."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(IDLE, hard - DESCRIPTORS_ELSE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        connections = []
        try:
            with self.server() as server:
                self.answer_bytes(server.port)
                before = server.resident_bytes()
                for _ in range(count):
                    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
                    connections.append(connection)
                    connection.sendall(self.request())
                    if not connection.recv(4096):
                        raise ReportError(f"{self.name} closes idle connections")
                after = server.resident_bytes()
        finally:
            for connection in connections:
                connection.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return count, (after - before) / count


def find(name, targets):
    """A program of ours, or one that is installed: nginx is where only root looks."""
    if name in targets:
        return targets[name]
    if name.startswith("server-"):
        return None
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def http_programs(targets, work):
    programs = []
    for workload, peers in WORKLOADS.items():
        if workload == "websocket":
            peers = {peer: name for peer, name in peers.items()
                     if peer != "node" or (NODE_MODULES / "ws").exists()}
        elif not Path(WRK).exists():
            continue
        for peer, name in peers.items():
            path = find(name, targets)
            if path is not None:
                programs.append(HttpProgram(workload, peer, path, targets["websocket-client"],
                                            work))
    return programs


def make_files(work):
    (work / "files").mkdir()
    for name, size in FILES.items():
        (work / "files" / f"{name}.txt").write_bytes(b"0123456789abcdef" * (size // 16))


def tables(programs, rows):
    """One for each workload: a line for each peer; last, how much of its CPU time ours takes."""
    for workload in unique(program.workload for program in programs):
        units = [unit for name, unit in rows if name == workload]
        costs = rows[workload, units[0]]
        lines = [[workload, *units, f"{SUBJECT}/peer"]]
        for peer in costs:
            medians = [statistics.median(rows[workload, unit][peer]) for unit in units]
            lines.append([peer, *map(number_text, medians),
                          number_text(ratio(costs, SUBJECT, peer))])
        yield aligned(lines, 1)


def calls_text(calls):
    often = sorted(calls.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {count:.2f}" for kind, count in often if count >= OFTEN)


def count_calls(programs, rows):
    lines, which = [["counted", "peer", "system_calls"]], [""]
    for program in programs:
        calls = program.calls()
        lines.append([program.workload, program.peer, number_text(sum(calls.values()))])
        which.append(calls_text(calls))
        rows.setdefault((program.workload, "system_calls"), {})[program.peer] = [
            sum(calls.values())]
    print("\n" + "\n".join(map("   ".join, zip(aligned(lines, 2).splitlines(), which))))


def weigh_idle(programs, rows):
    lines = [["idle", "connections", "rss_bytes"]]
    for program in programs:
        if program.workload == "hello":
            count, size = program.idle_bytes()
            lines.append([program.peer, str(count), number_text(size)])
            rows.setdefault(("idle", "rss_bytes"), {})[program.peer] = [size]
    if len(lines) > 1:
        print("\n" + aligned(lines, 1))


def measure_and_print(options):
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        work.chmod(0o755)  # nginx may serve as another user
        make_files(work)
        programs = selected(http_programs(targets_of(options.group, options.build), work),
                            options.workload, options.peer)
        run_rounds(programs, options.rounds)
        rows = rows_of(programs)
        print(f"{options.group}: the median of {rounds_text(options.rounds)}, for one request\n")
        print("\n\n".join(tables(programs, rows)))
        if shutil.which("strace"):
            count_calls(programs, rows)
        weigh_idle(programs, rows)
    return rows


if __name__ == "__main__":
    sys.exit(main(arguments(__doc__), measure_and_print))

#!/usr/bin/env python3
"""Asks readelf what the shared library was built with, since a flag that a compiler or a linker
takes may still have no effect: tables of addresses that are read-only once loaded, all symbols
bound at load, a stack that is never executed, canaries, and no code that the loader would have to
write to.

    hardening.py LIBRARY    prints TAP

SPDX-License-Identifier: MIT
"""

import re
import shutil
import subprocess
import sys


def readelf(library, option):
    words = ['readelf', '--wide', option, library]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def checks(library):
    """Pairs of a sentence and whether it is true."""
    dynamic = readelf(library, '--dynamic')
    segments = readelf(library, '--program-headers')
    symbols = readelf(library, '--dyn-syms')
    stack = re.search(r'GNU_STACK\s+(?:0x\w+\s+){5}(\S+)', segments)
    written_code = re.findall(r'LOAD\s+(?:0x\w+\s+){5}RWE', segments)
    yield 'what is relocated is read-only once it is', 'GNU_RELRO' in segments
    yield 'all symbols are bound when it is loaded', bool(
        re.search(r'\(BIND_NOW\)|\(FLAGS\).*\bBIND_NOW\b|\(FLAGS_1\).*\bNOW\b', dynamic))
    yield 'the stack is not executable', bool(stack) and 'E' not in stack[1]
    yield 'nothing is both written and executed', not written_code
    yield 'frames of functions with arrays have canaries', bool(
        re.search(r'\bUND __stack_chk_fail\b', symbols))
    yield 'no code is relocated', not re.search(r'\(TEXTREL\)|\bTEXTREL\b', dynamic)


def main():
    if not shutil.which('readelf'):
        print('1..0 # SKIP readelf is not installed')
        return 0
    results = list(checks(sys.argv[1]))
    print(f'1..{len(results)}')
    for number, (sentence, holds) in enumerate(results, 1):
        print(f'{"" if holds else "not "}ok {number} - {sentence.replace(" ", "_")}')
    return 0


if __name__ == '__main__':
    sys.exit(main())

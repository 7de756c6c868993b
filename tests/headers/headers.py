#!/usr/bin/env python3
"""Checks that each public header stands alone: included first and twice, without a warning, in C11
by gcc and clang, and in C++17 by g++ and clang++ inside the extern "C" block that a user writes.

    headers.py SOURCE_ROOT      prints TAP: one test per header and compiler

SPDX-License-Identifier: MIT
"""

import os
import shutil
import subprocess
import sys

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Wsign-conversion', '-Wundef',
            '-Werror']
C = '#include "{header}"\n#include "{header}"\n'
CXX = 'extern "C" {{\n' + C + '}}\n'

# -Wshadow is for C alone: loop_work() bears the name of struct loop_work, as stat() does of struct
# stat, which g++ calls hiding a constructor.
COMPILERS = {
    'gcc': (['-std=c11', '-x', 'c', '-Wshadow'], C),
    'clang': (['-std=c11', '-x', 'c', '-Wshadow'], C),
    'g++': (['-std=c++17', '-x', 'c++'], CXX),
    'clang++': (['-std=c++17', '-x', 'c++'], CXX),
}


def public_headers(include):
    """As a user includes them: loop.h, loop/core.h…"""
    for folder, _, names in sorted(os.walk(include)):
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), include)


def complaints(compiler, header, include):
    """What the compiler says about a program that includes the header and nothing else."""
    options, text = COMPILERS[compiler]
    words = [compiler, *options, *WARNINGS, '-fsyntax-only', f'-I{include}', '-']
    done = subprocess.run(words, input=text.format(header=header), capture_output=True, text=True)
    return done.stderr.splitlines() or ([] if done.returncode == 0 else ['it fails silently'])


def check(number, compiler, header, include):
    name = f'{header} compiles alone with {compiler}'
    if not shutil.which(compiler):
        print(f'ok {number} - {name} # SKIP {compiler} is not installed')
        return True
    faults = complaints(compiler, header, include)
    print(f'{"not ok" if faults else "ok"} {number} - {name}')
    for fault in faults:
        print(f'# {fault}')
    return not faults


def main():
    include = os.path.join(os.path.abspath(sys.argv[1]), 'include')
    pairs = [(compiler, header) for header in public_headers(include) for compiler in COMPILERS]
    print(f'1..{len(pairs)}')
    results = [check(number, *pair, include) for number, pair in enumerate(pairs, 1)]
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
"""A seed is a run: the same one twice, and two seeds apart.

    sim.py PROGRAM      prints TAP

SPDX-License-Identifier: MIT
"""

import subprocess
import sys


def hash_of(program, seed):
    words = subprocess.run([program, str(seed)], capture_output=True, text=True)
    return words.returncode, words.stdout


def main():
    program = sys.argv[1]
    first = [hash_of(program, seed) for seed in range(20)]
    again = [hash_of(program, seed) for seed in range(20)]
    print('1..2')
    print('ok' if first == again else 'not ok', '1 - a seed gives the same run each time')
    print('ok' if len({text for _, text in first}) == 20 else 'not ok',
          '2 - different seeds give different runs')


main()

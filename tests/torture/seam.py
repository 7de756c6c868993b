"""Writes the sys.h that the library is built against for torture: seam.py OUT ERRORS SYS_HEADER...

Each function of the real headers that may fail gets a wrapper, which asks the injector first, and a
macro of the function's own name, which tells the wrapper where it was called. The real function is
known to the wrapper still, since the macro is defined behind it.

What errors a call may have is in errors.txt. A function that is not in there is called as ever:
torture.py tells of those.

SPDX-License-Identifier: MIT
"""
import re
import sys

FUNCTION = re.compile(r'^static inline ([\w *]+?)(\**)sys_(\w+)\(([^{]*?)\)\n\{', re.M)
TRANSIENT = ('EINTR', 'EAGAIN')


class Effect:
    """A function of the real headers."""

    def __init__(self, match):
        self.type = (match[1].strip() + ' ' + match[2]).strip()
        self.name = match[3]
        text = ' '.join(match[4].split())
        self.parameters = [] if text == 'void' else re.split(r',\s*(?![^(]*\))', text)
        self.arguments = [argument_of(parameter) for parameter in self.parameters]


def argument_of(parameter):
    pointer = re.search(r'\(\*(\w+)\)', parameter)
    return pointer[1] if pointer else re.search(r'(\w+)(\[\w*\])?$', parameter)[1]


def effects(headers):
    for path in headers:
        with open(path, encoding='utf-8') as file:
            yield from map(Effect, FUNCTION.finditer(file.read()))


def read_table(path):
    """The right side of each line, by name."""
    with open(path, encoding='utf-8') as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith('#')]
    return dict(line.split(': ', 1) for line in lines)


def fallible(effect):
    return effect.type not in ('void', '_Noreturn void')


def is_missing(effect, table):
    return fallible(effect) and effect.name not in table and not effect.name.startswith('result') \
        and effect.name != 'size'


def wrapper(effect, line):
    words, _, condition = line.partition(' if ')
    words = words.split()
    errors = [word for word in words if word.startswith('E')]
    fd = effect.arguments[0] if effect.parameters and effect.parameters[0].startswith('int ') \
        and effect.arguments[0].endswith('fd') else '-1'
    body = []
    if 'short' in words:
        body += shortening(effect, fd)
    call = f'sys_{effect.name}({", ".join(effect.arguments)})'
    meet = f'torture_meet(torture_site, {fd})'
    if condition:
        meet = f'({condition}) ? {meet} : 0'
    body += [f'int torture_error = {meet};']
    if 'code' in words:
        body += ['if (torture_error)', '    *error = 0;']
    failure = 'NULL' if effect.type.endswith('*') else f'({effect.type})-torture_error'
    if 'after' in words:
        body += [f'{effect.type} torture_result = {call};',
                 f'return torture_error ? {failure} : torture_result;']
    else:
        body += [f'return torture_error ? {failure} : {call};']
    parameters = ', '.join(['struct torture_site *torture_site', *effect.parameters])
    text = f'static inline {effect.type} torture_{effect.name}({parameters})\n{{\n'
    text += ''.join(f'    {statement}\n' for statement in body) + '}\n'
    numbers = ', '.join('-(' + e + ')' if e.startswith('EAI_') else e for e in errors)
    names = ', '.join(effect.arguments)
    arguments = ', '.join([f'TORTURE_SITE("{effect.name}", {numbers})',
                           *(f'({name})' for name in effect.arguments)])
    return text + f'#define sys_{effect.name}({names}) torture_{effect.name}({arguments})\n\n'


def shortening(effect, fd):
    """One byte instead of all, where that may happen."""
    if 'out_fd' in effect.arguments or 'to_fd' in effect.arguments:
        fd = '-1'
    if 'size' in effect.arguments:
        return [f'size = torture_short_size({fd}, size);']
    if 'iov' in effect.arguments:
        return ['struct iovec torture_room;',
                f'iov = torture_short_iov({fd}, &torture_room, iov, &count);']
    const = '' if any(p == 'struct msghdr *message' for p in effect.parameters) else 'const '
    if const:
        return ['struct torture_message torture_room;',
                f'message = torture_short_message({fd}, &torture_room, message);']
    return []


HEAD = '''/* Made by tests/torture/seam.py: the outside effects, which may fail on purpose. */
#ifndef TORTURE_SYS_H
#define TORTURE_SYS_H

#include "../../libloop/sys/sys.h"

#include "injector.h"

'''


def main():
    out, errors, headers = sys.argv[1], sys.argv[2], sys.argv[3:]
    table = read_table(errors)
    with open(out, 'w', encoding='utf-8') as file:
        file.write(HEAD.replace('../../libloop/sys/sys.h', headers[0]))
        for effect in effects(headers):
            if 'never' not in table.get(effect.name, 'never'):
                file.write(wrapper(effect, table[effect.name]))
        file.write('#endif\n')


if __name__ == '__main__':
    main()

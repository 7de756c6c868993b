#!/usr/bin/env python3
"""Checks that tidy.py is awake: a small clean tree passes every rule, and each way to break a rule
is found by that rule, at the right line, and by no other.

    selftest.py     prints TAP: one test for the clean tree, and one for each way to break a rule

SPDX-License-Identifier: MIT
"""

import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # the source tree stays as it is
import tidy  # noqa: E402

LICENCE = 'SPDX-License-Identifier: MIT'


def comment(first, lines):
    """An opening comment of so many lines of prose."""
    return f'/* {first}\n' + ' * More of it.\n' * (lines - 1) + f' *\n * {LICENCE} */\n'


def header(path, first, body=''):
    guard = os.path.basename(path).upper().replace('.', '_')
    return comment(first, 1) + f'#ifndef {guard}\n#define {guard}\n{body}\n#endif\n'


CLEAN = {
    'meson.build': "files('libloop/loop.c', 'libloop/base/list.c', 'libloop/handles/tcp.c')\n",
    '.clang-format': 'BasedOnStyle: LLVM\nIndentWidth: 4\nReflowComments: false\n',
    'run': f'#!/bin/bash\n# {LICENCE}\n',
    'docs/book.md': 'Why it ends: [DOC: end].\n',
    'include/loop.h': header('include/loop.h', 'Public. All of it.'),
    'libloop/internal.h': header('libloop/internal.h', 'Internal. Prototypes.'),
    'libloop/loop.c': comment('The loop.', 5) + '#include "internal.h" /* [DOC: end] */\n',
    'libloop/base/list.h': header('libloop/base/list.h', 'Internal. Lists.'),
    'libloop/base/list.c': comment('Lists.', 5) + '#include "list.h"\n#include "sys.h"\n',
    'libloop/sys/sys.h': header('libloop/sys/sys.h', 'Internal. Effects.',
                                'static int now(void) { return clock_gettime(0, 0); }'),
    'libloop/handles/stream.h': header('libloop/handles/stream.h', 'Internal. Streams.'),
    'libloop/handles/udp.h': header('libloop/handles/udp.h', 'Internal. Datagrams.'),
    'libloop/handles/tcp.c': comment('TCP.', 5) + '#include "stream.h"\n',
    'examples/hello.c': comment('Hello.', 3),
    'tests/test_loop.c': comment('The loop does what it says.', 5),
}

END = CLEAN['libloop/loop.c'].count('\n') + 1  # the first line after that file's own


def append(path, text):
    return {path: CLEAN[path] + text}


# (the rule that is broken, how, the files that differ, where it must be seen)
BROKEN = [
    (tidy.functions_are_short, 'a function of 41 lines',
     append('libloop/loop.c', 'void f(void) {\n' + '    ;\n' * 39 + '}\n'),
     f'libloop/loop.c:{END}'),
    (tidy.the_preprocessor_makes_no_choices, 'an #ifdef in a source',
     append('libloop/loop.c', '#ifdef FAST\n#endif\n'), f'libloop/loop.c:{END}'),
    (tidy.the_preprocessor_makes_no_choices, 'an #if inside an include guard',
     {'libloop/base/list.h': header('libloop/base/list.h', 'Internal.', '#if FAST\n#endif')},
     'libloop/base/list.h:6'),
    (tidy.the_preprocessor_makes_no_choices, 'a guard of another name',
     {'libloop/base/list.h': comment('Internal.', 1) + '#ifndef A\n#define B\n#endif\n'},
     'libloop/base/list.h:4'),
    (tidy.effects_go_through_sys, 'a system call',
     append('libloop/loop.c', 'int f(int fd) { return close(fd); }\n'), f'libloop/loop.c:{END}'),
    (tidy.effects_go_through_sys, 'a call of a family',
     append('libloop/loop.c', 'int f(void) { return epoll_create1(0); }\n'),
     f'libloop/loop.c:{END}'),
    (tidy.effects_go_through_sys, 'a system call in a macro',
     append('libloop/loop.c', '#define DIE() abort()\n'), f'libloop/loop.c:{END}'),
    (tidy.effects_go_through_sys, 'errno',
     append('libloop/loop.c', 'int f(void) { return -errno; }\n'), f'libloop/loop.c:{END}'),
    (tidy.files_open_with_prose, 'a source with a short comment',
     {'tests/test_loop.c': comment('Short.', 4)}, 'tests/test_loop.c:1'),
    (tidy.files_open_with_prose, 'an example with code first',
     {'examples/hello.c': 'int i;\n' + CLEAN['examples/hello.c']}, 'examples/hello.c:1'),
    (tidy.headers_say_for_whom, 'a public header that says nothing',
     {'include/loop.h': header('include/loop.h', 'All of it.')}, 'include/loop.h:1'),
    (tidy.headers_say_for_whom, 'an internal header that claims to be public',
     {'libloop/base/list.h': header('libloop/base/list.h', 'Public. Lists.')},
     'libloop/base/list.h:1'),
    (tidy.lines_are_clean, 'a line of 101 columns',
     append('libloop/loop.c', '/* ' + 'x' * 95 + ' */\n'), f'libloop/loop.c:{END}'),
    (tidy.lines_are_clean, 'a tab', append('libloop/loop.c', '/*\t*/\n'), f'libloop/loop.c:{END}'),
    (tidy.lines_are_clean, 'space at the end of a line',
     append('libloop/loop.c', '/* */ \n'), f'libloop/loop.c:{END}'),
    (tidy.lines_are_clean, 'a last line that does not end', append('libloop/loop.c', '/* */'),
     'libloop/loop.c'),
    (tidy.lines_are_clean, 'a note to oneself',
     append('libloop/loop.c', '/* FIX' + 'ME */\n'), f'libloop/loop.c:{END}'),
    (tidy.code_is_formatted, 'a line with two spaces',
     append('libloop/loop.c', 'int  i;\n'), f'libloop/loop.c:{END}'),
    (tidy.the_book_and_the_code_agree, 'a tag that the book does not cite',
     append('libloop/loop.c', '/* [DOC: begin] */\n'), f'libloop/loop.c:{END}'),
    (tidy.the_book_and_the_code_agree, 'a tag twice',
     append('libloop/loop.c', '/* [DOC: end] */\n'), f'libloop/loop.c:{END}'),
    (tidy.the_book_and_the_code_agree, 'a citation of nothing',
     append('docs/book.md', '[DOC: begin]\n'), 'docs/book.md:2'),
    (tidy.files_name_their_licence, 'a source without a licence',
     {'tests/test_loop.c': CLEAN['tests/test_loop.c'].replace(LICENCE, 'Yours.')},
     'tests/test_loop.c:1'),
    (tidy.files_name_their_licence, 'a script without a licence',
     {'run': '#!/usr/bin/env bash\n'}, 'run:1'),
    (tidy.sources_are_built, 'a source that meson.build does not list',
     {'libloop/handle.c': comment('Handles.', 5)}, 'libloop/handle.c'),
    (tidy.files_are_short, 'a file of 351 lines',
     append('libloop/loop.c', '\n' * (351 - END) + ';\n'), 'libloop/loop.c:351'),
    (tidy.dependencies_run_one_way, 'base that looks up',
     append('libloop/base/list.c', '#include "../internal.h"\n'), f'libloop/base/list.c:{END + 1}'),
    (tidy.dependencies_run_one_way, 'a handle that looks at another',
     append('libloop/handles/tcp.c', '#include "udp.h"\n'), f'libloop/handles/tcp.c:{END}'),
]

# What looks like a fault and is none.
INNOCENT = [
    ('a call in a comment or a string', append(
        'libloop/loop.c', '/* close(fd) and\n * #if */\nconst char *text = "abort() errno";\n')),
    ('a callback named as a system call is', append(
        'libloop/loop.c', 'void f(struct ops *ops) { ops->close(ops); }\n')),
    ('a static function named as a system call is', append(
        'libloop/loop.c', 'static int send(int i) { return i; }\nint f(void) { return send(1); }\n'
    )),
    ('a longer name that ends as a system call does', append(
        'libloop/loop.c', 'void f(struct handle *handle) { loop_close(handle); }\n')),
    ('a table of 60 lines', append(
        'libloop/loop.c', 'const int table[] = {\n' + '    1,\n' * 60 + '};\n')),
    ('a function of 40 lines', append(
        'libloop/loop.c', 'void f(void) {\n' + '    ;\n' * 38 + '}\n')),
    ('100 columns of two-byte letters', append('libloop/loop.c', '/* ' + 'é' * 94 + ' */\n')),
    ('what git ignores', {'ignored/bad.c': '#if 1\t\n', '.gitignore': '/ignored/\n'}),
]


def write_tree(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w', encoding='utf-8') as file:
            file.write(text)


def faults(files):
    """From each rule to the faults it finds in such a tree. A rule without its tool finds none."""
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, files)
        if '.gitignore' in files:
            subprocess.run(['git', 'init', '-q', root], check=True)
        tree = tidy.Tree(root)
        return {function: list(found_by(function, tree)) for function in tidy.RULES}


def found_by(function, tree):
    try:
        yield from function(tree)
    except tidy.Skip:
        return


def cannot_run(function):
    """Why this machine lets the rule pass, or None."""
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, CLEAN)
        try:
            list(function(tidy.Tree(root)))
        except tidy.Skip as skip:
            return str(skip)
    return None


def clean_problems(files):
    return [fault for found in faults(files).values() for fault in found]


def broken_problems(function, files, place):
    """What is wrong with tidy.py: the fault not found, found elsewhere, or by others too."""
    found = faults({**CLEAN, **files})
    own = found.pop(function)
    if not any(fault.startswith(f'{place}:') for fault in own):
        yield f'not found at {place}; found: {own}'
    if function is not tidy.code_is_formatted:
        found.pop(tidy.code_is_formatted)  # the bad lines need not be well laid out
    for other, also in found.items():
        for fault in also:
            yield f'{other.__name__} complains too: {fault}'


def innocent_problems(files):
    found = faults({**CLEAN, **files})
    found.pop(tidy.code_is_formatted)
    return [fault for also in found.values() for fault in also]


def unbroken_rules():
    broken = [function for function, *_ in BROKEN]
    return [f'nothing breaks {function.__name__}' for function in tidy.RULES
            if function not in broken]


def tests():
    """(name, why it is skipped or None, the problems it has)"""
    yield 'a clean tree passes', None, clean_problems(CLEAN)
    yield 'each rule is broken below', None, unbroken_rules()
    for function, how, files, place in BROKEN:
        skipped = cannot_run(function)
        problems = [] if skipped else broken_problems(function, files, place)
        yield f'{function.__name__} finds {how}', skipped, problems
    for what, files in INNOCENT:
        skipped = '.gitignore' in files and not shutil.which('git') and 'git is not installed'
        yield f'no rule minds {what}', skipped, [] if skipped else innocent_problems(files)


def main():
    print(f'1..{2 + len(BROKEN) + len(INNOCENT)}')
    failed = 0
    for number, (name, skipped, problems) in enumerate(tests(), 1):
        problems = list(problems)
        failed += bool(problems)
        name = name.replace('#', '')  # in TAP it begins a directive
        print(f'{"not ok" if problems else "ok"} {number} - {name}'
              + (f' # SKIP {skipped}' if skipped else ''))
        for problem in problems:
            print(f'# {problem}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

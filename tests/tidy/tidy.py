#!/usr/bin/env python3
"""Checks the house rules that a compiler does not know. CONTRIBUTING.md gives their reasons.

    tidy.py SOURCE_ROOT     prints TAP: one test per rule, and for each fault file:line, what to do

A rule is a function marked @rule: its docstring is the name of the test, and it yields the faults
that it finds in a tree. selftest.py, beside this file, breaks each rule once.

SPDX-License-Identifier: MIT
"""

import os
import re
import shutil
import subprocess
import sys

FUNCTION_LINES_MAX = 40
FILE_LINES_MAX = 350
COLUMNS_MAX = 100
# Libraries of their own in libloop/: the seam of the core is not theirs.
LIBRARIES = ('libloop/debug/', 'libloop/http/')
HEADER_LINES_MIN = {'libloop/': 5, 'tests/order/': 3, 'tests/': 5, 'examples/': 3, 'bench/': 3}
CLANG_FORMAT = 14  # other versions differ in details, so only this one has a say

# What reaches outside the process or allocates: only sys.h may call it. A * stands for any ending.
EFFECTS = """
    open openat* creat close close_range closefrom dup dup2 dup3 pipe pipe2 fcntl ioctl
    read write pread pwrite readv writev preadv* pwritev* lseek sendfile splice tee
    copy_file_range fallocate fsync fdatasync truncate ftruncate flock stat fstat lstat fstatat
    statx access faccessat unlink* rename* link linkat symlink* mkdir* rmdir readlink* chmod
    fchmod* chown fchown* utime* futimens opendir fdopendir readdir closedir realpath mkstemp
    mkdtemp chdir getcwd
    poll ppoll select pselect epoll_* eventfd* timerfd_* inotify_* pidfd_* io_uring_*
    socket* bind listen accept accept4 connect shutdown send sendto sendmsg sendmmsg recv recvfrom
    recvmsg recvmmsg getsockopt setsockopt getsockname getpeername getaddrinfo freeaddrinfo
    getnameinfo gethostby* if_nametoindex if_indextoname
    mmap munmap mprotect mremap madvise memfd_create brk sbrk mlock*
    malloc calloc realloc reallocarray free strdup strndup aligned_alloc posix_memalign memalign
    asprintf vasprintf
    getenv secure_getenv setenv unsetenv putenv
    abort exit _exit _Exit quick_exit atexit on_exit raise kill killpg tgkill
    fork vfork clone clone3 exec* fexecve posix_spawn* wait waitpid waitid wait4 system popen pclose
    signal signalfd sigaction sigprocmask sigwait* sigqueue sigaltstack
    printf fprintf vprintf vfprintf dprintf vdprintf puts fputs fputc putc putchar fopen fdopen
    fclose fflush fread fwrite fgets getline perror psignal syslog
    time clock clock_gettime clock_settime clock_getres clock_nanosleep gettimeofday nanosleep
    usleep sleep alarm setitimer timer_create timer_settime timer_delete
    rand srand random srandom drand48 arc4random* getrandom getentropy
    getpid getppid gettid getuid geteuid uname gethostname sysconf getrlimit setrlimit prlimit
    sysinfo getrusage prctl syscall futex getauxval
    pthread_* thrd_* mtx_* cnd_* tss_* call_once sem_* sched_*
    dl_iterate_phdr dladdr* dlopen dlsym dlclose backtrace*
""".split()
EFFECT_NAMES = ['errno', 'stdin', 'stdout', 'stderr', 'environ']

RULES = []


class Skip(Exception):
    """The machine lacks what a rule needs."""


def rule(function):
    RULES.append(function)
    return function


# --- the tree that is checked ---


class Tree:
    """The files under a root, as paths relative to it, and what is in them."""

    def __init__(self, root):
        self.root = root
        self.files = sorted(path for path in self.list_files() if os.path.isfile(self.full(path)))
        self.code = [path for path in self.files if path.endswith(('.c', '.h'))]
        self.texts = {}

    def list_files(self):
        """What git tracks or would add; without git, all but build folders and hidden ones."""
        if os.path.exists(self.full('.git')) and shutil.which('git'):
            words = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
            listed = subprocess.run(words, cwd=self.root, capture_output=True, text=True)
            if listed.returncode == 0:
                return set(filter(None, listed.stdout.split('\0')))
        return self.walk()

    def walk(self):
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name[0] != '.' and name != 'build']
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), self.root)

    def full(self, path):
        return os.path.join(self.root, path)

    def exists(self, path):
        return os.path.exists(self.full(path))

    def text(self, path):
        if path not in self.texts:
            with open(self.full(path), encoding='utf-8', errors='replace', newline='') as file:
                self.texts[path] = file.read()
        return self.texts[path]

    def lines(self, path):
        """(1, first line), (2, second line)…"""
        return enumerate(self.text(path).split('\n'), 1)

    def code_lines(self, path):
        """The same without what comments and strings say."""
        return enumerate(blank(self.text(path)).split('\n'), 1)

    def code_in(self, *folders):
        return [path for path in self.code if path.startswith(folders)]


TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def blank(text):
    """text with comments and strings emptied, each line where it was."""
    return TOKENS.sub(lambda token: ' ' + '\n' * token[0].count('\n'), text)


def first_comment(text):
    """Its lines, without the ornaments; none if text begins otherwise."""
    comment = re.match(r'/\*(.*?)\*/', text, re.DOTALL)
    return [line.strip(' *') for line in comment[1].split('\n')] if comment else []


def tool(name):
    path = shutil.which(name)
    if not path:
        raise Skip(f'{name} is not installed')
    return path


def run_tool(tree, words):
    return subprocess.run(words, cwd=tree.root, capture_output=True, text=True)


# --- the rules ---


@rule
def functions_are_short(tree):
    """no function is longer than 40 lines"""
    words = [tool('ctags'), '-f', '-', '--language-force=C', '--kinds-C=f', '--fields=+e',
             '--excmd=number', '--sort=no']
    listing = run_tool(tree, words + tree.code).stdout if tree.code else ''
    for entry in re.finditer(r'^([^!\t]+)\t([^\t]+)\t(\d+);".*\tend:(\d+)', listing, re.MULTILINE):
        name, path, start, end = entry[1], entry[2], int(entry[3]), int(entry[4])
        length = end - start + 1
        if length > FUNCTION_LINES_MAX:
            yield f'{path}:{start}: {name} is {length} lines long: divide it by what it does'


@rule
def the_preprocessor_makes_no_choices(tree):
    """no conditional compilation outside include guards"""
    for path in tree.code:
        lines = list(tree.code_lines(path))
        directives = [(number, line) for number, line in lines if re.match(r'\s*#', line)]
        for number, line in directives[is_guarded(path, directives):]:
            if word := re.match(r'\s*#\s*(if\w*|elif\w*|else)\b', line):
                yield f'{path}:{number}: #{word[1]}: Linux is our one target; choose in meson.build'


def is_guarded(path, directives):
    """1 if the first directive opens an include guard: the number of directives to overlook."""
    if not path.endswith('.h') or len(directives) < 2:
        return 0
    guard = re.match(r'#ifndef (\w+)$', directives[0][1].strip())
    return int(bool(guard) and directives[1][1].strip() == f'#define {guard[1]}')


@rule
def effects_go_through_sys(tree):
    """nothing in the core reaches outside the process but through libloop/sys/sys.h"""
    calls = re.compile(r'(?<![\w.])(?<!->)(' + '|'.join(map(pattern, EFFECTS)) + r')\s*\(')
    names = re.compile(r'(?<![\w.])(?<!->)(' + '|'.join(EFFECT_NAMES) + r')\b')
    for path in tree.code_in('libloop/'):
        if path.startswith(('libloop/sys/', *LIBRARIES)):
            continue
        own = own_functions(blank(tree.text(path)))
        for number, line in tree.code_lines(path):
            if re.match(r'\s*#\s*include\b', line):
                continue
            for found in [*calls.finditer(line), *names.finditer(line)]:
                if found[1] not in own:
                    yield f'{path}:{number}: {found[1]}: call a function of libloop/sys/sys.h'


def pattern(effect):
    return re.escape(effect).replace(r'\*', r'\w*')


def own_functions(text):
    """The static functions of a file: `send` may well be one of its plain verbs."""
    return set(re.findall(r'^static\b[^;={}()]*?\b(\w+)\(', text, re.MULTILINE))


@rule
def files_open_with_prose(tree):
    """each source opens with a comment that says what it is, in 5 lines (small programs: 3)"""
    for path in (path for path in tree.code if path.endswith('.c')):
        least = lines_due(path)
        prose = [line for line in first_comment(tree.text(path)) if is_prose(line)]
        if len(prose) < least:
            yield (f'{path}:1: {len(prose)} lines of prose, {least} are due: what it is, its '
                   'rule, what it relies on')


def lines_due(path):
    """By the innermost folder that says so."""
    folders = [folder for folder in HEADER_LINES_MIN if path.startswith(folder)]
    return HEADER_LINES_MIN[max(folders, key=len)] if folders else 0


def is_prose(line):
    return line and not line.startswith('SPDX-')


@rule
def headers_say_for_whom(tree):
    """each header begins with Public. (include/) or Internal. (libloop/)"""
    for folder, word in {'include/': 'Public.', 'libloop/': 'Internal.'}.items():
        for path in tree.code_in(folder):
            if path.endswith('.h') and not tree.text(path).startswith(f'/* {word}'):
                yield f'{path}:1: begin it with "/* {word}" and say what it is'


@rule
def lines_are_clean(tree):
    """no line is over 100 columns, or has tabs, trailing space or a note to oneself"""
    for path in tree.code:
        for number, line in tree.lines(path):
            for fault in line_faults(line):
                yield f'{path}:{number}: {fault}'
        if not tree.text(path).endswith('\n'):
            yield f'{path}: end it with a newline'


def line_faults(line):
    if len(line) > COLUMNS_MAX:
        yield f'{len(line)} columns: break the line'
    if '\t' in line:
        yield 'a tab: indent with spaces'
    if line != line.rstrip():
        yield 'space at the end of the line: delete it'
    if note := re.search(r'\b(TODO|FIXME|XXX|HACK)\b', line):
        yield f'{note[1]}: do it now, or file it where others look'


@rule
def code_is_formatted(tree):
    """clang-format would change nothing"""
    words = [clang_format(), '--style=file', '--dry-run', '-Werror']
    checked = run_tool(tree, words + tree.code) if tree.code else None
    if not checked or checked.returncode == 0:
        return
    places = dict.fromkeys(re.findall(r'^(\S+?:\d+):\d+: error:', checked.stderr, re.MULTILINE))
    for place in places:
        yield f'{place}: format it with clang-format -i'
    if not places:
        yield f'clang-format: {checked.stderr.strip()}'


def clang_format():
    path = shutil.which(f'clang-format-{CLANG_FORMAT}') or tool('clang-format')
    version = subprocess.run([path, '--version'], capture_output=True, text=True).stdout
    if not re.search(rf'version {CLANG_FORMAT}\.', version):
        raise Skip(f'clang-format {CLANG_FORMAT} is not installed')
    return path


@rule
def the_book_and_the_code_agree(tree):
    """each [DOC: name] tag is once in the code, and cited in docs/"""
    in_code = tags(tree, tree.code)
    in_book = tags(tree, [path for path in tree.files if re.match(r'docs/.*\.md$', path)])
    for name, places in in_code.items():
        if name not in in_book:
            yield f'{places[0]}: [DOC: {name}] is not cited in docs/: cite it or remove it'
        for place in places[1:]:
            yield f'{place}: [DOC: {name}] is at {places[0]} too: rename one'
    for name, places in in_book.items():
        if name not in in_code:
            yield f'{places[0]}: [DOC: {name}] is nowhere in the code: tag the line or remove it'


def tags(tree, paths):
    """From the name of a tag to its places."""
    found = {}
    for path in paths:
        for number, line in tree.lines(path):
            for name in re.findall(r'\[DOC: ([^\]]+)\]', line):
                found.setdefault(name, []).append(f'{path}:{number}')
    return found


@rule
def files_name_their_licence(tree):
    """each source and script says SPDX-License-Identifier: MIT"""
    for path in tree.files:
        if is_source(tree, path) and 'SPDX-License-Identifier: MIT' not in tree.text(path):
            yield f'{path}:1: add "SPDX-License-Identifier: MIT" to its opening comment'


def is_source(tree, path):
    if path.endswith(('.c', '.h', '.py', '.sh')):
        return True
    return '.' not in os.path.basename(path) and re.match(r'#!.*\b(ba|da)?sh\b', tree.text(path))


@rule
def sources_are_built(tree):
    """each source in libloop/ is listed in the nearest meson.build above it"""
    for path in tree.code_in('libloop/'):
        folder = os.path.dirname(path)
        while not tree.exists(os.path.join(folder, 'meson.build')):
            folder = os.path.dirname(folder)
        listing, entry = os.path.join(folder, 'meson.build'), os.path.relpath(path, folder or '.')
        if path.endswith('.c') and f"'{entry}'" not in tree.text(listing):
            yield f'{path}: list it in {listing}'


@rule
def files_are_short(tree):
    """no file of the library is over 350 lines"""
    for path in tree.code_in('libloop/', 'include/'):
        count = tree.text(path).count('\n')
        if count > FILE_LINES_MAX:
            yield f'{path}:{FILE_LINES_MAX + 1}: {count} lines: divide it by subject'


@rule
def dependencies_run_one_way(tree):
    """base knows nothing above it, no handle knows another, and libloop-http only what is public"""
    may_include = {'libloop/base/': base_may_include, 'libloop/handles/': handle_may_include,
                   'libloop/http/': http_may_include}
    for path in tree.code_in(*may_include):
        may = next(may_include[folder] for folder in may_include if path.startswith(folder))
        for number, header in included(tree, path):
            if not may(path, header):
                yield f'{path}:{number}: {header} is none of its business: move what it needs down'


def included(tree, path):
    """The headers of libloop/ that a file includes, each with the line that does."""
    places = [os.path.dirname(path), 'libloop', 'libloop/sys']
    for number, line in tree.lines(path):
        if include := re.match(r'\s*#\s*include\s*"([^"]+)"', line):
            candidates = [os.path.normpath(os.path.join(place, include[1])) for place in places]
            header = next(filter(tree.exists, candidates), '')
            if header.startswith('libloop/'):
                yield number, header


def base_may_include(path, header):
    return header.startswith(('libloop/base/', 'libloop/sys/'))


def http_may_include(path, header):
    return header.startswith('libloop/http/')


def handle_may_include(path, header):
    """Its own header: stream_read.c has stream.h; the kinds of stream build on it."""
    name, owner = stem(path), stem(header)
    if not header.startswith('libloop/handles/') or owner == name or name.startswith(owner + '_'):
        return True
    return owner == 'stream' and name in ('tcp', 'dial', 'pipe', 'file', 'tty')


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


# --- TAP ---


def check(tree, number, function):
    try:
        faults = list(function(tree))
    except Skip as skip:
        print(f'ok {number} - {function.__doc__} # SKIP {skip}')
        return True
    print(f'{"not ok" if faults else "ok"} {number} - {function.__doc__}')
    for fault in faults:
        print(f'# {fault}')
    return not faults


def main():
    tree = Tree(sys.argv[1] if len(sys.argv) > 1 else '.')
    if not tree.code:
        sys.exit('there is no code here: the argument is the root of the source tree')
    print(f'1..{len(RULES)}')
    results = [check(tree, number, function) for number, function in enumerate(RULES, 1)]
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())

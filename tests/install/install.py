#!/usr/bin/env python3
"""Installs libloop in a folder of its own and uses it as strangers do: through pkg-config, from
C++, linked statically, as a subproject of meson and from CMake; each builds a program and runs it.
Then looks at what the shared library shows and needs.

    install.py SOURCE_ROOT BUILD_ROOT   prints TAP; works in a folder of BUILD_ROOT, and deletes it

SPDX-License-Identifier: MIT
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

CONSUMER = r'''
#include <stdio.h>

%s

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    puts("fired");
}

int main(void)
{
    struct loop loop;
    struct loop_timer timer;

    if (loop_init(&loop, NULL) != 0)
        return 1;
    loop_timer_init(&loop, &timer);
    if (loop_timer_start(&timer, 1 * LOOP_MS, 0, on_timer) != 0)
        return 2;
    if (loop_run(&loop, LOOP_RUN_DEFAULT) != 0)
        return 3;
    puts(loop_version_string());
    return loop_fini(&loop) == 0 ? 0 : 4;
}
'''

IN_C = CONSUMER % '#include <loop.h>'
IN_CXX = CONSUMER % 'extern "C" {\n#include <loop.h>\n}'

SERVER = r'''
#include <loop.h>
#include <loop/http.h>
#include <stdio.h>

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_text(res, "Hello, world\n");
}

int main(void)
{
    struct loop loop;
    struct loop_http_server server;
    const struct loop_http_options options = {.on_request = on_request};

    if (loop_init(&loop, NULL) != 0 || loop_http_server_init(&loop, &server, &options) != 0)
        return 1;
    if (loop_http_listen(&server, "127.0.0.1", 0, 0) != 0 || loop_http_server_port(&server) == 0)
        return 2;
    loop_http_server_close(&server, 0, NULL);
    if (loop_run(&loop, LOOP_RUN_DEFAULT) != 0)
        return 3;
    puts("listened");
    return loop_fini(&loop) == 0 ? 0 : 4;
}
'''

MESON = '''
project('consumer', 'c')
options = ['tests=disabled', 'examples=false']
loop = dependency('loop', fallback: 'libloop', default_options: options)
executable('consumer', 'main.c', dependencies: loop)
'''

CMAKE = '''
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LOOP REQUIRED IMPORTED_TARGET loop)
add_executable(consumer main.c)
target_link_libraries(consumer PRIVATE PkgConfig::LOOP)
'''


class Skip(Exception):
    """The machine lacks what a test needs."""


class Failure(Exception):
    """What went wrong, in lines."""


class Place:
    """Where the library is installed, and beside it where its users build."""

    def __init__(self, source, folder):
        self.source = source
        self.folder = folder
        self.prefix = os.path.join(folder, 'prefix')
        self.libraries = os.path.join(self.prefix, 'lib')
        # Nothing that this machine or the caller's build has may help or hinder.
        self.environment = {**os.environ, 'LD_LIBRARY_PATH': self.libraries,
                            'PKG_CONFIG_PATH': os.path.join(self.libraries, 'pkgconfig')}
        for name in ('CC', 'CXX', 'CFLAGS', 'CXXFLAGS', 'LDFLAGS', 'DESTDIR', 'LOOP_TRACE'):
            self.environment.pop(name, None)

    def run(self, *words, cwd=None):
        """What a command prints. It fails loudly."""
        if not shutil.which(words[0]):
            raise Skip(f'{words[0]} is not installed')
        done = subprocess.run(words, cwd=cwd or self.folder, env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise Failure(f'{" ".join(words)}: status {done.returncode}\n{done.stdout}')
        return done.stdout

    def consumer(self, name, files):
        """A folder with the files of a program that uses the library."""
        folder = os.path.join(self.folder, name)
        for path, text in files.items():
            full = os.path.join(folder, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as file:
                file.write(text)
        return folder

    def flags(self, *words, package='loop'):
        return self.run('pkg-config', *words, package).split()

    def library(self, name='loop'):
        return os.path.join(self.libraries, f'lib{name}.so')

    def need_http(self):
        if not os.path.exists(self.library('loop-http')):
            raise Skip('what libloop-http needs is not installed')


def expect(what, got, wanted):
    if got != wanted:
        raise Failure(f'{what}: expected {wanted!r}, got {got!r}')


def expect_it_runs(place, *program):
    expect('its output', place.run(*program).split(), ['fired', header_version(place)])


def header_version(place):
    with open(os.path.join(place.prefix, 'include', 'loop', 'core.h'), encoding='utf-8') as header:
        return re.search(r'LOOP_VERSION_STRING "([^"]+)"', header.read())[1]


# --- tests: the docstring is the name ---


def installs(place):
    """meson install puts headers, libraries and pkg-config files in a prefix"""
    build = os.path.join(place.folder, 'build')
    place.run('meson', 'setup', build, place.source, f'--prefix={place.prefix}', '--libdir=lib',
              '--buildtype=release', '-Ddefault_library=both', '-Dtests=disabled',
              '-Dexamples=false')
    place.run('meson', 'install', '-C', build)
    for path in ('include/loop.h', 'include/loop/core.h', 'lib/libloop.so', 'lib/libloop.so.0',
                 'lib/libloop.a', 'lib/pkgconfig/loop.pc'):
        if not os.path.exists(os.path.join(place.prefix, path)):
            raise Failure(f'{path} was not installed')


def serves_c(place):
    """a C program finds it through pkg-config"""
    folder = place.consumer('c', {'main.c': IN_C})
    place.run('gcc', '-Wall', '-Wextra', '-Werror', 'main.c', '-o', 'consumer',
              *place.flags('--cflags', '--libs'), cwd=folder)
    expect_it_runs(place, os.path.join(folder, 'consumer'))


def serves_cxx(place):
    """a C++ program includes it in an extern "C" block"""
    folder = place.consumer('c++', {'main.cc': IN_CXX})
    place.run('g++', '-std=c++17', '-Wall', '-Wextra', '-Wpedantic', '-Werror', 'main.cc', '-o',
              'consumer', *place.flags('--cflags', '--libs'), cwd=folder)
    expect_it_runs(place, os.path.join(folder, 'consumer'))


def links_statically(place):
    """a program that is linked with -static needs no library at all"""
    folder = place.consumer('static', {'main.c': IN_C})
    place.run('gcc', '-static', '-Wall', '-Wextra', '-Werror', 'main.c', '-o', 'consumer',
              *place.flags('--cflags', '--libs', '--static'), cwd=folder)
    program = os.path.join(folder, 'consumer')
    expect('libraries it needs', needed(place, program), [])
    expect_it_runs(place, program)


def serves_a_subproject(place):
    """a meson project takes it as a subproject where it is not installed"""
    folder = place.consumer('meson', {'main.c': IN_C, 'meson.build': MESON})
    os.mkdir(os.path.join(folder, 'subprojects'))
    os.symlink(place.source, os.path.join(folder, 'subprojects', 'libloop'))
    place.run('meson', 'setup', 'build', '--wrap-mode=forcefallback', cwd=folder)
    place.run('ninja', '-C', 'build', cwd=folder)
    expect_it_runs(place, os.path.join(folder, 'build', 'consumer'))


def serves_cmake(place):
    """a CMake project finds it through pkg_check_modules"""
    folder = place.consumer('cmake', {'main.c': IN_C, 'CMakeLists.txt': CMAKE})
    place.run('cmake', '-G', 'Ninja', '-S', '.', '-B', 'build', cwd=folder)
    place.run('cmake', '--build', 'build', cwd=folder)
    expect_it_runs(place, os.path.join(folder, 'build', 'consumer'))


def serves_http(place):
    """a C program finds libloop-http through pkg-config, and nothing else by name"""
    place.need_http()
    folder = place.consumer('http', {'main.c': SERVER})
    place.run('gcc', '-Wall', '-Wextra', '-Werror', 'main.c', '-o', 'consumer',
              *place.flags('--cflags', '--libs', package='loop-http'), cwd=folder)
    expect('its output', place.run(os.path.join(folder, 'consumer')), 'listened\n')


def shown(place, name):
    """The symbols that a library shows, of which none may be somebody else's."""
    lines = place.run('nm', '-D', '--defined-only', place.library(name)).splitlines()
    symbols = [line.split()[-1] for line in lines]
    expect('foreign symbols', [name for name in symbols if not name.startswith('loop_')], [])
    return symbols


def shows_only_its_own(place):
    """the shared library shows symbols that begin with loop_ and no others"""
    expect('loop_init among its symbols', 'loop_init' in shown(place, 'loop'), True)


def shows_only_its_own_http(place):
    """so does that of libloop-http"""
    place.need_http()
    expect('among its symbols', 'loop_http_end' in shown(place, 'loop-http'), True)


def has_a_soname(place):
    """the shared library is libloop.so.0"""
    expect('the soname', dynamic(place, place.library(), 'SONAME'), ['libloop.so.0'])


def needs_libc_alone(place):
    """the shared library needs nothing but libc"""
    others = [name for name in needed(place, place.library())
              if name != 'libc.so.6' and not name.startswith('ld-linux')]
    expect('libraries it needs besides', others, [])


def needed(place, path):
    return dynamic(place, path, 'NEEDED')


def dynamic(place, path, tag):
    """The entries of one kind in the dynamic section of a program or library."""
    return re.findall(rf'\({tag}\).*\[(.+)\]', place.run('readelf', '-d', path))


def agrees_on_its_version(place):
    """pkg-config, the headers and the library name the same version"""
    version = place.run('pkg-config', '--modversion', 'loop').strip()
    expect('the version in the headers', header_version(place), version)
    expect('loop_version_string()', library_version(place), version)


def library_version(place):
    folder = place.consumer('version', {'main.c': '#include <loop.h>\n#include <stdio.h>\n'
                                                  'int main(void)\n{\n'
                                                  '    puts(loop_version_string());\n}\n'})
    place.run('gcc', 'main.c', '-o', 'consumer', *place.flags('--cflags', '--libs'), cwd=folder)
    return place.run(os.path.join(folder, 'consumer')).strip()


TESTS = [installs, serves_c, serves_cxx, serves_http, links_statically, serves_a_subproject,
         serves_cmake, shows_only_its_own, shows_only_its_own_http, has_a_soname, needs_libc_alone, agrees_on_its_version]


def check(number, test, place):
    """Prints the outcome of one test; returns whether it is a good one."""
    try:
        test(place)
    except Skip as skip:
        print(f'ok {number} - {test.__doc__} # SKIP {skip}')
    except (Failure, OSError) as failure:
        print(f'not ok {number} - {test.__doc__}')
        for line in str(failure).splitlines():
            print(f'# {line}')
        return False
    else:
        print(f'ok {number} - {test.__doc__}')
    return True


def main():
    source, build = (os.path.abspath(path) for path in sys.argv[1:3])
    sys.stdout.reconfigure(line_buffering=True)  # what is done is told even if the rest hangs
    print(f'1..{len(TESTS)}')
    with tempfile.TemporaryDirectory(prefix='install-', dir=build) as folder:
        place = Place(source, folder)
        results = [check(number, test, place) for number, test in enumerate(TESTS, 1)]
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
"""Makes C of the pages of a server: the table that embed.h tells of.

    embed.py OUT.c FILE...

A page is known by its file's name, without folders. Meson runs it when a page has changed.

SPDX-License-Identifier: MIT
"""

import hashlib
import os
import sys

TYPES = {
    '.html': 'text/html; charset=utf-8',
    '.css': 'text/css; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.svg': 'image/svg+xml',
    '.png': 'image/png',
    '.ico': 'image/x-icon',
    '.txt': 'text/plain; charset=utf-8',
    '.wav': 'audio/wav',
    '.webm': 'video/webm',
    '.webmanifest': 'application/manifest+json',
}


def bytes_of(path):
    with open(path, 'rb') as file:
        return file.read()


def array(number, data):
    """A 0 stands behind the bytes, so that text is a string too."""
    data += b'\0'
    lines = [', '.join(map(str, data[at:at + 20])) for at in range(0, len(data), 20)]
    return f'static const unsigned char page_{number}[] = {{\n' + ',\n'.join(lines) + '};\n'


def entry(number, path, data):
    name = os.path.basename(path)
    kind = TYPES[os.path.splitext(name)[1]]
    tag = hashlib.sha256(data).hexdigest()[:16]
    return f'    {{"{name}", "{kind}", "\\"{tag}\\"", page_{number}, {len(data)}}},\n'


def main(out, *paths):
    pages = [(path, bytes_of(path)) for path in paths]
    with open(out, 'w', encoding='ascii') as file:
        file.write('#include "embed.h"\n\n')
        for number, (_, data) in enumerate(pages):
            file.write(array(number, data))
        file.write('\nconst struct embed_page embed_pages[] = {\n')
        for number, (path, data) in enumerate(pages):
            file.write(entry(number, path, data))
        file.write('    {0}};\n')


if __name__ == '__main__':
    main(*sys.argv[1:])

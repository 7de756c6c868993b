#!/bin/sh
# Runs a test program under valgrind, and fails too if it leaves a descriptor open that it has opened
# itself: valgrind 3.19 lists those and thinks no worse of the program. The errors of children that
# were forked are not told: most of them end in the middle of things, by a panic.
#
# SPDX-License-Identifier: MIT
log=$(mktemp)
valgrind -q --track-fds=yes --error-exitcode=99 --child-silent-after-fork=yes --log-file="$log" "$@"
status=$?
cat "$log" >&2
if grep -A1 'Open file descriptor' "$log" | grep -v 'Open file' | grep -vqe inherited -e '^--'; then
    echo 'a descriptor was left open' >&2
    [ $status -ne 0 ] || status=98
fi
rm -f "$log"
exit $status

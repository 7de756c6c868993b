#!/bin/sh
# Runs a program for aarch64 by qemu-user, on one processor. On several of them qemu 7.2 lets a load
# overtake a sequentially consistent store before it, which the real processor does not: whoever says
# that he falls asleep and then looks once more does not see what another has just written.
#
# Odd and even processes get another processor, so that two tests run at once.
#
# SPDX-License-Identifier: MIT
allowed=$(sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status)
if [ $(($$ % 2)) -eq 0 ]; then
    processor=${allowed%%[!0-9]*}
else
    processor=${allowed##*[!0-9]}
fi
exec taskset -c "$processor" qemu-aarch64 -L /usr/aarch64-linux-gnu "$@"

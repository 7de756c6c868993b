/* From the callback of an I/O operation an immediate always comes before a timeout of 0, even when
 * the timeout is due already.
 *
 * The callback comes in the poll phase. Check, where immediates run, is the next box of the
 * diagram; timers come two boxes later. fs.stat('/') is fstat(2) of a descriptor here, on the
 * thread pool as there.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

#include <fcntl.h>
#include <unistd.h>

static void on_stat(struct loop_fs *fs)
{
    must((int)fs->result, "fstat");
    loop_set_timeout(&loop, 0, print, line("timeout"));
    loop_set_immediate(&loop, print, line("immediate"));
    busy(3);
    puts("io");
}

int main(void)
{
    struct loop_fs fs = {0};
    int root = open("/", O_RDONLY | O_CLOEXEC);
    begin_script(NULL);
    must(loop_fs_fstat(&loop, &fs, root, on_stat), "loop_fs_fstat");
    run_loop();
    close(root);
    return end_script();
}

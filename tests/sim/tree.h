/* Internal. The simulated tree of files: what watching.c asks of it, and is told by it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SIM_TREE_H
#define LOOP_SIM_TREE_H

#include "program.h"

enum { PATH_ROOM = 64 };

struct node {
    struct node *older; /* all that there were */
    struct node *parent;
    unsigned number;
    char name[2];
    bool is_directory, removed;
};

struct node *tree_at(const char *path); /* NULL: nothing there */
struct node *tree_any(bool directory);  /* by the program's chance */
unsigned tree_depth(const struct node *node);
void tree_path(const struct node *node, char path[PATH_ROOM]);
void tree_change(void);          /* by somebody */
unsigned tree_last_queued(void); /* the number of the event at the end of the queue; 0: none */

/* watching.c: what was put into the kernel's queue. */
void told_overflow(void);
void told_ignored(const struct node *node, bool told);
void told_entry(const struct node *parent, enum loop_fs_change_kind kind, const struct node *node);
void told_self(const struct node *node, enum loop_fs_change_kind kind);
/* old: just told as moved out of the same directory; 0: it was not. */
void told_moved_in(const struct node *to, const struct node *node, char old);

#endif

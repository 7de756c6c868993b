/* login --add-user NAME: a user is made by whoever may write the database, in a terminal.
 *
 * There is no way of registering by the web: what it takes (mail, at least) is another program.
 *
 * SPDX-License-Identifier: MIT */
#ifndef ADD_USER_H
#define ADD_USER_H

#include <stdbool.h>

/* Whether that is what the program was started for. */
bool add_user_asked(int argc, char **argv);

/* Does it. Returns the status for exit(3). */
int add_user(int argc, char **argv);

#endif

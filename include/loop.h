/* Public. All of libloop: includes the files below and nothing else.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_H
#define LOOP_H

#include "loop/core.h"

#include "loop/address.h"
#include "loop/async.h"
#include "loop/dial.h"
#include "loop/dns.h"
#include "loop/file.h"
#include "loop/fs.h"
#include "loop/fs_event.h"
#include "loop/hook.h"
#include "loop/node.h"
#include "loop/pipe.h"
#include "loop/poll.h"
#include "loop/pool.h"
#include "loop/process.h"
#include "loop/request.h"
#include "loop/signal.h"
#include "loop/stream.h"
#include "loop/task.h"
#include "loop/tcp.h"
#include "loop/timer.h"
#include "loop/trace.h"
#include "loop/tty.h"
#include "loop/udp.h"

#endif

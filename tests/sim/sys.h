/* Internal. The other sys.h: the effects that libloop has, on a world that is not there.
 *
 * The library's sources, compiled with this directory in the place of libloop/sys, find this file
 * and with it a clock, a table of descriptors, an epoll, sockets, threads and a memory that are
 * simulated: everything that happens in it follows from a seed. The contracts are those of
 * libloop/sys/sys.h, and where it matters the quirks are Linux's. What the simulated programs do
 * not use is not declared, so that a source which calls it does not link.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_H
#define LOOP_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* clock.c */

uint64_t sys_clock_ns(clockid_t clock);
void sys_pause_ns(uint64_t ns);
int sys_timerfd_create(clockid_t clock);
int sys_timerfd_arm(int fd, uint64_t deadline_ns);

/* epoll.c */

int sys_epoll_create(void);
int sys_epoll_ctl(int epoll_fd, int operation, int fd, uint32_t events, uint64_t tag);
int sys_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms);
int sys_eventfd(void);
void sys_eventfd_signal(int fd);
void sys_eventfd_clear(int fd);

/* files.c */

int sys_open(const char *path, int flags, mode_t mode);
int sys_close(int fd);
int sys_fstat(int fd, struct stat *stat);
int sys_fcntl(int fd, int command, int value);
int sys_unlink(const char *path);
ssize_t sys_read(int fd, void *bytes, size_t size);
ssize_t sys_write(int fd, const void *bytes, size_t size);
ssize_t sys_writev_quietly(int fd, const struct iovec *iov, int count);
ssize_t sys_writev_blocked(int fd, const struct iovec *iov, int count);
bool sys_is_terminal(int fd);
const void *sys_map(int fd, size_t size);
void sys_unmap(const void *map, size_t size);

/* socket.c, connect.c */

int sys_socket(int family, int type);
int sys_socketpair(int fds[2]);
int sys_bind(int fd, const struct sockaddr *address, socklen_t size);
int sys_connect(int fd, const struct sockaddr *address, socklen_t size);
int sys_listen(int fd, int backlog);
int sys_accept(int fd);
int sys_shutdown(int fd, int how);
int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int sys_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int sys_getpeername(int fd, struct sockaddr *address, socklen_t *size);
ssize_t sys_recv(int fd, void *bytes, size_t size);
ssize_t sys_recvmsg(int fd, struct msghdr *message);
ssize_t sys_send(int fd, const void *bytes, size_t size);
ssize_t sys_sendmsg(int fd, const struct msghdr *message);
int sys_interface_index(const char *name, uint32_t *index);
int sys_interface_name(uint32_t index, char name[IF_NAMESIZE]);

/* tree.c */

struct sys_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

enum { SYS_ENTRY_UNKNOWN = 0, SYS_ENTRY_DIRECTORY = 4 };

int sys_inotify_open(void);
int sys_inotify_add(int fd, const char *path, uint32_t mask);
void sys_inotify_remove(int fd, int wd);
size_t sys_inotify_queued(int fd);
int sys_open_directory(const char *path, bool follow);
ssize_t sys_read_directory(int fd, void *entries, size_t size);
bool sys_is_directory(int dir_fd, const char *name);
ssize_t sys_working_directory(char *path, size_t size);

/* memory.c */

void *sys_resize(void *ctx, void *memory, size_t size);

/* thread.c */

struct sim_thread;
typedef struct sim_thread *sys_thread;

typedef struct sys_mutex {
    const void *owner;
} sys_mutex;

typedef struct sys_cond {
    unsigned waiting;
} sys_cond;

typedef bool sys_once;

enum { SYS_ONCE = 0 };

#define SYS_MUTEX_READY                                                                            \
    {                                                                                              \
        NULL                                                                                       \
    }

void sys_mutex_init(sys_mutex *mutex);
void sys_mutex_fini(sys_mutex *mutex);
void sys_lock(sys_mutex *mutex);
void sys_unlock(sys_mutex *mutex);
void sys_cond_init(sys_cond *cond);
void sys_cond_fini(sys_cond *cond);
void sys_cond_wait(sys_cond *cond, sys_mutex *mutex);
void sys_cond_signal(sys_cond *cond);
void sys_cond_broadcast(sys_cond *cond);
int sys_thread_start(sys_thread *thread, size_t stack_size, const char *name, void *(*run)(void *),
                     void *arg);
void sys_thread_join(sys_thread thread);
void sys_call_once(sys_once *once, void (*call)(void));
uint32_t sys_processors_online(void);
uint32_t sys_processors(void);

/* children.c */

#define SYS_UNWATCHED __attribute__((no_sanitize("address", "thread", "undefined")))

int sys_pidfd_open(pid_t pid);
int sys_pidfd_signal(int pidfd, int number);
int sys_pidfd_signal_group(int pidfd, int number);
int sys_kill_group(pid_t leader, int number);
enum { SYS_WNOWAIT = 0x01000000 }; /* as <sys/wait.h> has it */
int sys_wait(int pidfd, siginfo_t *info, int options);
pid_t sys_spawn(int (*run)(void *arg), void *stack_top, void *arg, int *pidfd);
int sys_dumpable(void);
void sys_set_dumpable(int dumpable);
char **sys_environ(void);
int sys_pipe(int ends[2]);
int sys_socketpair_blocking(int fds[2]);
int sys_dup_over(int from, int to);
void sys_child_signal_default(int number);
void sys_child_signal_mask(const sigset_t *mask);
int sys_child_setsid(void);
int sys_child_new_group(void);
int sys_child_chdir(const char *path);
int sys_child_drop_groups(void);
int sys_child_setgid(gid_t gid);
int sys_child_setuid(uid_t uid);
int sys_child_move_up(int fd, int least);
int sys_child_keep(int fd);
int sys_child_dup_to(int fd, int to);
void sys_child_close_on_exec_from(unsigned first);
int sys_child_execute(const char *path, const char *const *args, const char *const *env);
void sys_child_exit(void);

sigset_t sys_signals_block(void);
void sys_signals_restore(sigset_t before);
int sys_sigaction(int number, const struct sigaction *action, struct sigaction *before);
void sys_signal_default(int number);
void sys_raise(int number);
void sys_yield(void);
void sys_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* memory.c */

void sys_at_fork_in_child(void (*handler)(void));
const char *sys_environment(const char *name);
void sys_each_module(int (*visit)(struct dl_phdr_info *, size_t, void *), void *arg);
_Noreturn void sys_abort(void);

#endif

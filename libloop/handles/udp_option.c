/* UDP: options of the socket, and groups.
 *
 * Linux keeps one set of options for IPv4 and one for IPv6. A socket of IPv6 that hears IPv4 too
 * has both, and takes both by setsockopt(2); so here each option is set for all that the socket can
 * send. Groups are named by the calls of RFC 3678, which are the same for both families, and take
 * the number of an interface where older ones took one of its addresses.
 *
 * By default Linux gives a socket what is sent to any group that any program of the machine has
 * joined, if the port fits (IP_MULTICAST_ALL of ip(7)). Who joins a group here does not mean that,
 * so joining turns it off.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/udp.h"

enum { TTL_MAX = 255 };

static int set(const struct loop_udp *udp, int level, int name, int value)
{
    return sys_setsockopt(udp->watcher.fd, level, name, &value, sizeof(value));
}

static int set_both(const struct loop_udp *udp, int ip6_name, int ip4_name, int value)
{
    int error = udp_usable(udp);
    if (!error && udp->family == AF_INET6)
        error = set(udp, IPPROTO_IPV6, ip6_name, value);
    return error ? error : set(udp, IPPROTO_IP, ip4_name, value);
}

int loop_udp_broadcast(struct loop_udp *udp, bool on)
{
    int error = udp_usable(udp);
    return error ? error : set(udp, SOL_SOCKET, SO_BROADCAST, on);
}

int loop_udp_ttl(struct loop_udp *udp, unsigned ttl)
{
    if (ttl < 1 || ttl > TTL_MAX)
        return -EINVAL;
    return set_both(udp, IPV6_UNICAST_HOPS, IP_TTL, (int)ttl);
}

int loop_udp_multicast_loop(struct loop_udp *udp, bool on)
{
    return set_both(udp, IPV6_MULTICAST_LOOP, IP_MULTICAST_LOOP, on);
}

int loop_udp_multicast_ttl(struct loop_udp *udp, unsigned ttl)
{
    if (ttl > TTL_MAX)
        return -EINVAL;
    return set_both(udp, IPV6_MULTICAST_HOPS, IP_MULTICAST_TTL, (int)ttl);
}

/* 0 for none, which leaves it to the kernel. */
static int number_of(const char *interface, uint32_t *index)
{
    *index = 0;
    return interface ? sys_interface_index(interface, index) : 0;
}

int loop_udp_multicast_interface(struct loop_udp *udp, const char *interface)
{
    uint32_t index;
    int error = udp_usable(udp);
    if (!error)
        error = number_of(interface, &index);
    if (!error && udp->family == AF_INET6)
        error = set(udp, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)index);
    if (error)
        return error;
    struct ip_mreqn ip4 = {.imr_ifindex = (int)index};
    return sys_setsockopt(udp->watcher.fd, IPPROTO_IP, IP_MULTICAST_IF, &ip4, sizeof(ip4));
}

/* A kernel that does not know the option (IPv6's came with Linux 4.20) does without. */
static void hear_own_groups_only(const struct loop_udp *udp)
{
    set(udp, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    if (udp->family == AF_INET6)
        set(udp, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
}

static int level_of(const struct loop_address *group)
{
    return group->any.sa_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
}

static int change(const struct loop_udp *udp, int name, const struct loop_address *group,
                  uint32_t index)
{
    struct group_req request = {.gr_interface = index};
    memcpy(&request.gr_group, &group->any, group->size);
    return sys_setsockopt(udp->watcher.fd, level_of(group), name, &request, sizeof(request));
}

static int change_source(const struct loop_udp *udp, int name, const struct loop_address *group,
                         const struct loop_address *source, uint32_t index)
{
    struct group_source_req request = {.gsr_interface = index};
    memcpy(&request.gsr_group, &group->any, group->size);
    memcpy(&request.gsr_source, &source->any, source->size);
    return sys_setsockopt(udp->watcher.fd, level_of(group), name, &request, sizeof(request));
}

/* The zone of an IPv6 group is an interface too, if none is named. */
static int interface_for(const struct loop_address *group, const char *interface, uint32_t *index)
{
    int error = number_of(interface, index);
    if (!error && !interface && group->any.sa_family == AF_INET6)
        *index = group->ip6.sin6_scope_id;
    return error;
}

static int check(const struct loop_udp *udp, const struct loop_address *group,
                 const struct loop_address *source)
{
    if (!group || !udp_is_internet(group))
        return -EINVAL;
    if (source && (!udp_is_internet(source) || source->any.sa_family != group->any.sa_family))
        return -EINVAL;
    return udp_usable(udp);
}

/* name: the option for a group; source_name: the one for a group and who sends to it. */
static int change_membership(const struct loop_udp *udp, int name, int source_name,
                             const struct loop_address *group, const struct loop_address *source,
                             const char *interface)
{
    uint32_t index;
    int error = check(udp, group, source);
    if (!error)
        error = interface_for(group, interface, &index);
    if (error)
        return error;
    return source ? change_source(udp, source_name, group, source, index)
                  : change(udp, name, group, index);
}

int loop_udp_join(struct loop_udp *udp, const struct loop_address *group,
                  const struct loop_address *source, const char *interface)
{
    int error =
        change_membership(udp, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP, group, source, interface);
    if (!error)
        hear_own_groups_only(udp);
    return error;
}

int loop_udp_leave(struct loop_udp *udp, const struct loop_address *group,
                   const struct loop_address *source, const char *interface)
{
    return change_membership(udp, MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP, group, source,
                             interface);
}

int loop_udp_set_queue_max(struct loop_udp *udp, size_t size_max)
{
    if (!udp)
        return -EINVAL;
    int error = handle_usable(&udp->handle);
    if (!error)
        udp->max = size_max > 0 ? size_max : LOOP_UDP_QUEUE_MAX;
    return error;
}

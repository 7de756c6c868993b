/* What a resolver says, as an errno and as a sentence.
 *
 * The codes of getaddrinfo(3) are a small set of their own, in which some differ for history's sake
 * alone; callers that only want to know whether to try again get the numbers that they know from
 * everywhere else. That there is no such name is told apart from that no server has answered, and
 * most callers act upon no more than that. gai_strerror(3) has sentences too, but translates them,
 * so that they depend on the locale.
 *
 * SPDX-License-Identifier: MIT */
#include "dns.h"

static const struct {
    int code;
    int status;
    const char *text;
} outcomes[] = {
    {EAI_NONAME, -ENOENT, "no such host or service is known"},
    {EAI_NODATA, -ENOENT, "the host has no address"},
    {EAI_AGAIN, -EAGAIN, "no server has answered for now"},
    {EAI_FAIL, -EIO, "a server has answered that it cannot"},
    {EAI_MEMORY, -ENOMEM, "the resolver is out of memory"},
    {EAI_FAMILY, -EAFNOSUPPORT, "the resolver does not know this family of addresses"},
    {EAI_ADDRFAMILY, -EAFNOSUPPORT, "the host has no address of this family"},
    {EAI_SERVICE, -EINVAL, "the service is not offered on this type of socket"},
    {EAI_SOCKTYPE, -EINVAL, "the resolver does not know this type of socket"},
    {EAI_BADFLAGS, -EINVAL, "the resolver does not accept these flags"},
    {EAI_OVERFLOW, -EOVERFLOW, "a name is too long"},
    {EAI_SYSTEM, -EIO, "the resolver met an error of the system"},
};

int dns_status(int code, int error)
{
    if (code == 0 || (code == EAI_SYSTEM && error < 0))
        return error;
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++)
        if (outcomes[i].code == code)
            return outcomes[i].status;
    return -EIO;
}

const char *loop_dns_strerror(int code)
{
    if (code == 0)
        return "no error";
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++)
        if (outcomes[i].code == code)
            return outcomes[i].text;
    return "unknown error";
}

/* Internet addresses as text, and back.
 *
 * What is parsed is what the RFCs call the text of an address, and nothing looser: four decimal
 * numbers, or groups of hexadecimal ones, with a zone if wanted. Empty text is every address of the
 * machine. The zone is an interface, by name or number. What is not an address, is too long, or
 * names an interface that is not there, is refused, and the address is left as it was. Text that
 * was written parses as the same address. The longest text fits where the header says it does.
 * Addresses are equal if they lead to the same place, whatever the bytes that say nothing of it.
 *
 * The interface is the loopback one: every machine has it.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static struct loop_address parse(const char *text, uint16_t port)
{
    struct loop_address address;
    assert_int_equal(0, loop_address_parse(&address, text, port));
    return address;
}

static void assert_text(const char *expected, const struct loop_address *address)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    assert_ptr_equal(text, loop_address_text(address, text));
    assert_string_equal(expected, text);
}

static void assert_writes(const char *expected, const char *text, uint16_t port)
{
    struct loop_address address = parse(text, port);
    assert_text(expected, &address);
}

/* Parsing. */

static void numbers_are_parsed_into_what_the_kernel_takes(void **state)
{
    (void)state;
    struct loop_address ip4 = parse("192.0.2.7", 80);
    assert_int_equal(AF_INET, ip4.any.sa_family);
    assert_int_equal(sizeof(struct sockaddr_in), ip4.size);
    assert_int_equal(htonl(0xc0000207), ip4.ip4.sin_addr.s_addr);
    assert_int_equal(htons(80), ip4.ip4.sin_port);
    struct loop_address ip6 = parse("::1", 65535);
    assert_int_equal(AF_INET6, ip6.any.sa_family);
    assert_int_equal(sizeof(struct sockaddr_in6), ip6.size);
    assert_true(IN6_IS_ADDR_LOOPBACK(&ip6.ip6.sin6_addr));
    assert_int_equal(65535, loop_address_port(&ip6));
    assert_int_equal(0, ip6.ip6.sin6_scope_id);
    assert_int_equal(0, ip6.ip6.sin6_flowinfo);
}

static void empty_text_is_every_address_of_the_machine(void **state)
{
    (void)state;
    assert_writes("[::]:8080", "", 8080);
}

static void a_zone_is_the_name_or_the_number_of_an_interface(void **state)
{
    (void)state;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    uint32_t index = if_nametoindex("lo");
    if (index == 0)
        skip();
    struct loop_address by_name = parse("fe80::1%lo", 80);
    assert_int_equal(index, by_name.ip6.sin6_scope_id);
    assert_text("[fe80::1%lo]:80", &by_name);
    snprintf(text, sizeof(text), "fe80::1%%%u", index);
    struct loop_address by_number = parse(text, 80);
    assert_true(loop_address_equal(&by_name, &by_number));
    assert_text("[fe80::1%lo]:80", &by_number);
}

static void the_number_of_an_interface_that_is_gone_is_written_as_a_number(void **state)
{
    (void)state;
    assert_writes("[fe80::1%4294967295]:0", "fe80::1%4294967295", 0);
    assert_writes("[fe80::1]:0", "fe80::1%0", 0);
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const wrong[] = {" ",
                                        "1",
                                        "1.2.3",
                                        "127.1",
                                        "1.2.3.4.5",
                                        "1.2.3.256",
                                        "0x7f.0.0.1",
                                        "01.2.3.4",
                                        "1.2.3.4 ",
                                        " 1.2.3.4",
                                        "1.2.3.4:80",
                                        "1.2.3.4%lo",
                                        ":",
                                        ":::",
                                        "::1::",
                                        "[::1]",
                                        "[::1]:80",
                                        "1:2:3:4:5:6:7",
                                        "::12345",
                                        "g::",
                                        "::1/64",
                                        "fe80::1%",
                                        "%lo",
                                        "localhost",
                                        "1.2.3.-4",
                                        "\xd9\xa1.2.3.4",
                                        "::ffff:1.2.3",
                                        "1:2:3:4:5:6:7:8:9"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        struct loop_address address;
        int error = loop_address_parse(&address, wrong[i], 80);
        if (error != -EINVAL)
            print_error("\"%s\": %s\n", wrong[i], loop_error_name(error));
        assert_int_equal(-EINVAL, error);
    }
}

static void an_interface_that_cannot_be_is_refused(void **state)
{
    struct loop_address address;
    (void)state;
    assert_int_equal(-ENODEV, loop_address_parse(&address, "fe80::1%no-such-if", 0));
    assert_int_equal(-ENODEV, loop_address_parse(&address, "fe80::1%4294967296", 0));
    assert_int_equal(-ENODEV, loop_address_parse(&address, "fe80::1%99999999999999", 0));
    assert_int_equal(-ENODEV, loop_address_parse(&address, "fe80::1%-1", 0));
    assert_int_equal(-ENODEV, loop_address_parse(&address, "fe80::1%1x", 0));
    assert_int_equal(-ENAMETOOLONG, loop_address_parse(&address, "fe80::1%sixteen-is-much-", 0));
}

static void text_that_is_too_long_is_refused_and_not_cut(void **state)
{
    char text[2048];
    struct loop_address address;
    (void)state;
    memset(text, '1', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(-ENAMETOOLONG, loop_address_parse(&address, text, 0));
    memcpy(text, "127.0.0.1", 9);
    assert_int_equal(-ENAMETOOLONG, loop_address_parse(&address, text, 0));
    text[LOOP_ADDRESS_TEXT_SIZE - 1] = '\0';
    assert_int_equal(-EINVAL, loop_address_parse(&address, text, 0));
}

static void a_refusal_leaves_the_address_as_it_was(void **state)
{
    static const char *const wrong[] = {"1.2.3", "1.2.3.4.5", "fe80::1%no-such-if", "::1:", "::%"};
    (void)state;
    struct loop_address address = parse("192.0.2.7", 80);
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_true(loop_address_parse(&address, wrong[i], 443) < 0);
    assert_int_equal(-EINVAL, loop_address_parse(&address, NULL, 443));
    assert_int_equal(-EINVAL, loop_address_parse(NULL, "192.0.2.7", 443));
    assert_text("192.0.2.7:80", &address);
}

/* Writing. */

static void text_is_the_shortest_form_with_the_port(void **state)
{
    (void)state;
    assert_writes("127.0.0.1:80", "127.0.0.1", 80);
    assert_writes("255.255.255.255:65535", "255.255.255.255", 65535);
    assert_writes("[::1]:0", "0:0:0:0:0:0:0:1", 0);
    assert_writes("[2001:db8::a:0:0:1]:443", "2001:0DB8:0:0:a:0:0:1", 443);
    assert_writes("[::ffff:192.0.2.7]:1", "::ffff:c000:207", 1);
}

static void the_longest_text_fits(void **state)
{
    (void)state;
    assert_writes("[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535",
                  "1111:2222:3333:4444:5555:6666:7777:8888%4294967295", 65535);
    assert_writes("[1111:2222:3333:4444:5555:6666:ffff:ffff]:65535",
                  "1111:2222:3333:4444:5555:6666:255.255.255.255", 65535);
}

static void what_is_neither_kind_is_a_question_mark(void **state)
{
    struct loop_address none = {0};
    struct loop_address other = {.any.sa_family = AF_UNIX, .size = sizeof(other.any)};
    (void)state;
    assert_text("?", &none);
    assert_text("?", &other);
    assert_int_equal(0, loop_address_port(&none));
    assert_int_equal(0, loop_address_port(&other));
}

/* Of the text all but the brackets and the port. */
static void written_text_parses_as_the_same_address(void **state)
{
    uint32_t random = 1;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[LOOP_ADDRESS_TEXT_SIZE];
        struct loop_address address = parse(i % 2 ? "::" : "0.0.0.0", (uint16_t)i);
        uint8_t *bytes = i % 2 ? address.ip6.sin6_addr.s6_addr : (void *)&address.ip4.sin_addr;
        for (size_t k = 0; k < (i % 2 ? 16U : 4U); k++) {
            random = random * 1664525 + 1013904223;
            bytes[k] = random >> 30 ? (uint8_t)(random >> 20) : 0;
        }
        loop_address_text(&address, text);
        *strrchr(text, i % 2 ? ']' : ':') = '\0';
        struct loop_address again = parse(i % 2 ? text + 1 : text, (uint16_t)i);
        assert_true(loop_address_equal(&address, &again));
    }
}

/* Equal. */

static void assert_differ(struct loop_address a, struct loop_address b)
{
    assert_false(loop_address_equal(&a, &b));
    assert_false(loop_address_equal(&b, &a));
}

static void addresses_are_equal_if_they_lead_to_the_same_place(void **state)
{
    (void)state;
    struct loop_address ip4 = parse("127.0.0.1", 80), ip6 = parse("::1", 80), none = {0};
    assert_true(loop_address_equal(&ip4, &ip4));
    assert_true(loop_address_equal(&ip6, &ip6));
    assert_true(loop_address_equal(&none, &none));
    assert_differ(ip4, ip6);
    assert_differ(ip4, none);
    assert_differ(ip4, parse("127.0.0.1", 81));
    assert_differ(ip4, parse("127.0.0.2", 80));
    assert_differ(ip6, parse("::1", 81));
    assert_differ(ip6, parse("::2", 80));
    assert_differ(ip4, parse("::ffff:127.0.0.1", 80));
    assert_differ(parse("fe80::1%1", 80), parse("fe80::1%2", 80));
}

static void bytes_that_lead_nowhere_make_no_difference(void **state)
{
    struct loop_address a, b;
    (void)state;
    memset(&a, 0xaa, sizeof(a));
    memset(&b, 0x55, sizeof(b));
    assert_int_equal(0, loop_address_parse(&a, "127.0.0.1", 80));
    b.ip4.sin_family = AF_INET;
    b.ip4.sin_port = htons(80);
    b.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(loop_address_equal(&a, &b));
    a = b = parse("::1", 80);
    b.ip6.sin6_flowinfo = 7;
    assert_true(loop_address_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_parsed_into_what_the_kernel_takes),
        cmocka_unit_test(empty_text_is_every_address_of_the_machine),
        cmocka_unit_test(a_zone_is_the_name_or_the_number_of_an_interface),
        cmocka_unit_test(the_number_of_an_interface_that_is_gone_is_written_as_a_number),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(an_interface_that_cannot_be_is_refused),
        cmocka_unit_test(text_that_is_too_long_is_refused_and_not_cut),
        cmocka_unit_test(a_refusal_leaves_the_address_as_it_was),
        cmocka_unit_test(text_is_the_shortest_form_with_the_port),
        cmocka_unit_test(the_longest_text_fits),
        cmocka_unit_test(what_is_neither_kind_is_a_question_mark),
        cmocka_unit_test(written_text_parses_as_the_same_address),
        cmocka_unit_test(addresses_are_equal_if_they_lead_to_the_same_place),
        cmocka_unit_test(bytes_that_lead_nowhere_make_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

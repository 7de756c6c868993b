/* The newcomer's first server: it says hello to whoever asks.
 *
 *     ./run example hello             then open http://127.0.0.1:8080 or: curl 127.0.0.1:8080
 *
 * hello.js, beside this file, is the same in Node: a callback for each request, which ends the
 * response. What it takes to read options and to end well is in ../common/serve.c.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/serve.h"

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_text(res, "Hello, world\n");
}

int main(int argc, char **argv)
{
    static struct serve hello = {.about = "Says hello.", .http.on_request = on_request};
    return serve(argc, argv, &hello);
}

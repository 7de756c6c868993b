-- What wrk has measured, as the lines that http.py reads: a name and a number each.
--
-- SPDX-License-Identifier: MIT
function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    print(string.format("operations %d", summary.requests))
    print(string.format("bytes %d", summary.bytes))
    print(string.format("duration_us %d", summary.duration))
    print(string.format("p50_us %d", latency:percentile(50)))
    print(string.format("p99_us %d", latency:percentile(99)))
    print(string.format("failed %d", failed))
end

-- What bench/http/run has wrk send, and what it prints: one line of JSON.
wrk.method = "POST"
wrk.body = '{"msg": {"arg1": 6, "arg2": 7}, "functions": ["multiply"]}'
wrk.headers["Content-Type"] = "application/json"

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local figures = '{"requests": %d, "failed": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}\n'
  io.write(figures:format(
    summary.requests, failed, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
end

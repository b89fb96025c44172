-- Sends pre-signed callbacks, each once, and knows afterwards which of them were answered.
--
-- Run with as many threads as connections (wrk -t32 -c32): wrk tells a response's status but not
-- its request, and with one connection in each thread's own Lua state the response is always that
-- of the thread's last request.
--
-- wrk ... -s wrk.lua URL -- FOLDER OFFSET REPORT
--   FOLDER  holds 00, 01, ...: one file per thread, one callback per line: nonce, signature, body
--   OFFSET  how many lines of each file to pass over (an earlier run has sent them)
--   REPORT  where to write the outcome, as JSON

local HEAD = "POST /plivo/status HTTP/1.1\r\nHost: sms.example.com\r\nUser-Agent: Plivo\r\n"
  .. "Accept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\n"

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  threads[#threads + 1] = thread
end

local function raw(line)
  local nonce, signature, body = line:match("^(%S+)\t(%S+)\t(%S+)$")
  return HEAD .. "X-Plivo-Signature-V3: " .. signature
    .. "\r\nX-Plivo-Signature-V3-Nonce: " .. nonce
    .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function init(args)
  offset = tonumber(args[2])
  report_path = args[3]
  requests, current, waiting, ran_out, refused, unanswered = {}, 0, false, false, "", ""
  -- wrk asks the first thread for one request that it does not send, to see its form.
  asked_before = number ~= 0
  local passed = 0
  for line in io.lines(string.format("%s/%02d", args[1], number)) do
    passed = passed + 1
    if passed > offset then requests[#requests + 1] = raw(line) end
  end
end

function request()
  if not asked_before then
    asked_before = true
    return requests[1]
  end
  if waiting then unanswered = unanswered .. current .. " " end
  if current == #requests then
    ran_out = true
    wrk.thread:stop()
    return requests[current]
  end
  current = current + 1
  waiting = true
  return requests[current]
end

function response(status)
  waiting = false
  if status ~= 200 then refused = refused .. current .. ":" .. status .. " " end
end

local function thread_json(thread)
  return string.format(
    '{"sent":%d,"waiting":%s,"ran_out":%s,"refused":"%s","unanswered":"%s"}',
    thread:get("current"), tostring(thread:get("waiting")), tostring(thread:get("ran_out")),
    thread:get("refused"), thread:get("unanswered"))
end

function done(summary, latency)
  local parts = {}
  for i, thread in ipairs(threads) do parts[i] = thread_json(thread) end
  local errors = summary.errors
  local file = assert(io.open(threads[1]:get("report_path"), "w"))
  file:write(string.format(
    '{"duration_us":%d,"requests":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,'
      .. '"socket_errors":%d,"threads":[%s]}',
    summary.duration, summary.requests, latency:percentile(50), latency:percentile(99),
    latency.max, errors.connect + errors.read + errors.write + errors.timeout,
    table.concat(parts, ",")))
  file:close()
end

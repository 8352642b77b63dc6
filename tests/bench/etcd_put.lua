-- SPDX-License-Identifier: Apache-2.0
local here = debug.getinfo(1, "S").source:match("@(.*/)")
local base64 = dofile(here .. "base64.lua")
local requests, n = {}, 0
init = function()
  local value = base64(os.getenv("BENCH_VALUE"))
  for i = 0, 999 do
    requests[i] = wrk.format("POST", "/v3/kv/put", nil,
      '{"key":"' .. base64("bench/" .. i) .. '","value":"' .. value .. '"}')
  end
end
request = function()
  n = (n + 1) % 1000
  return requests[n]
end

-- SPDX-License-Identifier: Apache-2.0
-- Bodies are made beforehand, so that encoding costs nothing while requests are sent.
local here = debug.getinfo(1, "S").source:match("@(.*/)")
local base64 = dofile(here .. "base64.lua")
local requests, n = {}, 0
init = function()
  for i = 0, 999 do
    requests[i] = wrk.format("POST", "/v3/kv/range", nil, '{"key":"' .. base64("bench/" .. i) .. '"}')
  end
end
request = function()
  n = (n + 1) % 1000
  return requests[n]
end

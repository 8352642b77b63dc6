-- SPDX-License-Identifier: Apache-2.0
local requests, n = {}, 0
init = function()
  for i = 0, 999 do
    requests[i] = wrk.format("GET", os.getenv("BENCH_PATH") .. i)
  end
end
request = function()
  n = (n + 1) % 1000
  return requests[n]
end

-- SPDX-License-Identifier: Apache-2.0
local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
return function(text)
  local out = {}
  for at = 1, #text, 3 do
    local a, b, c = text:byte(at, at + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for place = 0, 3 do
      local digit = math.floor(n / 64 ^ (3 - place)) % 64 + 1
      out[#out + 1] = ((place == 2 and not b) or (place == 3 and not c)) and "=" or digits:sub(digit, digit)
    end
  end
  return table.concat(out)
end

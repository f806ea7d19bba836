-- MD5 for Lua code: the functions of md5.core (sum, exor, crypt, decrypt) and their hexadecimal forms.

local md5 = require "md5.core"

-- Bytes per block of the hash; HMAC pads its key to this length.
local BLOCK <const> = 64

local INNER <const> = string.rep("\x36", BLOCK)
local OUTER <const> = string.rep("\x5c", BLOCK)

local function hex(bytes)
	return (bytes:gsub(".", function(c)
		return ("%02x"):format(c:byte())
	end))
end

--- MD5 of s as 32 lower-case digits.
function md5.sumhexa(s)
	return hex(md5.sum(s))
end

--- HMAC-MD5 (RFC 2104) of data as 32 lower-case digits.
function md5.hmacmd5(data, key)
	if #key > BLOCK then
		key = md5.sum(key)
	end
	key = key .. ("\0"):rep(BLOCK - #key)
	local inner = md5.sum(md5.exor(key, INNER) .. data)
	return hex(md5.sum(md5.exor(key, OUTER) .. inner))
end

return md5

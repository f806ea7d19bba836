-- Builds socket messages as the core delivers them, out of Lua strings.

local core = require "skynet.core"
local driver = require "skynet.socketdriver"

local socketmsg = {
	DATA = 1, CONNECT = 2, CLOSE = 3, ACCEPT = 4, ERROR = 5, UDP = 6, WARNING = 7,
}

local NULL = ("\0"):rep(8)

--- The bytes of a pointer.
function socketmsg.address(ptr)
	return core.packstring(ptr):sub(2)
end

--- A message with a block (DATA, UDP): pointer and size.
function socketmsg.block(kind, id, bytes, ud)
	local block = driver.str2p(bytes)
	local head = string.pack("<i4i4i4i4", kind, id, ud or #bytes, 0)
	return driver.str2p(head .. socketmsg.address(block))
end

--- A message with text behind it.
function socketmsg.text(kind, id, ud, text)
	return driver.str2p(string.pack("<i4i4i4i4", kind, id, ud, 0) .. NULL .. (text or ""))
end

return socketmsg

-- A service on the bare core, without the skynet library: it runs the chunks it is sent and tells of every other
-- message. Launched as "snlua support/probe HANDLE [BYTES]": whom it reports to, the limit of its memory.
--   type 20  to it: a chunk and its arguments, packed. Back: its results, same session, type 1.
--   type 22  from it: what a message of any other type looked like, packed.

local core = require "skynet.core"

local report, memlimit = ...
local REPORT = tonumber(report)
-- The host reads this once, when the script has been loaded.
debug.getregistry().memlimit = tonumber(memlimit)

local env = setmetatable({ core = core, REPORT = REPORT }, { __index = _G })

function env.describe(kind, msg, size, session, source)
	local null = core.packstring(msg):sub(2) == ("\0"):rep(8)
	core.send(REPORT, 22, 0, core.packstring {
		kind = kind, size = size, session = session, source = source,
		null = null, bytes = core.tostring(msg, size),
	})
end

function env.handle(kind, msg, size, session, source)
	if kind ~= 20 then
		return env.describe(kind, msg, size, session, source)
	end
	local function run(code, ...)
		return assert(load(code, "=probe", "t", env))(...)
	end
	local result = table.pack(pcall(run, core.unpack(msg, size)))
	core.send(source, 1, session, core.pack(table.unpack(result, 1, result.n)))
end

core.callback(env.handle)

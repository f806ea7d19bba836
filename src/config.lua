-- The config file loader: runs a config file and what it includes with a table of settings as its
-- only environment (core.md §2.2). Called by src/config.rs with the file's name; answers true and the
-- settings, or false and the message for the operator.

local top = ...

local settings = {}
local folder = "./"
local include

local function expand(text)
	return (text:gsub("%$([%w_%d]+)", function(variable)
		local value = os.getenv(variable)
		if value == nil then
			error("os.getenv() failed: " .. variable)
		end
		return value
	end))
end

local function read(path)
	local file, reason = io.open(path, "rb")
	if not file then
		error(reason)
	end
	local text, problem = file:read("a")
	file:close()
	if not text then
		error(path .. ": " .. problem)
	end
	return text
end

function include(name)
	local outer = folder
	local directory, rest = name:match("^(.*/)([^/]*)$")
	if directory then
		folder = directory:sub(1, 1) == "/" and directory or outer .. directory
	end
	local source = expand(read(folder .. (rest or name)))
	local run, message = load(source, "@" .. name, "t", settings)
	if not run then
		error(message, 0)
	end
	run()
	folder = outer
end

setmetatable(settings, { __index = { include = include } })

local done, message = pcall(include, top)
if not done then
	return false, type(message) == "string" and message or "(error object is not a string)"
end
setmetatable(settings, nil)

-- Numbers travel in Lua's own text form.
local texts = {}
for key, value in pairs(settings) do
	texts[key] = math.type(value) and tostring(value) or value
end
return true, texts

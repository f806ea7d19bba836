-- skynet.inject: runs a script inside a service that is already running (console command `inject`).

local table = table

-- Puts the tables among the upvalues of `func`, and of the functions among them, into `found`, by name.
local function collect(func, found, seen)
	if seen[func] then
		return
	end
	seen[func] = true
	local index = 1
	local name, value = debug.getupvalue(func, index)
	while name do
		if type(value) == "table" then
			found[name] = value
		elseif type(value) == "function" then
			collect(value, found, seen)
		end
		index = index + 1
		name, value = debug.getupvalue(func, index)
	end
end

local function tables_of_protos(protos)
	local result = {}
	for name, class in pairs(protos) do
		if type(name) == "string" and class.dispatch then
			result[name] = {}
			collect(class.dispatch, result[name], {})
		end
	end
	return result
end

-- args: packed table for the script's `...`; the functions after it are where `_U` comes from.
-- Returns ok and a list of the lines that the script printed; the last one is the error message if not ok.
return function(skynet, source, filename, args, ...)
	local output = {}
	local env = setmetatable({}, { __index = _ENV })

	function env.print(...)
		local words = table.pack(...)
		for i = 1, words.n do
			words[i] = tostring(words[i])
		end
		output[#output + 1] = table.concat(words, "\t")
	end

	env._U = {}
	local seen = {}
	for _, func in ipairs { ... } do
		collect(func, env._U, seen)
	end
	env._P = tables_of_protos(skynet._proto)

	local script, complaint = load(source, filename and "@" .. filename or "=(load)", "bt", env)
	if not script then
		return false, { complaint }
	end
	local ok, reason = pcall(script, table.unpack(args or {}, 1, args and args.n))
	if not ok then
		output[#output + 1] = tostring(reason)
	end
	return ok, output
end

-- skynet.datasheet.dump: the binary document of a datasheet, written, read and compared.

local M = {}

local NIL, INTEGER, REAL, BOOLEAN, TABLE, STRING = 0, 1, 2, 3, 4, 5
local ABSENT = 0xffffffff

-- ---- from a table to lists ----

-- What `undump` and `diff` give for a table: array = its values, names = its sorted keys, fields = their values; a
-- nested table is in there as itself.

local function keys_of(t, n)
	local names = {}
	for key in pairs(t) do
		if math.type(key) == "integer" then
			assert(key > 0 and key <= n)
		else
			assert(type(key) == "string")
			table.insert(names, key)
		end
	end
	table.sort(names)
	return names
end

-- Gives every table a number, in the order of first sight.
local function number(t, list, indices)
	if indices[t] then
		return
	end
	table.insert(list, t)
	indices[t] = #list - 1
	for i = 1, #t do
		if type(t[i]) == "table" then number(t[i], list, indices) end
	end
	for _, name in ipairs(keys_of(t, #t)) do
		if type(t[name]) == "table" then number(t[name], list, indices) end
	end
end

-- ---- writing ----

local function encode(list, indices)
	local strings, offset_of, offset = {}, {}, 0
	local function string_at(text)
		text = text:match "^[^\0]*"
		if not offset_of[text] then
			offset_of[text] = offset
			table.insert(strings, text .. "\0")
			offset = offset + #text + 1
		end
		return string.pack("<I4", offset_of[text])
	end
	local function value_of(value)
		local kind = type(value)
		if kind == "nil" then
			return NIL, "\0\0\0\0"
		elseif kind == "number" then
			if math.type(value) == "integer" and value >= -0x80000000 and value <= 0x7fffffff then
				return INTEGER, string.pack("<i4", value)
			end
			return REAL, string.pack("<f", value)
		elseif kind == "boolean" then
			return BOOLEAN, value and "\0\0\0\1" or "\0\0\0\0"
		elseif kind == "table" then
			return TABLE, string.pack("<I4", indices[value])
		elseif kind == "string" then
			return STRING, string_at(value)
		end
		error("Unsupport value " .. tostring(value))
	end
	local offsets, bodies, position = {}, {}, 0
	for i = 1, list.n or #list do
		local t = list[i]
		if not t then
			offsets[i] = string.pack("<I4", ABSENT)
		else
			local n = #t
			local names = keys_of(t, n)
			local types, values = {}, {}
			for k = 1, n do
				local kind, bytes = value_of(t[k])
				table.insert(types, string.char(kind))
				table.insert(values, bytes)
			end
			for _, name in ipairs(names) do
				table.insert(values, string_at(name))
				local kind, bytes = value_of(t[name])
				table.insert(types, string.char(kind))
				table.insert(values, bytes)
			end
			local body = string.pack("<I4I4", n, #names) .. table.concat(types)
			body = body .. ("\0"):rep(-#body % 4) .. table.concat(values)
			offsets[i] = string.pack("<I4", position)
			bodies[i] = body
			position = position + #body
		end
	end
	local head = table.concat(offsets)
	local parts = {}
	for i = 1, #offsets do
		if bodies[i] then table.insert(parts, bodies[i]) end
	end
	return string.pack("<I4I4", 8 + #head + position, #offsets) .. head .. table.concat(parts) .. table.concat(strings)
end

function M.dump(t)
	local list, indices = {}, {}
	number(t, list, indices)
	return encode(list, indices)
end

-- ---- reading ----

-- document -> its table, and table -> index of all tables in it
function M.undump(document)
	local strings, count = string.unpack("<I4I4", document)
	local base = 8 + count * 4
	local tables, indices = {}, {}
	for i = 0, count - 1 do
		if string.unpack("<I4", document, 9 + i * 4) ~= ABSENT then
			local t = {}
			tables[i] = t
			indices[t] = i
		end
	end
	local function value_at(kind, at)
		if kind == INTEGER then
			return (string.unpack("<i4", document, at))
		elseif kind == REAL then
			return (string.unpack("<f", document, at))
		elseif kind == BOOLEAN then
			return string.unpack("<I4", document, at) ~= 0
		elseif kind == TABLE then
			return tables[string.unpack("<I4", document, at)]
		elseif kind == STRING then
			return (string.unpack("z", document, strings + 1 + string.unpack("<I4", document, at)))
		end
	end
	for i, t in pairs(tables) do
		local at = base + string.unpack("<I4", document, 9 + i * 4) + 1
		local n, fields = string.unpack("<I4I4", document, at)
		local types = at + 8
		at = types + n + fields
		at = at + -(n + fields) % 4
		for k = 1, n do
			t[k] = value_at(document:byte(types + k - 1), at)
			at = at + 4
		end
		for k = 1, fields do
			local name = string.unpack("z", document, strings + 1 + string.unpack("<I4", document, at))
			t[name] = value_at(document:byte(types + n + k - 1), at + 4)
			at = at + 8
		end
	end
	return tables[0], indices
end

-- ---- comparing ----

-- Two documents -> `current` again, in which a table has the index of the one at the same path in `last`; so the
-- tables that services hold turn into their successors.
function M.diff(last, current)
	local old, old_indices = M.undump(last)
	local new = M.undump(current)
	local indices, list, top = {}, {}, -1
	for _, index in pairs(old_indices) do
		top = math.max(top, index)
	end
	local function place(t, index)
		indices[t] = index
		list[index + 1] = t
	end
	local fresh = {}
	local function pair_up(t, before)
		if indices[t] or fresh[t] then
			return
		end
		local index = before and old_indices[before]
		if index and not list[index + 1] then
			place(t, index)
		else
			before = nil
			fresh[t] = true
			table.insert(fresh, t)
		end
		local function inner(key)
			local value = t[key]
			if type(value) == "table" then
				local was = before and before[key]
				pair_up(value, type(was) == "table" and was or nil)
			end
		end
		for i = 1, #t do inner(i) end
		for _, name in ipairs(keys_of(t, #t)) do inner(name) end
	end
	pair_up(new, old)
	for _, t in ipairs(fresh) do
		top = top + 1
		place(t, top)
	end
	list.n = top + 1
	return encode(list, indices)
end

return M

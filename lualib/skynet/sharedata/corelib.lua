-- skynet.sharedata.corelib: objects that look like tables and read a tree of skynet.sharedata.core.

local core = require "skynet.sharedata.core"

local M = {}

M.host = {}
for _, name in ipairs { "new", "delete", "getref", "markdirty", "incref", "decref" } do
	M.host[name] = core[name]
end

-- What an object has of its own, under keys that no data can have.
local OBJ, BOX, PARENT, KEY, CHILDREN = {}, {}, {}, {}, {}

local meta = {}
local weak = { __mode = "v" }

local function path(self)
	local parent = self[PARENT]
	return parent and path(parent) .. "." .. tostring(self[KEY]) or ""
end

-- The object stands for nothing any more, nor does what was read from it.
local function lose(self)
	self[OBJ] = false
	for _, child in pairs(self[CHILDREN]) do
		lose(child)
	end
end

-- The object stands for `obj` from now on, and what was read from it for what is there now.
local function turn(self, obj, box)
	self[OBJ], self[BOX] = obj, box
	local children = self[CHILDREN]
	for key, child in pairs(children) do
		local value = core.index(obj, key)
		if type(value) == "userdata" then
			turn(child, value, box)
		else
			children[key] = nil
			lose(child)
		end
	end
end

-- The address of what the object stands for, in the newest tree that this service was told of.
local function address(self)
	local obj = self[OBJ]
	if obj and core.isdirty(obj) then
		local root = self
		while root[PARENT] do
			root = root[PARENT]
		end
		while core.isdirty(root[OBJ]) do
			local ptr, successor = core.needupdate(root[BOX])
			if not ptr then
				break	-- not told yet, or deleted
			end
			turn(root, ptr, successor.box)
		end
		obj = self[OBJ]
	end
	if not obj then
		error(string.format("The key [%s] doesn't exist after update", path(self)))
	end
	return obj
end

local function read(self, obj, key)
	local value = core.index(obj, key)
	if type(value) ~= "userdata" then
		return value
	end
	local children = self[CHILDREN]
	local child = children[key]
	if not child then
		child = setmetatable({
			[OBJ] = value, [BOX] = self[BOX], [PARENT] = self, [KEY] = key,
			[CHILDREN] = setmetatable({}, weak),
		}, meta)
		children[key] = child
	end
	return child
end

function meta:__index(key)
	return read(self, address(self), key)
end

function meta:__newindex()
	error(string.format("Error newindex, the key [%s]", path(self)), 2)
end

function meta:__len()
	return core.len(address(self))
end

function M.next(self, key)
	local obj = address(self)
	local following = core.nextkey(obj, key)
	if following ~= nil then
		return following, read(self, obj, following)
	end
end

function meta:__pairs()
	return M.next, self, nil
end

function M.box(ptr)
	return setmetatable({
		[OBJ] = ptr, [BOX] = core.box(ptr), [PARENT] = false, [CHILDREN] = setmetatable({}, weak),
	}, meta)
end

-- Tells the object that there is a newer tree; it turns to it when it is read.
function M.update(self, ptr)
	if not core.isdirty(self[OBJ]) then
		error "Only dirty object can be update"
	end
	-- of several updates that nobody has looked at, each follows the one before
	address(self)
	core.update(self[BOX], ptr, { box = core.box(ptr) })
end

-- Turns to the newest tree now.
function M.flush(self)
	address(self)
end

local function copy(obj)
	if type(obj) ~= "userdata" then
		return obj
	end
	local t = {}
	local key = core.nextkey(obj)
	while key ~= nil do
		t[key] = copy(core.index(obj, key))
		key = core.nextkey(obj, key)
	end
	return t
end

-- A plain table of the tree, or of what is at the path in it.
function M.copy(ptr, ...)
	for _, key in ipairs { ... } do
		if type(ptr) ~= "userdata" then
			return nil
		end
		ptr = core.index(ptr, key)
	end
	return copy(ptr)
end

-- The address behind an object.
M.address = address

return M

-- datacenterd (global name DATACENTER): the tree of values behind skynet.datacenter, one in the whole network.

local skynet = require "skynet"

local command = {}	-- (path, n, value...): path is a list of n keys

local tree = {}

-- Those who wait stand in a tree of the same shape.  A node has either `responses` (somebody waits for just this
-- path) or `children`; nodes without either are pruned.
local waiters = { children = {} }

local function lookup(path, n)
	local node = tree
	for i = 1, n do
		if node == nil or type(node) == "string" then
			return nil
		end
		node = node[path[i]]	-- raises if a number or boolean is in the way
	end
	return node
end

local function store(path, n, value)
	local node = tree
	for i = 1, n - 1 do
		local key = path[i]
		if node[key] == nil then
			node[key] = {}
		end
		node = node[key]
	end
	local old = node[path[n]]
	node[path[n]] = value
	return old
end

-- Removes and returns the responses that wait for the first n keys of path.
local function take_responses(node, path, n, i)
	local child = node.children and node.children[path[i]]
	if not child then
		return nil
	end
	local responses
	if i == n then
		responses, child.responses = child.responses, nil
	else
		responses = take_responses(child, path, n, i + 1)
	end
	if not child.responses and not (child.children and next(child.children)) then
		node.children[path[i]] = nil
	end
	return responses
end

local function answer(path, n, ...)
	for _, respond in ipairs(take_responses(waiters, path, n, 1) or {}) do
		respond(...)
	end
end

function command.QUERY(path, n)
	if n > 0 then
		return lookup(path, n)
	end
end

function command.UPDATE(path, n)
	local value
	if n > 1 then
		value = path[n]
		n = n - 1
	end
	local old = store(path, n, value)
	if old == nil and value ~= nil then
		for i = 1, n - 1 do
			answer(path, i, false)	-- this path can only be a branch now
		end
		answer(path, n, true, value)
	end
	return old
end

local function wait_for(path, n)
	local node = waiters
	for i = 1, n do
		assert(not node.responses)
		node.children = node.children or {}
		local child = node.children[path[i]]
		if not child then
			child = {}
			node.children[path[i]] = child
		end
		node = child
	end
	assert(not node.children)
	node.responses = node.responses or {}
	table.insert(node.responses, skynet.response())
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		local path, n = { ... }, select("#", ...)
		if name ~= "WAIT" then
			skynet.retpack(assert(command[name])(path, n))
			return
		end
		assert(n > 0, "no key")
		local value = lookup(path, n)
		if value ~= nil then
			skynet.retpack(value)
		else
			wait_for(path, n)
		end
	end)
end)

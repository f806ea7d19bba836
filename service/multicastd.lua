-- multicastd (unique on each node): delivers what is published on the channels of skynet.multicast.
-- The node that made a channel owns it (low 8 bits of the id).  Everything published goes to the owner, which
-- delivers to its own subscribers and sends one copy to the multicastd of every other node that has some.

local skynet = require "skynet"
local datacenter = require "skynet.datacenter"
local core = require "skynet.multicast.core"

local here = tonumber(skynet.getenv "harbor")

local next_channel = here

-- channel id -> group: count, [handle] = true for each subscriber on this node.  An own channel has one as long as
-- it exists, a foreign one while it has subscribers here.
local groups = {}

-- own channel id -> set of the multicastd of other nodes that have subscribers
local subscribed_nodes = {}

local function is_own(id)
	return id & 0xff == here
end

local managers = {}	-- harbor id -> multicastd of that node

local function owner_of(id)
	local node = id & 0xff
	managers[node] = managers[node] or datacenter.get("multicast", node)
	return assert(managers[node], "Unknown owner of the channel")
end

-- ---------------------------------------------------------------- delivery

-- Consumes the package.
local function deliver_here(id, source, box, size)
	local group = groups[id]
	local count = group and group.count or 0
	if count == 0 then
		core.close(core.bind(box, 1))
		return
	end
	local message = skynet.tostring(box, size)
	local content = core.bind(box, count)
	for subscriber in pairs(group.members) do
		if not skynet.redirect(subscriber, source, "multicast", id, message) then
			-- it has died without a word
			group.members[subscriber] = nil
			group.count = group.count - 1
			core.close(content)
		end
	end
end

local function send_to_node(manager, id, source, box)
	local msg, size = core.remote(box)
	skynet.redirect(manager, source, "multicast", id, msg, size)
end

-- At the owner.
local function distribute(id, source, box, size)
	local nodes = subscribed_nodes[id]
	if nodes and next(nodes) then
		local _, msg, length = core.unpack(box, size)
		for manager in pairs(nodes) do
			skynet.redirect(manager, source, "multicast", id, skynet.tostring(msg, length))
		end
	end
	deliver_here(id, source, box, size)
end

skynet.register_protocol {
	name = "multicast",
	id = skynet.PTYPE_MULTICAST,
	unpack = core.packremote,
	dispatch = function(id, source, box, size)
		skynet.ignoreret()
		if is_own(id) then
			distribute(id, source, box, size)
		else
			deliver_here(id, source, box, size)
		end
	end,
}

-- ---------------------------------------------------------------- commands

local command = {}	-- (source, channel, ...) -> reply
local NO_REPLY = {}

local function new_group()
	return { count = 0, members = {} }
end

function command.NEW()
	while groups[next_channel] do
		next_channel = core.nextid(next_channel)
	end
	local id = next_channel
	groups[id] = new_group()
	next_channel = core.nextid(id)
	return id
end

function command.PUB(source, id, box, size)
	assert(skynet.harbor(source) == here)
	if is_own(id) then
		distribute(id, source, box, size)
	else
		send_to_node(owner_of(id), id, source, box)
	end
end

function command.SUB(source, id)
	local group = groups[id]
	if not group then
		if is_own(id) or skynet.call(owner_of(id), "lua", "SUBR", id) then
			return	-- there is no such channel
		end
		group = groups[id] or new_group()	-- others may have subscribed in the meantime
		groups[id] = group
	end
	if not group.members[source] then
		group.members[source] = true
		group.count = group.count + 1
	end
end

function command.USUB(source, id)
	local group = groups[id]
	if group and group.members[source] then
		group.members[source] = nil
		group.count = group.count - 1
		if group.count == 0 and not is_own(id) then
			groups[id] = nil
			skynet.send(owner_of(id), "lua", "USUBR", id)
		end
	end
	return NO_REPLY
end

function command.DEL(_, id)
	if not is_own(id) then
		skynet.send(owner_of(id), "lua", "DEL", id)
		return NO_REPLY
	end
	local nodes = subscribed_nodes[id]
	groups[id], subscribed_nodes[id] = nil, nil
	for manager in pairs(nodes or {}) do
		skynet.send(manager, "lua", "DELR", id)
	end
	return NO_REPLY
end

-- From other nodes: `source` is their multicastd.

-- True means that there is no such channel.
function command.SUBR(source, id)
	if not groups[id] then
		return true
	end
	subscribed_nodes[id] = subscribed_nodes[id] or {}
	subscribed_nodes[id][source] = true
end

function command.USUBR(source, id)
	local nodes = subscribed_nodes[id]
	if nodes then
		nodes[source] = nil
	end
	return NO_REPLY
end

function command.DELR(_, id)
	groups[id] = nil
	return NO_REPLY
end

skynet.start(function()
	skynet.dispatch("lua", function(_, source, name, ...)
		local reply = assert(command[name])(source, ...)
		if reply ~= NO_REPLY then
			skynet.retpack(reply)
		end
	end)
	assert(datacenter.set("multicast", here, skynet.self()) == nil)
end)

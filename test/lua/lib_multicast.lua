-- skynet.multicast on one node.

local skynet = require "skynet"
local multicast = require "skynet.multicast"

local mode, parent = ...

if mode == "peer" then
	local channels = {}
	local act = {}
	function act.subscribe(id)
		channels[id] = multicast.new {
			channel = id,
			dispatch = function(channel, source, ...)
				skynet.send(tonumber(parent), "lua", channel.channel, source, ...)
			end,
		}
		channels[id]:subscribe()
	end
	function act.unsubscribe(id) channels[id]:unsubscribe() end
	function act.publish(id, ...) channels[id]:publish(...) end
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, what, ...)
			act[what](...)
			skynet.ret()
		end)
	end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, case = check.eq, check.raises, check.case

check.run(function()
	local inbox = {}
	skynet.dispatch("lua", function(_, from, ...) table.insert(inbox, { from, ... }) end)
	local function arrive(count)
		check.wait(function() return #inbox >= count end, 3, count .. " messages")
		skynet.sleep(2)
		eq(#inbox, count)
		local messages = inbox
		inbox = {}
		table.sort(messages, function(a, b) return a[1] < b[1] end)
		return messages
	end

	local channel = multicast.new()
	local peers = {}
	for i = 1, 3 do peers[i] = skynet.newservice("lib_multicast", "peer", skynet.self()) end

	case("channel objects", function()
		eq(math.type(channel.channel), "integer")
		eq(tostring(channel), string.format("[Multicast:%x]", channel.channel))
		assert(multicast.new().channel ~= channel.channel)
	end)
	case("nobody listens", function()
		channel:publish("unheard", 1)
	end)
	case("publish to all", function()
		for i = 1, 3 do skynet.call(peers[i], "lua", "subscribe", channel.channel) end
		channel:publish("hello", nil, { 1 })
		local messages = arrive(3)
		for i = 1, 3 do eq(messages[i], { peers[i], channel.channel, skynet.self(), "hello", nil, { 1 } }) end
	end)
	case("any subscriber publishes", function()
		skynet.call(peers[1], "lua", "publish", channel.channel, "from a peer")
		local messages = arrive(3)
		eq(messages[2], { peers[2], channel.channel, peers[1], "from a peer" })
	end)
	case("order of one publisher", function()
		for i = 1, 50 do channel:publish(i) end
		check.wait(function() return #inbox == 150 end)
		local last = {}
		for _, message in ipairs(inbox) do
			eq(message[4], (last[message[1]] or 0) + 1)
			last[message[1]] = message[4]
		end
		inbox = {}
	end)
	case("unsubscribe", function()
		skynet.call(peers[3], "lua", "unsubscribe", channel.channel)
		skynet.call(peers[3], "lua", "unsubscribe", channel.channel)
		channel:publish "to two"
		eq(#arrive(2), 2)
	end)
	case("packers of its own, handlers that fail", function()
		local got
		local mine = multicast.new {
			pack = function(text) return skynet.pack("packed " .. text) end,
			unpack = function(...) return "unpacked", skynet.unpack(...) end,
			dispatch = function(_, source, ...)
				got = { source, ... }
				error "on purpose"
			end,
		}
		mine:subscribe()
		mine:subscribe()
		for _ = 1, 2 do
			got = nil
			mine:publish "text"
			check.wait(function() return got end)
			eq(got, { skynet.self(), "unpacked", "packed text" })
		end
		mine:unsubscribe()
		mine:unsubscribe()
	end)
	case("a channel that does not exist", function()
		local ghost = multicast.new { channel = 0x7700 }
		ghost:subscribe()
		ghost:publish "unheard"
		ghost:unsubscribe()
	end)
	case("delete", function()
		channel:delete()
		eq(channel.channel, nil)
		raises("assertion failed!", channel.publish, channel, 1)
		raises("assertion failed!", channel.subscribe, channel)
		raises("assertion failed!", channel.delete, channel)
	end)
end)

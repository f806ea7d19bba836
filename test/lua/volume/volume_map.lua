-- What `memory.map` says of a node in four situations. Started by test/memory.rs, which reads the figures
-- from the log.
local skynet = require "skynet"
require "skynet.manager"
local memory = require "skynet.memory"

local SERVICES <const> = 1000
local MESSAGES <const> = 2000
local SIZE <const> = 10000

local role = ...

if role == "guest" then
	skynet.start(function() skynet.dispatch("lua", function() skynet.ret() end) end)
	return
elseif role == "busy" then
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, go)
			if go then
				skynet.setenv("busy", "yes")
				while not skynet.getenv "done" do end
			end
		end)
	end)
	return
end

local function show(what)
	collectgarbage()
	local map = memory.map()
	local words = {}
	for name, value in pairs(map) do
		if name ~= "services" then table.insert(words, name .. "=" .. value) end
	end
	local count, small = 0, 0
	for _, service in pairs(map.services) do
		count = count + 1
		if service.lua < 8000 and service.lua > 0 then small = small + 1 end
	end
	table.insert(words, "services=" .. count)
	table.insert(words, "small=" .. small)
	skynet.error("map", what, table.concat(words, " "))
end

local function wait_for(what)
	for _ = 1, 6000 do
		if what() then return end
		skynet.sleep(1)
	end
	error "it does not come"
end

local function alive(handles)
	local map = memory.map().services
	for _, handle in ipairs(handles) do
		if map[handle] then return true end
	end
end

skynet.start(function()
	skynet.fork(function()
		skynet.sleep(50)
		show "empty"
		local guests = {}
		for i = 1, SERVICES do guests[i] = skynet.newservice("volume_map", "guest") end
		show "services"
		for _, guest in ipairs(guests) do skynet.kill(guest) end
		wait_for(function() return not alive(guests) end)
		show "exit"
		guests = nil
		local busy = skynet.newservice("volume_map", "busy")
		skynet.send(busy, "lua", true)
		wait_for(function() return skynet.getenv "busy" end)
		local text = ("x"):rep(SIZE)
		for _ = 1, MESSAGES do skynet.send(busy, "lua", false, text) end
		show "messages"
		skynet.setenv("done", "yes")
		wait_for(function() return memory.map().messages < SIZE end)
		show "handled"
		skynet.error "complete"
	end)
end)

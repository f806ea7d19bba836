-- skynet.datasheet.builder: makes datasheets and their new versions.  A manager service, which this module starts,
-- tells services which document is the newest; the documents are strings of the service that made them.

local skynet = require "skynet"
local service = require "skynet.service"
local core = require "skynet.datasheet.core"
local dump = require "skynet.datasheet.dump"

local M = {}

-- The manager.  It travels as byte code, so it captures nothing.
local function manager()
	local skynet = require "skynet"

	local newest = {}	-- name -> address of the document
	local waiting = {}	-- name -> { [response] = address of a service }
	local users = {}	-- document -> number of holds
	local done = {}	-- document -> response, of those that were replaced
	local held = {}	-- address of a service -> { [document] = true }

	local function release(document)
		users[document] = users[document] - 1
		if users[document] == 0 and done[document] then
			done[document](true)
			done[document], users[document] = nil, nil
		end
	end

	local function watch(client)
		pcall(skynet.call, client, "debug", "LINK")
		local documents = held[client]
		held[client] = nil
		for document in pairs(documents) do
			release(document)
		end
		for _, responses in pairs(waiting) do
			for response, address in pairs(responses) do
				if address == client then
					responses[response] = nil
				end
			end
		end
	end

	local function use(client, document)
		if not held[client] then
			held[client] = {}
			skynet.fork(watch, client)
		end
		if not held[client][document] then
			held[client][document] = true
			users[document] = users[document] + 1
		end
		return document
	end

	local command = {}

	function command.publish(_, name, document)
		users[document] = 0
		newest[name] = document
		local responses = waiting[name] or {}
		waiting[name] = nil
		for response, client in pairs(responses) do
			response(true, use(client, document))
		end
		skynet.ret()
	end

	-- Answers when nobody uses a document that has been replaced.
	function command.retired(_, document)
		done[document] = skynet.response()
		users[document] = users[document] + 1
		release(document)
	end

	function command.query(client, name)
		skynet.ret(skynet.pack(use(client, assert(newest[name], name))))
	end

	function command.monitor(client, name, document)
		if newest[name] ~= document then
			skynet.ret(skynet.pack(use(client, newest[name])))
		else
			waiting[name] = waiting[name] or {}
			waiting[name][skynet.response()] = client
		end
	end

	function command.release(client, document)
		if held[client] and held[client][document] then
			held[client][document] = nil
			release(document)
		end
	end

	skynet.start(function()
		skynet.dispatch("lua", function(_, source, name, ...)
			command[name](source, ...)
		end)
	end)
end

local address
skynet.init(function()
	address = service.new("datasheet", manager)
end)

local sheets = {}	-- name -> the newest document
local kept = {}	-- address of a document -> the document, while somebody may read it

M.compile = dump.dump

local function document_of(v)
	return type(v) == "string" and v or dump.dump(v)
end

local function publish(name, document)
	local before = sheets[name]
	local ptr = core.stringpointer(document)
	kept[ptr] = document
	sheets[name] = document
	skynet.call(address, "lua", "publish", name, ptr)
	if before then
		skynet.fork(function()
			local old = core.stringpointer(before)
			skynet.call(address, "lua", "retired", old)
			kept[old] = nil
		end)
	end
end

function M.new(name, v)
	assert(sheets[name] == nil)
	publish(name, document_of(v))
end

function M.update(name, v)
	local last = assert(sheets[name])
	publish(name, dump.diff(last, document_of(v)))
end

return M

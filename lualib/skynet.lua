-- skynet: what a Lua service talks to the world with - messages, threads, timers, other services.
--
-- How it works.  The core hands every message to dispatch_message, one at a time.  A request gets a *fiber*: a
-- pooled coroutine with its record (who asked, for which session, trace tag ...).  A fiber that blocks parks itself
-- under a session number in `waiting` and yields; the reply, timer or error with that session resumes it.  Nothing
-- resumes a fiber but dispatch_message and `run`, and `run` is only called from there, so fibers never nest: what a
-- fiber sets in motion (wakeups, failed calls, forks) is queued, and `settle` works the queues off before the next
-- message.
--
-- A node has many services and most of them use little of this, so every service has only what it needs.  Outermost
-- lies what starts a service and hands it messages.  In it lies `open_library`, a function around what most services
-- use sooner or later, and in that `open_tools` around the rest.  Each is called when something of it is asked for the
-- first time, and puts its public functions into the table `skynet`, as if they had always been there.  That they are
-- nested, and not files, lets them share local variables.

local core = require "skynet.core"
local require_lib = require "skynet.require"

-- snlua has replaced coroutine.resume by the version that keeps the accounts of skynet.profile
local co_resume, co_yield = coroutine.resume, coroutine.yield

-- What a script may do to the globals later is none of our business.
local assert, error, ipairs, next, pairs, pcall, select = assert, error, ipairs, next, pairs, pcall, select
local setmetatable, tostring, type, xpcall = setmetatable, tostring, type, xpcall
local co_create, co_running, co_close, co_status = coroutine.create, coroutine.running, coroutine.close, coroutine.status
local traceback = debug.traceback
local debug, math, string, table = debug, math, string, table

local RESPONSE <const> = 1
local ERROR <const> = 7
local DEBUG <const> = 9
local LUA <const> = 10
local TRACE <const> = 12

local protos	-- by name and by id

local skynet = {
	init = require_lib.init,
	dispatch = nil,
	dispatch_message = nil,
	init_service = nil,
	exit = nil,
	start = nil,
}

local library	-- functions for dispatch_message and its likes; nil while the library is closed
local open_library

-- ---------------------------------------------------------------- fibers

-- What a fiber says when it yields.  Anything else comes from user code that yields by itself.
local PARKED <const> = "PARKED"
local IDLE <const> = "IDLE"
local QUIT <const> = "QUIT"

-- session -> the fiber parked there, or an object with a `deliver` method (CANCELLED, the slots of skynet.request)
local waiting = {}

local trace_tags	-- source -> tag for its next message; nil before the first tag comes
local faults	-- error texts of the fibers that died during the current message; nil if none did
local unsettled = false	-- anything in the queues of settle?
local starter	-- the thread of the start function, until it has returned

-- At most this many finished fibers are kept for the next requests.
local IDLE_MAX <const> = 256
local idle	-- the latest of them; `next` leads to the one before
local idle_count = 0

local nobody = {}	-- the record of "no fiber": the main chunk, the dispatcher
local current = nobody

-- Body of every fiber: one function after the other.  Fixed parameters are cheaper than `...`.
local function fiber_loop(f, fiber, a, b, c)
	while true do
		f(fiber, a, b, c)
		local tag = fiber.tag
		if tag then
			core.trace(tag, "end")
		end
		fiber.tag = nil
		fiber.session = nil
		fiber.source = nil
		if idle_count >= IDLE_MAX then
			return
		end
		idle_count = idle_count + 1
		fiber.next = idle
		idle = fiber
		f, fiber, a, b, c = co_yield(IDLE)
	end
end

local function new_fiber()
	return {
		co = co_create(fiber_loop),	-- the coroutine
		session = nil,	-- of the request it serves; nil when there is none or it has been answered
		source = nil,	-- who sent that request
		why = nil,	-- what it is parked for: "call", "sleep", "wait", "timer"
		callee = nil,	-- address of the last call
		entry = nil,	-- function (fork, timeout) that is to be started yet
		next = nil,	-- in the list of the idle ones
		-- and seldom, so that there is no room for them:
		-- tag: trace tag; false when tracing is forced off
		-- token: of sleep and wait
		-- label: trace_timeout: who started the timer
	}
end

-- A fiber, for the request of a session of a source if it is for one.
local function take_fiber(session, source)
	local fiber = idle
	if fiber then
		idle = fiber.next
		fiber.next = nil
		idle_count = idle_count - 1
	else
		local made
		made, fiber = pcall(new_fiber)
		if not made then
			if session and session ~= 0 and source ~= 0 then
				core.send(source, ERROR, session, "")
			end
			error(fiber, 0)
		end
	end
	fiber.session = session
	fiber.source = source
	return fiber
end

-- A fiber has run as far as it can; called with what resume returned.  The request of one that died has been answered
-- before, by whoever resumed it: the call of core.send there needs no memory, of which there may be none, because it is
-- as deep as that of resume was.
local function came_back(fiber, ok, signal)
	current = nobody
	if ok and (signal == PARKED or signal == IDLE) then
		return
	elseif not ok or signal ~= QUIT then
		if not ok and not library and not pcall(open_library) then	-- there is no memory for it
			co_close(fiber.co)
			error(signal, 0)
		end
		(library or open_library()).came_back_odd(fiber, ok, signal)
		return
	end
	-- skynet.exit: the to-be-closed variables of the fiber run as part of it
	current = fiber
	local closed, reason = co_close(fiber.co)
	current = nobody
	if not closed then
		faults = faults or {}
		faults[#faults + 1] = tostring(reason)
	end
	if library then
		library.drop_queues()
	end
end

-- Function of a fiber made by fork or timeout.
local function run_entry(fiber)
	local entry = fiber.entry
	fiber.entry, fiber.label = nil, nil
	return entry()
end

-- ---------------------------------------------------------------- dispatching

local function reply_arrived(msg, sz, session, source)
	local waiter = waiting[session]
	if waiter == nil then
		(library or open_library()).stray_reply(session, source, msg, sz)
		return
	end
	waiting[session] = nil
	if not waiter.co then
		waiter:deliver(true, msg, sz)
		return
	end
	if waiter.tag then
		core.trace(waiter.tag, "resume")
	end
	current = waiter
	local ok, signal
	if waiter.entry then	-- a timer: only now its fiber begins
		ok, signal = co_resume(waiter.co, run_entry, waiter)
	else
		ok, signal = co_resume(waiter.co, true, msg, sz)
	end
	if not ok then
		local request, source = waiter.session, waiter.source
		waiter.session = nil
		if request and request ~= 0 and source ~= 0 then
			core.send(source, ERROR, request, "")
		end
	end
	came_back(waiter, ok, signal)
end

-- Body of the fiber of a request.
local function serve(fiber, class, msg, sz)
	local handler = class.dispatch
	handler(fiber.session, fiber.source, class.unpack(msg, sz))
	local session = fiber.session
	if session and session ~= 0 then
		(library or open_library()).not_answered(fiber, handler)
	end
end

function skynet.dispatch_message(ptype, msg, sz, session, source)
	if ptype == RESPONSE then
		reply_arrived(msg, sz, session, source)
	else
		local class = protos[ptype]
		if class and class.dispatch then
			local fiber = take_fiber(session, source)
			if trace_tags or class.trace ~= nil then
				(library or open_library()).begin_trace(fiber, class.trace, source)
			end
			current = fiber
			local ok, signal = co_resume(fiber.co, serve, fiber, class, msg, sz)
			if not ok then
				session, source = fiber.session, fiber.source
				fiber.session = nil
				if session and session ~= 0 and source ~= 0 then
					core.send(source, ERROR, session, "")
				end
			end
			came_back(fiber, ok, signal)
		else
			(library or open_library()).refuse(class, ptype, msg, sz, session, source)
		end
	end
	if unsettled then
		library.settle()
	end
	if faults then
		(library or open_library()).raise_faults()
	end
end

function skynet.dispatch(typename, func)
	local class = protos[typename]
	if func == nil then
		return class and class.dispatch
	end
	local before = class.dispatch
	class.dispatch = func
	return before
end

-- ---------------------------------------------------------------- start

function skynet.init_service(func)
	starter = co_running()
	local ok, reason = xpcall(function()
		require_lib.init_all()
		func()
	end, traceback)
	starter = nil
	if ok then
		core.send(".launcher", LUA, 0, core.pack "LAUNCHOK")
	else
		skynet.error("init service failed: " .. tostring(reason))
		skynet.send(".launcher", "lua", "ERROR")
		skynet.exit()
	end
end

function skynet.start(func)
	core.callback(skynet.dispatch_message)
	-- the first message is a timer that is due
	local fiber = take_fiber()
	fiber.why = "timer"
	fiber.entry = function()
		return skynet.init_service(func)
	end
	waiting[core.intcommand("TIMEOUT", 0)] = fiber
	starter = fiber.co
end

function skynet.exit()
	local me = current
	if library then
		library.drop_queues()
	end
	core.send(".launcher", LUA, 0, core.pack("REMOVE", core.addresscommand "REG", false))
	local session, source = me.session, me.source
	me.session = nil
	if session and session ~= 0 and source ~= 0 then
		core.send(source, ERROR, session, "")
	end
	if library then	-- else nothing else is under way
		library.leave(me)
	end
	core.callback(function(_, _, _, session, source)
		if session ~= 0 and source ~= 0 then
			core.send(source, ERROR, session, "")
		end
	end)
	core.command "EXIT"
	co_yield(QUIT)
end

-- ---------------------------------------------------------------- library

-- Makes what most services use and returns `library`, with the functions that the outer part of this file calls; the
-- public ones are in its field `api`.
function open_library()

	local core_send, core_genid, tracelog = core.send, core.genid, core.trace

	local api = {}
	local inner = { api = api }

	-- ------------------------------------------------------------ queues

	-- First in, first out; holds anything but nil.
	local function new_queue()
		return { head = 1, tail = 0 }
	end

	local function push(queue, value)
		local tail = queue.tail + 1
		queue.tail = tail
		queue[tail] = value
	end

	local function pop(queue)
		local head = queue.head
		local value = queue[head]
		if value ~= nil then
			queue[head] = nil
			if head == queue.tail then
				queue.head, queue.tail = 1, 0
			else
				queue.head = head + 1
			end
		end
		return value
	end

	-- ------------------------------------------------------------ fibers

	-- skynet.coroutine yields this one; a fiber must never show it to the scheduler.
	local USER <const> = "skynet.coroutine.yield"

	local BREAK <const> = "BREAK"

	-- Stands in `waiting` where an answer is still to come that nobody wants any more.
	local CANCELLED = { deliver = function() end }

	local sleepers = {}	-- token of sleep/wait -> session
	local detached = {}	-- set of the open skynet.response objects
	local strays = {}	-- set of the fibers that user code made yield to nowhere

	-- Work for settle(), in this order of precedence.
	local woken = new_queue()	-- sessions of awakened sleepers
	local failed = new_queue()	-- sessions of calls that will never be answered
	local forks = new_queue()	-- fibers that have not started

	local function add_fault(text)
		faults = faults or {}
		faults[#faults + 1] = text
	end

	-- Answers the request of a fiber that cannot do it any more.
	local function fail_request(fiber)
		local session, source = fiber.session, fiber.source
		fiber.session = nil
		if session and session ~= 0 and source ~= 0 then
			core_send(source, ERROR, session, "")
		end
	end

	-- Ends a fiber, which may have died of `reason`: its to-be-closed variables run as part of it.
	local function close_fiber(fiber, reason)
		local closer = current
		current = fiber
		local ok, failure = co_close(fiber.co)
		current = closer
		if not ok and failure ~= reason then
			add_fault(tostring(failure))
		end
	end

	local function describe(fiber, reason)
		add_fault(traceback(fiber.co, tostring(reason)))
	end

	local function crashed(fiber, reason)
		fail_request(fiber)
		if fiber.tag then
			tracelog(fiber.tag, "error")
		end
		local told, failure = pcall(describe, fiber, reason)
		close_fiber(fiber, reason)
		if not told then	-- no memory, or a __tostring that fails
			error(failure, 0)
		end
	end

	function inner.drop_queues()
		woken, failed, forks = new_queue(), new_queue(), new_queue()
		unsettled = false
	end

	-- A fiber has ended, or came back with a signal that is not ours.
	local function wandered(fiber, signal)
		if signal == nil then
			-- it ended, or it yielded by hand, and whoever did that resumes it
			if co_status(fiber.co) == "suspended" then
				strays[fiber] = true
			end
		else
			local text = "Unknown command : " .. tostring(signal)
			if signal == USER then
				text = "Call skynet.coroutine.yield out of skynet.coroutine.resume"
			end
			crashed(fiber, text)
		end
	end

	function inner.came_back_odd(fiber, ok, signal)
		if ok then
			wandered(fiber, signal)
		else
			crashed(fiber, signal)
		end
	end

	local function run(fiber, ...)
		current = fiber
		local ok, signal = co_resume(fiber.co, ...)
		if not ok then
			local session, source = fiber.session, fiber.source
			fiber.session = nil
			if session and session ~= 0 and source ~= 0 then
				core_send(source, ERROR, session, "")
			end
		end
		came_back(fiber, ok, signal)
	end

	-- Lets the current fiber wait for `session`.  Returns true and the message, false for an error, or BREAK.
	local function park(fiber, session, why)
		waiting[session] = fiber
		fiber.why = why
		return co_yield(PARKED)
	end

	-- Whoever waits for `session` gets the answer `how`.
	local function deliver(session, how)
		local waiter = waiting[session]
		if waiter == nil or waiter == CANCELLED then
			return	-- killed in the meantime
		end
		waiting[session] = nil
		if waiter.co then
			if how and waiter.tag then
				tracelog(waiter.tag, "resume")
			end
			run(waiter, how)
		else
			waiter:deliver(how)
		end
	end

	local function settle()
		while true do
			local session = pop(woken)
			if session then
				deliver(session, BREAK)
			else
				session = pop(failed)
				if session then
					deliver(session, false)
				else
					local fiber = pop(forks)
					if not fiber then
						break
					end
					if fiber.entry then	-- else killthread was here
						run(fiber, run_entry, fiber)
					end
				end
			end
		end
		unsettled = false
	end
	inner.settle = settle

	function inner.raise_faults()
		local list = faults
		faults = nil
		error(table.concat(list, "\n"), 0)
	end

	-- ------------------------------------------------------------ sessions

	-- The core counts sessions up to 2^31-1 and starts again at 1.  In the second half of that range and ever after,
	-- a number may come up that somebody here still waits for, so look ahead before a new one is allocated.
	local HALF <const> = 0x3fffffff
	local LAST <const> = 0x7fffffff
	local careful = false

	local function skip_used_sessions()
		local session
		repeat
			session = core_genid()
		until waiting[session % LAST + 1] == nil
	end

	function api.genid()
		local session
		repeat
			session = core_genid()
		until waiting[session] == nil
		return session
	end

	-- Sends a request; returns its session, nil if there is no such address, false if the message is too large.
	local function send_request(addr, id, msg, sz)
		if careful then
			skip_used_sessions()
		end
		local session = core_send(addr, id, nil, msg, sz)
		if session and session > HALF then
			careful = true
		end
		return session
	end

	local function start_timer(ti)
		if careful then
			skip_used_sessions()
		end
		local session = core.intcommand("TIMEOUT", ti)
		assert(session)
		if session > HALF then
			careful = true
		end
		return session
	end

	-- An addition of our core; nil on another one.
	local timeout_cancel = core.timeout_cancel

	-- Nobody wants the timer of `session` any more.
	local function drop_timer(session)
		if timeout_cancel and timeout_cancel(skynet.self(), session) then
			waiting[session] = nil
		else
			waiting[session] = CANCELLED	-- its message is still to come
		end
	end

	-- ------------------------------------------------------------ addresses, environment

	function api.address(addr)
		if math.type(addr) == "integer" then
			return string.format(":%08x", addr)
		end
		return tostring(addr)
	end

	local self_handle
	function api.self()
		self_handle = self_handle or core.addresscommand "REG"
		return self_handle
	end

	function api.getenv(key)
		return (core.command("GETENV", key))
	end

	local started_at
	function api.starttime()
		started_at = started_at or core.intcommand "STARTTIME"
		return started_at
	end

	function api.time()
		return core.now() / 100 + skynet.starttime()
	end

	-- ------------------------------------------------------------ protocols, sending

	function api.register_protocol(class)
		local name, id = class.name, class.id
		assert(protos[name] == nil and protos[id] == nil)
		assert(type(name) == "string" and math.type(id) == "integer" and id >= 0 and id <= 255)
		protos[name], protos[id] = class, class
	end

	function api.send(addr, typename, ...)
		local class = protos[typename]
		return core_send(addr, class.id, 0, class.pack(...))
	end

	function api.rawsend(addr, typename, msg, sz)
		return core_send(addr, protos[typename].id, 0, msg, sz)
	end

	function api.redirect(dest, source, typename, session, ...)
		if session == nil and careful then
			skip_used_sessions()
		end
		return core.redirect(dest, source, protos[typename].id, session, ...)
	end

	-- ------------------------------------------------------------ calling

	local function wait_reply(fiber, session, callee)
		fiber.callee = callee
		local ok, msg, sz = park(fiber, session, "call")
		if not ok then
			error "call failed"
		end
		return msg, sz
	end

	function api.call(addr, typename, ...)
		local fiber = current
		local tag = fiber.tag
		if tag then
			tracelog(tag, "call", 2)
			core_send(addr, TRACE, 0, tag)
		end
		local class = protos[typename]
		local session = send_request(addr, class.id, class.pack(...))
		if not session then
			error("call to invalid address " .. skynet.address(addr))
		end
		return class.unpack(wait_reply(fiber, session, addr))
	end

	function api.rawcall(addr, typename, msg, sz)
		local fiber = current
		local tag = fiber.tag
		if tag then
			tracelog(tag, "call", 2)
			core_send(addr, TRACE, 0, tag)
		end
		local session = send_request(addr, protos[typename].id, msg, sz)
		if not session then
			error "call to invalid address"
		end
		return wait_reply(fiber, session, addr)
	end

	-- ------------------------------------------------------------ replying

	function api.context()
		return current.session, current.source
	end

	function api.ignoreret()
		current.session = nil
	end

	function api.ret(msg, sz)
		local fiber = current
		local session = fiber.session
		if session == nil then
			error "No session"
		end
		msg = msg or ""
		if fiber.tag then
			tracelog(fiber.tag, "response")
		end
		if session == 0 then
			fiber.session = nil
			if sz ~= nil then
				core.trash(msg, sz)
			end
			return false
		end
		local sent = core_send(fiber.source, RESPONSE, session, msg, sz)
		fiber.session = nil	-- not earlier: if send raises, the request is still to be failed
		if sent == false then
			core_send(fiber.source, ERROR, session, "")
		end
		return sent and true or false
	end

	function api.retpack(...)
		return skynet.ret(skynet.pack(...))
	end

	-- A response object is open, and in `detached`, until it is used or the requester is gone.
	local function respond(pending, ok, pack, ...)
		local source, session = pending.source, pending.session
		local sent
		if ok then
			sent = core_send(source, RESPONSE, session, pack(...))
			if sent == false then	-- too large
				core_send(source, ERROR, session, "")
			end
		else
			sent = core_send(source, ERROR, session, "")
		end
		detached[pending] = nil
		return sent and true or false
	end

	local function no_response() end

	function api.response(pack)
		local fiber = current
		local session = fiber.session
		if session == nil then
			error "no session"
		end
		fiber.session = nil
		if session == 0 then
			return no_response
		end
		pack = pack or skynet.pack
		local pending = { source = fiber.source, session = session }
		detached[pending] = true
		return function(ok, ...)
			local open = detached[pending]
			if ok == "TEST" then
				return open or false
			elseif not pending.session then
				error "Can't response more than once"
			end
			local delivered = open and respond(pending, ok, pack, ...) or false
			pending.session = nil
			return delivered
		end
	end

	function inner.not_answered(fiber, handler)
		local where = debug.getinfo(handler, "S")
		skynet.error(string.format("Maybe forgot response session %s from %s : %s:%d", fiber.session,
			skynet.address(fiber.source), where.source, where.linedefined))
	end

	-- ------------------------------------------------------------ threads

	function api.fork(func, ...)
		local fiber = take_fiber()
		local n = select("#", ...)
		if n == 0 then
			fiber.entry = func
		else
			local args = { ... }
			fiber.entry = function()
				return func(table.unpack(args, 1, n))
			end
		end
		push(forks, fiber)
		unsettled = true
		return fiber.co
	end

	local label_timers = false

	function api.timeout(ti, func)
		local session = start_timer(ti)
		local fiber = take_fiber()
		assert(waiting[session] == nil)
		waiting[session] = fiber
		fiber.entry = func
		fiber.why = "timer"
		if label_timers then
			fiber.label = traceback(string.format("TIMER %d+%d : ", core.now(), ti), 2)
		end
		return fiber.co
	end

	-- Parks the current fiber under `token`, so that wakeup(token) finds it.
	local function park_named(token, session, why)
		local fiber = current
		if fiber.tag then
			tracelog(fiber.tag, "sleep", 3)
		end
		sleepers[token] = session
		fiber.token = token
		local how = park(fiber, session, why)
		fiber.token = nil
		sleepers[token] = nil
		return how
	end

	local function free_token(token)
		if token == nil then
			token = co_running()
		end
		if sleepers[token] then
			error("token duplicative", 3)
		end
		return token
	end

	function api.sleep(ti, token)
		token = free_token(token)
		local session = start_timer(ti)
		if park_named(token, session, "sleep") == BREAK then
			drop_timer(session)
			return BREAK
		end
	end

	function api.yield()
		return skynet.sleep(0)
	end

	function api.wait(token)
		token = free_token(token)
		park_named(token, skynet.genid(), "wait")
	end

	function api.wakeup(token)
		local session = sleepers[token]
		if session then
			push(woken, session)
			unsettled = true
			return true
		end
	end

	-- ------------------------------------------------------------ messages that no handler takes

	local function unknown_request(session, address, msg, sz, name)
		skynet.error(string.format("Unknown request (%s): %s", name, core.tostring(msg, sz)))
		error(string.format("Unknown session : %d from %x", session, address))
	end

	local function unknown_response(session, address, msg, sz)
		skynet.error(string.format("Response message : %s", core.tostring(msg, sz)))
		error(string.format("Unknown session : %d from %x", session, address))
	end

	local function guarded(f, ...)
		local ok, reason = pcall(f, ...)
		if not ok then
			add_fault(tostring(reason))
		end
	end

	function inner.refuse(class, ptype, msg, sz, session, source)
		if class == nil and ptype == TRACE then
			trace_tags = trace_tags or {}
			trace_tags[source] = core.tostring(msg, sz)
		elseif session ~= 0 then
			core_send(source, ERROR, session, "")
		else
			guarded(unknown_request, session, source, msg, sz, class and class.name or ptype)
		end
	end

	function inner.stray_reply(session, source, msg, sz)
		guarded(unknown_response, session, source, msg, sz)
	end

	-- ------------------------------------------------------------ tracing

	-- Gives a new request its tag.
	function inner.begin_trace(fiber, flag, source)
		local announced = trace_tags and trace_tags[source]	-- what its sender sent ahead
		if announced then
			trace_tags[source] = nil
		end
		if flag == false then
			fiber.tag = false
		elseif announced then
			fiber.tag = announced
			tracelog(announced, "request")
		elseif flag then
			current = fiber
			skynet.trace()
			current = nobody
		end
	end

	-- ------------------------------------------------------------ the end of others, and of this service

	-- No call to `address` will be answered any more, and nobody there waits for our responses.
	local function peer_gone(address)
		for session, waiter in pairs(waiting) do
			if waiter.why == "call" and waiter.callee == address then
				push(failed, session)
				unsettled = true
			end
		end
		for pending in pairs(detached) do
			if pending.source == address then
				detached[pending] = nil
			end
		end
	end

	function inner.error_arrived(session, source)
		skynet.ignoreret()	-- an error wants no answer
		if session == 0 then
			peer_gone(source)
			return
		end
		local waiter = waiting[session]
		if waiter == CANCELLED then
			waiting[session] = nil
		elseif waiter and waiter.why == "call" then
			push(failed, session)
			unsettled = true
		end
	end

	-- The part of skynet.exit that ends the other fibers.
	function inner.leave(me)
		local callees, victims = {}, {}
		for _, waiter in pairs(waiting) do
			if waiter.why == "call" and waiter.callee then
				callees[waiter.callee] = true
			end
			if waiter.co and waiter ~= me then
				victims[waiter] = true
			end
		end
		for fiber in pairs(strays) do
			if co_status(fiber.co) == "suspended" and fiber ~= me then
				victims[fiber] = true
			end
		end

		for fiber in pairs(victims) do
			fail_request(fiber)
		end
		for fiber in pairs(victims) do
			close_fiber(fiber)
		end
		for pending in pairs(detached) do
			core_send(pending.source, ERROR, pending.session, "")
			detached[pending] = nil
		end
		for callee in pairs(callees) do
			core_send(callee, ERROR, 0, "")
		end
	end

	-- ------------------------------------------------------------ other services

	function api.newservice(name, ...)
		return skynet.call(".launcher", "lua", "LAUNCH", "snlua", name, ...)
	end

	-- Commands of service_mgr: uniqueservice(name, ...) for the node, uniqueservice(true, name, ...) for the network.
	local function unique_service(for_network, for_node)
		return function(first, ...)
			local handle, reason
			if first == true then
				handle, reason = skynet.call(".service", "lua", for_network, ...)
			else
				handle, reason = skynet.call(".service", "lua", for_node, first, ...)
			end
			return handle or error(reason)
		end
	end

	api.uniqueservice = unique_service("GLAUNCH", "LAUNCH")
	api.queryservice = unique_service("GQUERY", "QUERY")

	-- ------------------------------------------------------------ tools

	-- What few services use.
	function inner.define_tools()

		local tools = {}

		-- -------------------------------------------------------- addresses, environment

		function tools.localname(name)
			return core.addresscommand("QUERY", name)
		end

		function tools.setenv(key, value)
			if skynet.getenv(key) ~= nil then
				error("Can't setenv exist key : " .. key)
			end
			core.command("SETENV", key .. " " .. value)
		end

		-- -------------------------------------------------------- timers in milliseconds

		-- An addition of our core; nil on another one.
		local timeout_ms = core.timeout_ms

		-- Without the addition, as many ticks as it takes.
		local function start_timer_ms(ms)
			if not timeout_ms then
				return start_timer((ms + 9) // 10)
			end
			local session = skynet.genid()
			timeout_ms(skynet.self(), ms, session)
			return session
		end

		-- Nobody asks for the thread of such a timer, so it gets its fiber when it is due.
		local function timer_due(timer)
			local fiber = take_fiber()
			fiber.entry = timer.entry
			run(fiber, run_entry, fiber)
		end

		-- As skynet.timeout, in milliseconds and never early; returns a token for skynet.cancel.
		function tools.timeout_ms(ms, func)
			local session = start_timer_ms(ms)
			assert(waiting[session] == nil)
			waiting[session] = {
				deliver = timer_due,
				entry = func,
				label = label_timers and traceback(string.format("TIMER %d+%d ms : ", core.now(), ms), 2) or "TIMER",
			}
			return session
		end

		-- Takes back what skynet.timeout_ms has started.  True if its function has not begun, and now it never will.
		function tools.cancel(token)
			local timer = waiting[token]
			if not timer or timer.deliver ~= timer_due then
				return false
			end
			drop_timer(token)
			return true
		end

		-- As skynet.sleep, in milliseconds and never early.
		function tools.sleep_ms(ms, token)
			token = free_token(token)
			local session = start_timer_ms(ms)
			if park_named(token, session, "sleep") == BREAK then
				drop_timer(session)
				return BREAK
			end
		end

		function tools.trace_timeout(on)
			label_timers = on and true or false
		end

		-- -------------------------------------------------------- threads

		-- Ends a fiber that is parked under `session`.
		local function kill_parked(fiber, session)
			if fiber.why == "wait" then
				waiting[session] = nil
			elseif fiber.why == "call" then
				waiting[session] = CANCELLED	-- its answer is still to come
			else
				drop_timer(session)
			end
			local token = fiber.token
			if token ~= nil and sleepers[token] == session then
				sleepers[token] = nil
			end
			fail_request(fiber)
			close_fiber(fiber)
		end

		function tools.killthread(thread)
			local function wanted(co)
				if type(thread) == "string" then
					return string.find(tostring(co), thread) ~= nil
				end
				return co == thread
			end
			for i = forks.head, forks.tail do
				local fiber = forks[i]
				if fiber.entry and wanted(fiber.co) then
					fiber.entry = nil
					close_fiber(fiber)
					return fiber.co
				end
			end
			for session, waiter in pairs(waiting) do
				if waiter.co and wanted(waiter.co) then
					kill_parked(waiter, session)
					return waiter.co
				end
			end
		end

		-- -------------------------------------------------------- parallel calls

		local request = {}
		request.__index = request

		local function unpack_packed(unpack, msg, sz)
			return table.pack(unpack(msg, sz))
		end

		-- An answer arrived; `how` is true and a message, or false.
		local function slot_deliver(slot, how, msg, sz)
			local batch, values = slot.batch, false
			batch.open[slot.session] = nil
			if how == true then
				local ok, result = pcall(unpack_packed, slot.unpack, msg, sz)
				if ok then
					values = result
				else
					add_fault(tostring(result))
				end
			end
			push(batch.ready, { slot.entry, values })
			skynet.wakeup(batch)
		end

		local function slot_expire(slot)
			local batch = slot.batch
			batch.timer = nil
			batch.object.timeout = true
			skynet.wakeup(batch)
		end

		local function send_entry(batch, entry)
			local addr, class = entry[1], protos[entry[2]]
			local tag = current.tag
			if tag then
				tracelog(tag, "call", 3)
				core_send(addr, TRACE, 0, tag)
			end
			local session = send_request(addr, class.id, class.pack(table.unpack(entry, 3, entry.n)))
			if not session then
				push(batch.ready, { entry })
				return
			end
			batch.open[session] = true
			waiting[session] = {
				deliver = slot_deliver,
				why = "call",
				callee = addr,
				batch = batch,
				session = session,
				entry = entry,
				unpack = class.unpack,
			}
		end

		local function next_answer(object)
			local batch = object._batch
			while true do
				local ready = pop(batch.ready)
				if ready then
					return ready[1], ready[2]
				end
				if object.timeout or next(batch.open) == nil then
					return
				end
				skynet.wait(batch)
			end
		end

		function request:add(entry)
			assert(type(entry) == "table" and not self._batch)
			self[#self + 1] = entry
			return self
		end

		request.__call = request.add

		function request:select(ti)
			assert(self._batch == nil)
			local batch = {
				object = self,
				owner = current,
				open = {},	-- set of the sessions that are not answered yet
				ready = new_queue(),	-- { entry, answer }
			}
			self._batch = batch
			for _, entry in ipairs(self) do
				send_entry(batch, entry)
			end
			if ti then
				local session = start_timer(ti)
				batch.timer = session
				waiting[session] = { deliver = slot_expire, why = "timer", batch = batch }
			end
			return next_answer, self, nil, self
		end

		function request:close()
			local batch = self._batch
			if batch then
				for session in pairs(batch.open) do
					waiting[session] = CANCELLED
				end
				batch.open = {}
				if batch.timer then
					drop_timer(batch.timer)
					batch.timer = nil
				end
			end
		end

		request.__close = request.close

		function tools.request(entry)
			local object = setmetatable({}, request)
			return entry and object:add(entry) or object
		end

		-- -------------------------------------------------------- tracing

		local trace_count = 0

		function tools.trace(info)
			local fiber = current
			skynet.error("TRACE", fiber.tag)
			if fiber.tag == false then
				return
			end
			trace_count = trace_count + 1
			fiber.tag = string.format(":%08x-%d", skynet.self(), trace_count)
			tracelog(fiber.tag, info and "trace " .. tostring(info) or "trace")
		end

		function tools.tracetag()
			return current.tag
		end

		function tools.traceproto(name, flag)
			local class = assert(protos[name])
			class.trace = flag
		end

		function tools.tracecall(tag, addr, typename, msg, sz)
			tracelog(tag, "tracecall begin")
			core_send(addr, TRACE, 0, tag)
			local session = send_request(addr, protos[typename].id, msg, sz)
			if not session then
				error "call to invalid address"
			end
			msg, sz = wait_reply(current, session, addr)
			tracelog(tag, "tracecall end")
			return msg, sz
		end

		-- -------------------------------------------------------- unknown messages, the end of others

		function tools.dispatch_unknown_request(f)
			local before = unknown_request
			unknown_request = f
			return before
		end

		function tools.dispatch_unknown_response(f)
			local before = unknown_response
			unknown_response = f
			return before
		end

		function tools.term(service)
			peer_gone(service)
		end

		-- -------------------------------------------------------- introspection

		function tools.memlimit(bytes)
			debug.getregistry().memlimit = bytes
			skynet.memlimit, tools.memlimit = nil, nil	-- snlua reads it once, after the main chunk
		end

		function tools.stat(what)
			return core.intcommand("STAT", what)
		end

		function tools.mqlen()
			return core.intcommand("STAT", "mqlen")
		end

		function tools.endless()
			return core.intcommand("STAT", "endless") == 1
		end

		-- The fiber behind an entry of `waiting`, nil if it is cancelled.
		local function fiber_of(waiter)
			if waiter.co then
				return waiter
			end
			return waiter.batch and waiter.batch.owner
		end

		local function where_is(waiter)
			if waiter.deliver == timer_due then
				return waiter.label
			end
			local fiber = fiber_of(waiter)
			if not fiber or not fiber.co then
				return BREAK
			end
			return fiber.label or traceback(fiber.co)
		end

		local function dump_tasks(into)
			for session, waiter in pairs(waiting) do
				local fiber = fiber_of(waiter)
				local who = fiber and fiber.co or waiter.deliver == timer_due and "timer" or BREAK
				into[string.format("%s session: %d", who, session)] = where_is(waiter)
			end
		end

		function tools.task(which)
			local kind = type(which)
			if which == nil then
				local count = 0
				for _ in pairs(waiting) do
					count = count + 1
				end
				return count
			elseif which == "init" then
				return starter and traceback(starter)
			elseif kind == "table" then
				dump_tasks(which)
			elseif kind == "thread" then
				for session, waiter in pairs(waiting) do
					if waiter.co == which then
						return session
					end
				end
			else
				local waiter = waiting[which]
				return waiter and where_is(waiter) or "No session"
			end
		end

		function tools.uniqtask()
			local groups = {}	-- text -> sessions
			for session, waiter in pairs(waiting) do
				local text = where_is(waiter)
				local group = groups[text]
				if not group then
					group = {}
					groups[text] = group
				end
				group[#group + 1] = session
			end
			local result = {}
			for text, sessions in pairs(groups) do
				local count = #sessions
				local listed = table.concat(sessions, ",", 1, math.min(count, 9))
				local more = count > 10 and "..." or ""
				result[string.format("%d\tsessions:[%s%s]\n", count, listed, more)] = text
			end
			return result
		end

		return tools
	end

	library = inner
	return inner
end

-- ---------------------------------------------------------------- built-in protocols

local lua = { name = "lua", id = LUA, pack = core.pack, unpack = core.unpack, dispatch = nil }

protos = { lua = lua, [LUA] = lua }

-- A library of ours that is loaded late: from where the service found the others, whatever its script made of the path.
local package, own_path = package, package.path
local function require_late(name)
	local path = package.path
	package.path = own_path
	local ok, result = pcall(require_lib.require, name)
	package.path = path
	if not ok then
		error(result, 0)
	end
	return result
end

-- The others are made when they are asked for.
local function find_proto(_, key)
	local class
	if key == ERROR or key == "error" then
		local function raw(...)
			return ...
		end
		class = { name = "error", id = ERROR, pack = raw, unpack = raw,
			dispatch = (library or open_library()).error_arrived }
	elseif key == DEBUG or key == "debug" then
		local handler
		class = { name = "debug", id = DEBUG, pack = core.pack, unpack = core.unpack, dispatch = function(...)
			handler = handler or require_late "skynet.debug".handler(skynet)
			return handler(...)
		end }
	elseif key == RESPONSE or key == "response" then
		class = { name = "response", id = RESPONSE }
	else
		return nil
	end
	protos[class.name], protos[class.id] = class, class
	return class
end

setmetatable(protos, { __index = find_proto })

-- The live table, with all there is.
local function all_protos()
	local _ = protos.error, protos.debug, protos.response
	return setmetatable(protos, nil)
end

-- ---------------------------------------------------------------- the table `skynet`

-- The value of a field that has not been used yet; from then on it is in the table.
local function find_field(_, key)
	local value
	if key == "pack" or key == "unpack" or key == "error" or key == "now" or key == "hpc" or key == "tostring"
		or key == "trash" or key == "packstring" or key == "harbor" then
		value = core[key]
	elseif key == "tracelog" then
		value = core.trace
	elseif key == "pcall" then
		value = pcall	-- deprecated
	elseif key == "cache" then
		value = require_late "skynet.codecache"
	elseif key == "info_func" then
		value = require_late "skynet.debug".info_func
	elseif key == "_proto" then
		value = all_protos()
	elseif type(key) == "string" and key:find "^PTYPE_" then
		-- message classes; 8 belongs to the deprecated skynet.mqueue, 12 announces the trace tag of the next message
		value = ({
			PTYPE_TEXT = 0, PTYPE_RESPONSE = RESPONSE, PTYPE_MULTICAST = 2, PTYPE_CLIENT = 3, PTYPE_SYSTEM = 4,
			PTYPE_HARBOR = 5, PTYPE_SOCKET = 6, PTYPE_ERROR = ERROR, PTYPE_QUEUE = 8, PTYPE_DEBUG = DEBUG,
			PTYPE_LUA = LUA, PTYPE_SNAX = 11, PTYPE_TRACE = TRACE,
		})[key]
	else
		local inner = library or open_library()
		value = inner.api[key]
		if value == nil then
			inner.tools = inner.tools or inner.define_tools()
			value = inner.tools[key]
		end
	end
	if value ~= nil then
		skynet[key] = value
	end
	return value
end

-- Whoever walks the table sees all fields.
local function all_fields()
	local names = [[pack unpack error now hpc tostring trash packstring harbor tracelog pcall cache info_func
		PTYPE_TEXT PTYPE_RESPONSE PTYPE_MULTICAST PTYPE_CLIENT PTYPE_SYSTEM PTYPE_HARBOR PTYPE_SOCKET PTYPE_ERROR
		PTYPE_QUEUE PTYPE_DEBUG PTYPE_LUA PTYPE_SNAX PTYPE_TRACE _proto task]]
	local value
	for name in names:gmatch "%S+" do
		value = skynet[name]
	end
	for _, functions in ipairs { library.api, library.tools } do
		for name in next, functions do
			value = skynet[name]
		end
	end
	return next, skynet, nil
end

setmetatable(skynet, { __index = find_field, __pairs = all_fields })

return skynet

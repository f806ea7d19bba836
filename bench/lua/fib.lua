-- calls and integer arithmetic
local function fib(n)
	if n < 2 then
		return n
	end
	return fib(n - 1) + fib(n - 2)
end

assert(fib(tonumber(arg[1]) > 1 and 34 or 27) > 0)

-- Test service: skynet.crypt and md5 against published vectors and upstream's results.
--
-- Prints `ok <case>` or `FAIL <case>: <reason>` for each case and ends with `TEST crypt PASSED <n>` or
-- `TEST crypt FAILED <n>`. Needs nothing but the two modules.

local skynet = require "skynet"
require "skynet.manager"	-- skynet.abort
local crypt = require "skynet.crypt"
local md5 = require "md5"

local unhex = crypt.hexdecode
local passed, failed = 0, 0

local function case(name, body)
	local ok, reason = pcall(body)
	if ok then
		passed = passed + 1
		skynet.error("ok " .. name)
	else
		failed = failed + 1
		skynet.error(("FAIL %s: %s"):format(name, reason))
	end
end

local function show(value)
	return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

local function equal(got, want, what)
	if got ~= want then
		error(("%s: got %s, want %s"):format(what or "value", show(got), show(want)), 2)
	end
end

-- The result, written in hexadecimal digits.
local function hexequal(got, want, what)
	equal(crypt.hexencode(got), want, what)
end

-- The call must raise an error that contains the text.
local function raises(text, f, ...)
	local ok, message = pcall(f, ...)
	if ok then
		error(("no error, want %q"):format(text), 2)
	end
	if not message:find(text, 1, true) then
		error(("error %q, want %q"):format(message, text), 2)
	end
end

local A <const> = "\1\2\3\4\5\6\7\8"
local B <const> = "abcdefgh"

case("crypt.fields", function()
	local want = {
		base64decode = "function", base64encode = "function", desdecode = "function",
		desencode = "function", dhexchange = "function", dhsecret = "function", hashkey = "function",
		hexdecode = "function", hexencode = "function", hmac64 = "function", hmac64_md5 = "function",
		hmac_hash = "function", hmac_sha1 = "function", padding = "table", randomkey = "function",
		sha1 = "function", xor_str = "function",
	}
	for name, kind in pairs(want) do
		equal(type(crypt[name]), kind, name)
	end
	for name in pairs(crypt) do
		equal(want[name] ~= nil, true, "extra field " .. name)
	end
	equal(crypt.padding.iso7816_4, 0)
	equal(crypt.padding.pkcs7, 1)
end)

case("crypt.hex", function()
	equal(crypt.hexencode("\0\xa5\xff"), "00a5ff")
	equal(crypt.hexencode(""), "")
	equal(crypt.hexdecode("00a5ff"), "\0\xa5\xff")
	equal(crypt.hexdecode(""), "")
	local long = ("\x5a\0"):rep(5000)
	equal(crypt.hexdecode(crypt.hexencode(long)), long)
	raises("Invalid hex text size 3", crypt.hexdecode, "abc")
	raises("Invalid hex text", crypt.hexdecode, "AB")
	raises("Invalid hex text", crypt.hexdecode, "0 ")
	raises("(string expected, got nil)", crypt.hexdecode, nil)
	raises("(string expected, got no value)", crypt.hexencode)
	equal(crypt.hexencode(12), "3132", "number as string")
end)

case("crypt.base64", function()
	for text, code in pairs {
		[""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", ["\xff\xfe\xfd"] = "//79",
	} do
		equal(crypt.base64encode(text), code)
		equal(crypt.base64decode(code), text)
	end
	local all = {}
	for i = 0, 255 do
		all[i + 1] = string.char(i)
	end
	all = table.concat(all):rep(40)
	for cut = 0, 5 do
		local text = all:sub(1, -1 - cut)
		equal(crypt.base64decode(crypt.base64encode(text)), text)
	end
end)

case("crypt.base64.lenient", function()
	for code, text in pairs {
		Zg = "f", ["Zg="] = "f", Zm8 = "fo", ["Zg==Zg=="] = "ff", ["Zm9v\nYmFy"] = "foobar", ["Zm 9v"] = "foo",
	} do
		equal(crypt.base64decode(code), text, code)
	end
	for _, code in ipairs {
		"Z", "====", "Zh==", "Zm9=", "Z===", "-_-_", "Zg=a", "Z=g=", "Zm9v\n", "\n",
	} do
		raises("Invalid base64 text", crypt.base64decode, code)
	end
end)

case("crypt.hashkey", function()
	for text, want in pairs {
		[""] = "05150000a7c6674e", a = "06b602004d00f5ae", hello = "9930920fcbef1867",
		skynet = "43bef41bac48ce7f", ["\0\1\2\xff"] = "07155d7c4d266d43",
	} do
		hexequal(crypt.hashkey(text), want, text)
	end
end)

case("crypt.randomkey", function()
	local seen = {}
	for _ = 1, 1000 do
		local key = crypt.randomkey()
		equal(#key, 8)
		equal(key ~= ("\0"):rep(8), true, "never zero")
		equal(seen[key], nil, "repeated key")
		seen[key] = true
	end
end)

case("crypt.des.vectors", function()
	local pad = crypt.padding
	for _, row in ipairs {
		{ "", "8d3d438a718b4510", "feb959b7d4642fcb" },
		{ "a", "443a09928d9ac952", "2f1518e5843f0f69" },
		{ "1234567", "8f0d7f23efa6d019", "998a3e058213e353" },
		{ "12345678", "96d0028878d58c898d3d438a718b4510", "96d0028878d58c89feb959b7d4642fcb" },
		{ "123456789", "96d0028878d58c890b175a65636dad05", "96d0028878d58c8928b46a38a7a27092" },
		{
			"hello world, skynet!",
			"28dba02eb5f6dd471406842eea6d2a71108f577f3d79949b",
			"28dba02eb5f6dd471406842eea6d2a71ad5d311442a19d9d",
		},
	} do
		local text, iso, pkcs = table.unpack(row)
		hexequal(crypt.desencode("12345678", text), iso, "default padding")
		hexequal(crypt.desencode("12345678", text, pad.iso7816_4), iso, "iso7816_4")
		hexequal(crypt.desencode("12345678", text, pad.pkcs7), pkcs, "pkcs7")
		equal(crypt.desdecode("12345678", unhex(iso)), text)
		equal(crypt.desdecode("12345678", unhex(pkcs), pad.pkcs7), text)
	end
	local zero = ("\0"):rep(8)
	hexequal(crypt.desencode(zero, zero), "8ca64de9c1b123a795f8a5e5dd31d900")
	local block = crypt.desencode(unhex "133457799bbcdff1", unhex "0123456789abcdef"):sub(1, 8)
	hexequal(block, "85e813540f0ab405")
	local long = crypt.desencode("12345678", ("x"):rep(1000))
	equal(#long, 1008)
	hexequal(crypt.sha1(long), "672329bfae06c067ab67b514501025b8d3575f04")
	-- the lowest bit of each key byte is parity
	hexequal(crypt.desencode("02456789", ""), crypt.hexencode(crypt.desencode("13457698", "")))
end)

case("crypt.des.lengths", function()
	for _, padding in pairs(crypt.padding) do
		for len = 0, 64 do
			local text = ("\0\x80\1"):rep(22):sub(1, len)
			local code = crypt.desencode(A, text, padding)
			equal(#code, (len + 8) // 8 * 8)
			equal(crypt.desdecode(A, code, padding), text)
		end
	end
end)

case("crypt.des.errors", function()
	raises("Invalid key size 7, need 8 bytes", crypt.desencode, "1234567", "x")
	raises("Invalid key size 9, need 8 bytes", crypt.desdecode, "123456789", "x")
	raises("Invalid padding mode 2", crypt.desencode, A, "x", 2)
	raises("Invalid padding mode -1", crypt.desdecode, A, "12345678", -1)
	raises("(number expected, got string)", crypt.desencode, A, "x", "pkcs7")
	raises("Invalid des crypt text length 0", crypt.desdecode, A, "")
	raises("Invalid des crypt text length 7", crypt.desdecode, A, "1234567")
	raises("Invalid des crypt text length 9", crypt.desdecode, A, "123456789")
	-- a block whose plain text carries no valid padding
	local function bare(plain)
		return crypt.desencode(A, plain):sub(1, 8)
	end
	for _, plain in ipairs { ("\0"):rep(8), "1234567\1", "\x80\1\0\0\0\0\0\0" } do
		raises("Invalid des crypt text", crypt.desdecode, A, bare(plain))
	end
	for _, plain in ipairs { ("\0"):rep(8), ("\9"):rep(8), "123456\1\2" } do
		raises("Invalid des crypt text", crypt.desdecode, A, bare(plain), crypt.padding.pkcs7)
	end
	equal(crypt.desdecode(A, bare("\x80\0\0\0\0\0\0\0")), "")
	equal(crypt.desdecode(A, bare(("\8"):rep(8)), crypt.padding.pkcs7), "")
end)

case("crypt.dh", function()
	local pa, pb = crypt.dhexchange(A), crypt.dhexchange(B)
	hexequal(pa, "984e1418283235ed")
	hexequal(pb, "c3c0880df34049bd")
	hexequal(crypt.dhsecret(pa, B), "e18a5ff6f15769ce")
	hexequal(crypt.dhsecret(pb, A), "e18a5ff6f15769ce")
	local one, ones = "\1" .. ("\0"):rep(7), ("\xff"):rep(8)
	hexequal(crypt.dhexchange(one), "0500000000000000")
	hexequal(crypt.dhexchange(ones), "4e2ea6baf651b377")
	hexequal(crypt.dhsecret(unhex "c5ffffffffffffff", B), "0000000000000000", "the modulus")
	hexequal(crypt.dhsecret(unhex "c6ffffffffffffff", B), "0100000000000000", "the modulus and one")
	hexequal(crypt.dhsecret(ones, B), "e3d74e3785093965")
	for _ = 1, 50 do
		local x, y = crypt.randomkey(), crypt.randomkey()
		equal(crypt.dhsecret(crypt.dhexchange(x), y), crypt.dhsecret(crypt.dhexchange(y), x))
	end
	local zero = ("\0"):rep(8)
	raises("Can't be 0", crypt.dhexchange, zero)
	raises("Can't be 0", crypt.dhsecret, zero, A)
	raises("Can't be 0", crypt.dhsecret, A, zero)
	raises("Invalid dh uint64 key", crypt.dhexchange, "1234567")
	raises("Invalid uint64 x", crypt.dhsecret, "123456789", A)
	raises("Invalid uint64 y", crypt.dhsecret, A, "")
end)

case("crypt.hmac64", function()
	hexequal(crypt.hmac64(A, B), "c33a3fabc0e7c128")
	hexequal(crypt.hmac64(B, A), "03f66081e16fd0d8")
	hexequal(crypt.hmac64_md5(A, B), "ecaeeab22183c5f2")
	hexequal(crypt.hmac64_md5(B, A), "ba31b4bbe82b2478")
	hexequal(md5.sum((A .. B):rep(3)), "6d4bb7760ba2b19a81e55dc42a217468")
	hexequal(crypt.hmac_hash(A, "hello"), "7a3851a6280017c1")
	hexequal(crypt.hmac_hash(A, ""), "5557eef0a339145d")
	for _, name in ipairs { "hmac64", "hmac64_md5" } do
		raises("Invalid uint64 x", crypt[name], "", B)
		raises("Invalid uint64 y", crypt[name], A, "1234567")
	end
	raises("Invalid uint64 key", crypt.hmac_hash, "short", "text")
	raises("(string expected, got table)", crypt.hmac64, {}, B)
end)

case("crypt.sha1", function()
	hexequal(crypt.sha1 "", "da39a3ee5e6b4b0d3255bfef95601890afd80709")
	hexequal(crypt.sha1 "abc", "a9993e364706816aba3e25717850c26c9cd0d89d")
	hexequal(crypt.sha1(("a"):rep(1000)), "291e9a6c66994949b57ba5e650361e98fc36b1ba")
end)

case("crypt.hmac_sha1", function()
	hexequal(crypt.hmac_sha1("key", "The quick brown fox jumps over the lazy dog"),
		"de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9")
	hexequal(crypt.hmac_sha1("", ""), "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d")
	hexequal(crypt.hmac_sha1(("k"):rep(65), "x"), "7209aca75ec680871725fd309aa689746677dbd4")
	hexequal(crypt.hmac_sha1(("k"):rep(64), "x"), "2c31eadf68d9ba971ad29339d28ce725b03c11f6")
	-- RFC 2202, cases 1 and 6
	hexequal(crypt.hmac_sha1(("\x0b"):rep(20), "Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00")
	hexequal(crypt.hmac_sha1(("\xaa"):rep(80), "Test Using Larger Than Block-Size Key - Hash Key First"),
		"aa4ae5e15272d00e95705637ce8a3b55ed402112")
end)

case("crypt.xor_str", function()
	hexequal(crypt.xor_str("\1\2\3\4\5", "\xff\1"), "fe03fc05fa")
	equal(crypt.xor_str("", "key"), "")
	hexequal(crypt.xor_str("\1\2", "\1\1\1\1"), "0003")
	local text = ("some text"):rep(500)
	equal(crypt.xor_str(crypt.xor_str(text, "key"), "key"), text)
	raises("Can't xor empty string", crypt.xor_str, "x", "")
	raises("Can't xor empty string", crypt.xor_str, "", "")
end)

case("md5.fields", function()
	equal(md5, require "md5.core", "one table")
	equal(md5._COPYRIGHT, "Copyright (C) 2003-2013 PUC-Rio")
	equal(md5._DESCRIPTION, "Basic cryptographic facilities")
	equal(md5._VERSION, "MD5 1.2")
end)

case("md5.sum", function()
	for text, want in pairs {
		[""] = "d41d8cd98f00b204e9800998ecf8427e",
		abc = "900150983cd24fb0d6963f7d28e17f72",
		["message digest"] = "f96b697d7cb7938d525a2f31aaf161d0",
		[("a"):rep(55)] = "ef1772b6dff9a122358552954ad0df65",
		[("a"):rep(56)] = "3b0c8ac703f828b04c6c197006d17218",
		[("a"):rep(64)] = "014842d480b571495a4a0363793f7367",
		[("a"):rep(120)] = "5f61c0ccad4cac44c75ff505e1f1e537",
	} do
		hexequal(md5.sum(text), want)
		equal(md5.sumhexa(text), want)
	end
	raises("(string expected, got nil)", md5.sum, nil)
end)

case("md5.hmacmd5", function()
	equal(md5.hmacmd5("data", "key"), "9d5c73ef85594d34ec4438b7c97e51d8")
	-- RFC 2202, cases 1, 2 and 6
	equal(md5.hmacmd5("Hi There", ("\x0b"):rep(16)), "9294727a3638bb1c13f48ef8158bfc9d")
	equal(md5.hmacmd5("what do ya want for nothing?", "Jefe"), "750c783e6ab0b503eaa86e310a5db738")
	equal(md5.hmacmd5("Test Using Larger Than Block-Size Key - Hash Key First", ("\xaa"):rep(80)),
		"6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd")
end)

case("md5.exor", function()
	equal(md5.exor("abc", "\1\2\3"), "```")
	equal(md5.exor("", ""), "")
	raises("lengths must be equal", md5.exor, "abc", "ab")
end)

case("md5.crypt", function()
	hexequal(md5.crypt("hello world, this is a message", "key", "seed"),
		"0473656564c78025b74eeaf25687f4eaabf911327da70e275df474f7eb0c85b326b036")
	hexequal(md5.crypt("x", "k", ""), "0079")
	hexequal(md5.crypt("", "k", "s"), "0173")
	for len = 0, 50 do
		local text = ("text\0"):rep(10):sub(1, len)
		local code = md5.crypt(text, "some key", ("s"):rep(len % 17))
		equal(#code, 1 + len % 17 + len)
		equal(md5.decrypt(code, "some key"), text)
	end
	-- the default seed is the time: eight bytes, little endian
	local before = os.time()
	local code = md5.crypt("text", "key")
	equal(code:byte(), 8)
	local seed = string.unpack("<i8", code, 2)
	equal(seed >= before and seed <= os.time(), true, "seed is the time")
	equal(md5.decrypt(code, "key"), "text")
	equal(#md5.crypt("x", ("k"):rep(256), ("s"):rep(16)), 18)
	raises("key too long (> 256)", md5.crypt, "x", ("k"):rep(257), "")
	raises("key too long (> 256)", md5.decrypt, "\0x", ("k"):rep(257))
	raises("seed too long (> 16)", md5.crypt, "x", "k", ("s"):rep(17))
	for _, code in ipairs { "", "\1", "\4abc", "\17" .. ("x"):rep(40) } do
		raises("(invalid cyphered string)", md5.decrypt, code, "key")
	end
end)

skynet.start(function()
	if failed == 0 then
		skynet.error(("TEST crypt PASSED %d"):format(passed))
	else
		skynet.error(("TEST crypt FAILED %d"):format(failed))
	end
	skynet.sleep(20)	-- abort drops what the logger has not written yet
	skynet.abort()
end)

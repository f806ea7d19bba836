// A log service in C++ that uses none of the headers: it declares what it needs of the core. Lines go
// through a queue to a thread that writes them to the file that is the service's parameter. A request
// of its own type is answered when what was sent before it is in the queue.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>

struct skynet_context;

extern "C" {
typedef int (*callback)(skynet_context *ctx, void *ud, int type, int session, std::uint32_t source,
	const void *msg, std::size_t sz);
void skynet_callback(skynet_context *ctx, void *ud, callback cb);
const char *skynet_command(skynet_context *ctx, const char *cmd, const char *parm);
int skynet_send(skynet_context *ctx, std::uint32_t source, std::uint32_t destination, int type,
	int session, void *msg, std::size_t sz);
std::uint64_t skynet_now(void);

void *xlog_create(void);
int xlog_init(void *inst, skynet_context *ctx, const char *parm);
void xlog_release(void *inst);
}

namespace {

const int text_type = 0;
const int response_type = 1;
const int flush_type = 12;

class Writer {
public:
	Writer() = default;
	Writer(const Writer &) = delete;
	Writer &operator=(const Writer &) = delete;

	~Writer()
	{
		if (!thread_.joinable())
			return;
		{
			std::lock_guard<std::mutex> hold(lock_);
			ended_ = true;
		}
		wake_.notify_one();
		thread_.join();
	}

	bool open(const char *path)
	{
		out_.open(path, std::ios::trunc);
		if (!out_)
			return false;
		thread_ = std::thread(&Writer::run, this);
		return true;
	}

	void add(std::string line)
	{
		{
			std::lock_guard<std::mutex> hold(lock_);
			lines_.push_back(std::move(line));
		}
		wake_.notify_one();
	}

private:
	void run()
	{
		std::unique_lock<std::mutex> hold(lock_);
		for (;;) {
			wake_.wait(hold, [this] { return ended_ || !lines_.empty(); });
			if (lines_.empty())
				return;
			std::deque<std::string> lines;
			lines.swap(lines_);
			hold.unlock();
			for (const auto &line : lines)
				out_ << line << '\n';
			out_.flush();
			hold.lock();
		}
	}

	std::ofstream out_;
	std::mutex lock_;
	std::condition_variable wake_;
	std::deque<std::string> lines_;
	bool ended_ = false;
	std::thread thread_;
};

int
on_message(skynet_context *ctx, void *ud, int type, int session, std::uint32_t source,
	const void *msg, std::size_t sz)
{
	if (type == flush_type)
		skynet_send(ctx, 0, source, response_type, session, nullptr, 0);
	if (type == text_type) {
		char address[16];
		std::snprintf(address, sizeof address, "%08x ", static_cast<unsigned>(source));
		static_cast<Writer *>(ud)->add(address + std::string(static_cast<const char *>(msg), sz));
	}
	return 0;
}

}

void *
xlog_create(void)
{
	return new Writer;
}

void
xlog_release(void *inst)
{
	delete static_cast<Writer *>(inst);
}

int
xlog_init(void *inst, skynet_context *ctx, const char *parm)
{
	Writer *writer = static_cast<Writer *>(inst);
	if (parm == nullptr || !writer->open(parm))
		return 1;
	writer->add("began at " + std::to_string(skynet_now() < 100 * 60));
	skynet_command(ctx, "REG", ".xlog");
	skynet_callback(ctx, writer, on_message);
	return 0;
}

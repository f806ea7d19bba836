/*
 * The layouts and constants of the interface. Nothing runs: the file compiles, as C99, C11 and C++11,
 * or it does not.
 */
#include "skynet.h"
#include "skynet_socket.h"
#include "skynet_handle.h"
#include "skynet_harbor.h"
#include "skynet_mq.h"
#include "skynet_module.h"
#include "skynet_imp.h"
#include "socket_server.h"
#include "socket_poll.h"
#include "spinlock.h"
#include "rwlock.h"
#if SKYNET_API_HEAD
#include "mem_info.h"
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define CHECK(cond) typedef char JOIN(check_, __LINE__)[(cond) ? 1 : -1]
#define SIZE(type, size) CHECK(sizeof(type) == (size))
#define AT(type, field, offset) CHECK(offsetof(type, field) == (offset))

CHECK(PTYPE_TEXT == 0 && PTYPE_RESPONSE == 1 && PTYPE_MULTICAST == 2 && PTYPE_CLIENT == 3);
CHECK(PTYPE_SYSTEM == 4 && PTYPE_HARBOR == 5 && PTYPE_SOCKET == 6 && PTYPE_ERROR == 7);
CHECK(PTYPE_RESERVED_QUEUE == 8 && PTYPE_RESERVED_DEBUG == 9);
CHECK(PTYPE_RESERVED_LUA == 10 && PTYPE_RESERVED_SNAX == 11);
CHECK(PTYPE_TAG_DONTCOPY == 0x10000 && PTYPE_TAG_ALLOCSESSION == 0x20000);

CHECK(SKYNET_SOCKET_TYPE_DATA == 1 && SKYNET_SOCKET_TYPE_CONNECT == 2);
CHECK(SKYNET_SOCKET_TYPE_CLOSE == 3 && SKYNET_SOCKET_TYPE_ACCEPT == 4);
CHECK(SKYNET_SOCKET_TYPE_ERROR == 5 && SKYNET_SOCKET_TYPE_UDP == 6);
CHECK(SKYNET_SOCKET_TYPE_WARNING == 7);
SIZE(struct skynet_socket_message, 24);
AT(struct skynet_socket_message, type, 0);
AT(struct skynet_socket_message, id, 4);
AT(struct skynet_socket_message, ud, 8);
AT(struct skynet_socket_message, buffer, 16);

CHECK(SOCKET_INFO_UNKNOWN == 0 && SOCKET_INFO_LISTEN == 1 && SOCKET_INFO_TCP == 2);
CHECK(SOCKET_INFO_UDP == 3 && SOCKET_INFO_BIND == 4 && SOCKET_INFO_CLOSING == 5);
SIZE(struct socket_info, 200);
AT(struct socket_info, id, 0);
AT(struct socket_info, type, 4);
AT(struct socket_info, opaque, 8);
AT(struct socket_info, read, 16);
AT(struct socket_info, write, 24);
AT(struct socket_info, rtime, 32);
AT(struct socket_info, wtime, 40);
AT(struct socket_info, wbuffer, 48);
AT(struct socket_info, reading, 56);
AT(struct socket_info, writing, 57);
AT(struct socket_info, name, 58);
AT(struct socket_info, next, 192);

CHECK(SOCKET_BUFFER_MEMORY == 0 && SOCKET_BUFFER_OBJECT == 1 && SOCKET_BUFFER_RAWPOINTER == 2);
SIZE(struct socket_sendbuffer, 24);
AT(struct socket_sendbuffer, id, 0);
AT(struct socket_sendbuffer, type, 4);
AT(struct socket_sendbuffer, buffer, 8);
AT(struct socket_sendbuffer, sz, 16);

CHECK(HANDLE_MASK == 0xffffff && HANDLE_REMOTE_SHIFT == 24);
CHECK(GLOBALNAME_LENGTH == 16 && REMOTE_MAX == 256);
SIZE(struct remote_name, 20);
AT(struct remote_name, handle, 16);
SIZE(struct remote_message, 48);
AT(struct remote_message, destination, 0);
AT(struct remote_message, message, 24);
AT(struct remote_message, sz, 32);
AT(struct remote_message, type, 40);

SIZE(struct skynet_message, 24);
AT(struct skynet_message, source, 0);
AT(struct skynet_message, session, 4);
AT(struct skynet_message, data, 8);
AT(struct skynet_message, sz, 16);
CHECK(MESSAGE_TYPE_MASK == 0x00ffffffffffffff && MESSAGE_TYPE_SHIFT == 56);

SIZE(struct skynet_module, 48);
AT(struct skynet_module, name, 0);
AT(struct skynet_module, module, 8);
AT(struct skynet_module, create, 16);
AT(struct skynet_module, init, 24);
AT(struct skynet_module, release, 32);
AT(struct skynet_module, signal, 40);

SIZE(struct skynet_config, 56);
AT(struct skynet_config, thread, 0);
AT(struct skynet_config, harbor, 4);
AT(struct skynet_config, profile, 8);
AT(struct skynet_config, daemon, 16);
AT(struct skynet_config, module_path, 24);
AT(struct skynet_config, bootstrap, 32);
AT(struct skynet_config, logger, 40);
AT(struct skynet_config, logservice, 48);
CHECK(THREAD_WORKER == 0 && THREAD_MAIN == 1 && THREAD_SOCKET == 2);
CHECK(THREAD_TIMER == 3 && THREAD_MONITOR == 4);

CHECK(SOCKET_DATA == 0 && SOCKET_CLOSE == 1 && SOCKET_OPEN == 2 && SOCKET_ACCEPT == 3);
CHECK(SOCKET_ERR == 4 && SOCKET_EXIT == 5 && SOCKET_UDP == 6 && SOCKET_WARNING == 7);
SIZE(struct socket_message, 32);
AT(struct socket_message, id, 0);
AT(struct socket_message, opaque, 8);
AT(struct socket_message, ud, 16);
AT(struct socket_message, data, 24);
SIZE(struct socket_object_interface, 24);
AT(struct socket_object_interface, buffer, 0);
AT(struct socket_object_interface, size, 8);
AT(struct socket_object_interface, free, 16);

SIZE(struct event, 16);
AT(struct event, read, 8);
AT(struct event, eof, 11);

SIZE(struct spinlock, 4);
SIZE(struct rwlock, 8);
SIZE(ATOM_INT, sizeof(int));
SIZE(ATOM_POINTER, sizeof(void *));
SIZE(ATOM_SIZET, sizeof(size_t));
SIZE(ATOM_ULONG, sizeof(unsigned long));

#if SKYNET_API_HEAD
CHECK(CACHE_LINE_SIZE == 64);
SIZE(MemInfo, 32);
AT(MemInfo, alloc, 0);
AT(MemInfo, alloc_count, 8);
AT(MemInfo, free, 16);
AT(MemInfo, free_count, 24);
SIZE(AtomicMemInfo, 128);
AT(AtomicMemInfo, alloc, 0);
AT(AtomicMemInfo, alloc_count, 8);
AT(AtomicMemInfo, free, 64);
AT(AtomicMemInfo, free_count, 72);
#endif

/* Functions that are compiled into modules. */
int use_inlines(struct skynet_context *ctx, struct spinlock *s, struct rwlock *r);

int
use_inlines(struct skynet_context *ctx, struct spinlock *s, struct rwlock *r)
{
	struct holder {
		struct spinlock lock;
	} h, *q = &h;
	struct socket_sendbuffer buf;
	sendbuffer_init_(&buf, 1, "x", -1);
	SPIN_INIT(q)
	SPIN_LOCK(q)
	SPIN_UNLOCK(q)
	SPIN_DESTROY(q)
	spinlock_lock(s);
	spinlock_unlock(s);
	rwlock_wlock(r);
	rwlock_wunlock(r);
	rwlock_rlock(r);
	rwlock_runlock(r);
	char *text = skynet_strdup("text");
	skynet_free(text);
	return skynet_socket_send(ctx, 1, skynet_malloc(1), 1)
		+ skynet_socket_send_lowpriority(ctx, 1, skynet_malloc(1), 1)
		+ skynet_socket_udp_send(ctx, 1, "", skynet_malloc(1), 1);
}

/* What this core offers beside upstream's interface. */
#ifndef SKYNETX_H
#define SKYNETX_H

#include "skynet_api.h"
#include "skynet_imp.h"
#include "skynet_module.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An argument or a setting that cannot be. */
#define SKYNETX_ERR_ARGUMENT (-1)
/* There is a module of this name. */
#define SKYNETX_ERR_EXISTS (-2)
/* The process has, or had, its node. */
#define SKYNETX_ERR_STARTED (-3)
/* The system refuses something, or the pid file says that the node runs already. */
#define SKYNETX_ERR_SYSTEM (-4)
/* The log service cannot be launched. */
#define SKYNETX_ERR_LOGSERVICE (-5)
/* The first service cannot be launched. */
#define SKYNETX_ERR_BOOTSTRAP (-6)
/* 1 switches Nagle's algorithm off, 0 on. */
#define SKYNETX_SOCKET_NODELAY 1
/* Bytes of unsent output above which SKYNETX_SOCKET_WRITE_ACTION follows; 0 for no limit. */
#define SKYNETX_SOCKET_WRITE_LIMIT 2
/* What follows when there is more: SKYNETX_WRITE_WARN, SKYNETX_WRITE_PAUSE or
   SKYNETX_WRITE_CLOSE. */
#define SKYNETX_SOCKET_WRITE_ACTION 3
/* Milliseconds without input and without progress of queued output after which the socket ends with
   an ERROR; 0 for no limit. Time while its owner does not read does not count. As a default (id 0)
   it is for accepted connections. */
#define SKYNETX_SOCKET_IDLE_MS 4
/* Seconds of silence before the first keep-alive probe. */
#define SKYNETX_SOCKET_KEEPALIVE_IDLE 5
/* Seconds between keep-alive probes. */
#define SKYNETX_SOCKET_KEEPALIVE_INTERVAL 6
/* How many probes without an answer end the connection. */
#define SKYNETX_SOCKET_KEEPALIVE_COUNT 7
/* Milliseconds that a connect may take from now on, look-up included; 0 for no limit. The time is
   divided among the addresses of the name. As a default (id 0): that each connect may take. */
#define SKYNETX_SOCKET_CONNECT_MS 8
/* A log line. */
#define SKYNETX_WRITE_WARN 0
/* A log line, and nothing is read from the socket until half of the limit is left. */
#define SKYNETX_WRITE_PAUSE 1
/* A log line, an ERROR, and the end of the socket; its output is thrown away. */
#define SKYNETX_WRITE_CLOSE 2

/* Memory of a service that has ended. */
struct skynetx_memory {
	uint32_t handle;
	/* How much is in use still. */
	size_t bytes;
	/* In how many blocks. */
	size_t blocks;
};

/* Memory of a service that lives. */
struct skynetx_memory_service {
	uint32_t handle;
	/* Bytes that it publishes, which is its Lua memory. */
	size_t lua;
	/* Bytes of its blocks of malloc. */
	size_t c;
	/* How many messages wait for it. */
	size_t messages;
};

/* Where the memory of the process is, in bytes. Later versions may add figures at the end. */
struct skynetx_memory_map {
	/* What the system says is resident; 0 where it does not. */
	size_t resident;
	/* What the parts, from lua to other, add up to, without untouched. */
	size_t sum;
	/* Lua memory of live services, of those whose module publishes it. */
	size_t lua;
	/* That of ended services that somebody has a reference to. */
	size_t lua_ended;
	/* Blocks of malloc of live services. */
	size_t c;
	/* Those of ended services. */
	size_t c_ended;
	/* Those of no service: of the core and of other threads. */
	size_t c_nobody;
	/* What else jemalloc has given out: Lua states that nobody publishes, sizes rounded up. */
	size_t uncounted;
	/* Free blocks that threads keep for themselves. */
	size_t thread_caches;
	/* Free blocks on pages that are in use. */
	size_t fragments;
	/* Free pages that were not given back to the system yet. */
	size_t free_pages;
	/* What jemalloc needs for itself. */
	size_t metadata;
	/* Program and libraries, with their variables. */
	size_t files;
	/* Stacks of threads. */
	size_t stacks;
	/* Memory of other allocators, and pages of the kernel. */
	size_t other;
	/* How much of the above is not resident, because nobody touched it yet. Goes off the
	   sum. */
	size_t untouched;
	/* Of the blocks of malloc: the messages that wait. */
	size_t messages;
	/* Of the blocks of malloc: compiled files, tables and strings that Lua states share; 0 if
	   Lua does not say. */
	size_t shared;
	/* Addresses that jemalloc keeps for later, without memory behind them; part of nothing. */
	size_t retained;
};

/* Why the last of these functions that failed on the calling thread did so; empty before the first.
   Good until the next failure on this thread. */
const char *skynetx_last_error(void);

/* Makes functions of the program a service module, which comes before files of its name. All but
   init may be NULL, with the same meaning as a file without them. 0; SKYNETX_ERR_ARGUMENT for a
   name that is NULL, empty or has blanks in it, and without init; SKYNETX_ERR_EXISTS when the name
   is taken. Any thread may call it, at any time, also the constructor of a library that is being
   loaded. */
int skynetx_module_register(const char *name, skynet_dl_create create, skynet_dl_init init,
	skynet_dl_release release, skynet_dl_signal signal);

/* As skynet_start, but returns in every case: 0 when the node ran and its last service is gone,
   otherwise one of the codes, with nothing left running. Strings that are NULL stand for the
   defaults of the config file. The settings go into the environment store, for the keys that are
   not there yet. */
int skynetx_start(struct skynet_config *config);

/* As skynet_timeout, but in milliseconds: the message comes when ms milliseconds have passed, a few
   tenths of a millisecond later at most on an idle machine, and never before. The session, or -1
   when ms is not positive and there is no such service. */
int skynetx_timeout_ms(uint32_t handle, int ms, int session);

/* Takes back a timeout of skynet_timeout, skynetx_timeout_ms or the command TIMEOUT. 1 when it was
   pending, and then its message does not come; 0 when its message is queued or handled already, or
   there was no such timeout. When one service set several under one session, it is the last that is
   taken back. */
int skynetx_timeout_cancel(uint32_t handle, int session);

/* Sets an option of a TCP socket; what is set for a listener goes over to the connections that it
   accepts from then on. Id 0 sets what sockets made from then on begin with, in place of the
   config's. 0, or -1 for an unknown id, one that is no TCP socket, an unknown option, a value that
   cannot be, and SKYNETX_SOCKET_CONNECT_MS when nothing is being connected. Any thread may call
   it. */
int skynetx_socket_option(int id, int option, int64_t value);

/* Which services have ended while blocks of theirs are in use: what they forgot, or passed on to
   others. Fills in at most room of them, ordered by the low half of the handle, and answers how
   many there are. With room 0 list may be NULL. As in all accounts of malloc_hook.h, a later
   service with the same low half (and, at level 1.8, only once nothing is left) takes the account
   over. Nothing is known without jemalloc, and in programs that libskynet.so is a part of. */
size_t skynetx_memory_left(struct skynetx_memory *list, size_t room);

/* From now on the bytes that a service uses beside those of malloc are what bytes points to; snlua
   says in this way how much memory its Lua state has. Any thread may read it at any time, up to the
   service's release, so it must be written whole. NULL ends that. */
void skynetx_memory_publish(struct skynet_context *ctx, const size_t *bytes);

/* What each service uses, without asking it. Fills in at most room of them and answers how many
   there are. With room 0 list may be NULL. */
size_t skynetx_memory_services(struct skynetx_memory_service *list, size_t room);

/* Finds out where the memory is. Fills in size bytes of the map, or less if this core has fewer
   figures, and answers how many bytes those are that it has. It takes some milliseconds, more in a
   process of many gigabytes. The figures are not of one instant. Without jemalloc, and in programs
   that libskynet.so is a part of, blocks of malloc are in other. */
size_t skynetx_memory_map(struct skynetx_memory_map *map, size_t size);

#ifdef __cplusplus
}
#endif

#endif

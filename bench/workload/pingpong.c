/*
 * Pairs of services send messages without data to and fro.
 *
 * Settings: pairs, inflight (messages between the two of a pair), count (round trips of all pairs).
 */
#include "bench.h"

#include <string.h>

/* The types of messages: orders for a player, a ball, a player has seen enough. */
#define SERVE PTYPE_SYSTEM
#define BALL PTYPE_CLIENT
#define DONE PTYPE_MULTICAST

struct order {
	uint32_t peer;
	long inflight;
	long count;
};

struct pingpong {
	/* Of the referee: pairs that still play, begin of the game. */
	long pairs;
	int64_t start;
	long messages;
	/* Of the player that serves: balls it still returns. */
	long left;
	uint32_t referee;
};

struct pingpong *
pingpong_create(void)
{
	return calloc(1, sizeof(struct pingpong));
}

void
pingpong_release(struct pingpong *self)
{
	free(self);
}

static void
begin(struct skynet_context *ctx, struct pingpong *self)
{
	struct order order;
	uint32_t server[64];
	uint32_t other[64];
	long i;
	self->pairs = bench_setting(ctx, "pairs");
	if (self->pairs > 64)
		bench_give_up("more than 64 pairs");
	order.inflight = bench_setting(ctx, "inflight");
	order.count = bench_setting(ctx, "count") / self->pairs + order.inflight;
	self->messages = 2 * order.count * self->pairs;
	for (i = 0; i < self->pairs; i++) {
		server[i] = bench_launch(ctx, "pingpong player");
		other[i] = bench_launch(ctx, "pingpong player");
	}
	self->start = bench_now();
	for (i = 0; i < self->pairs; i++) {
		order.peer = other[i];
		skynet_send(ctx, 0, server[i], SERVE, 0, &order, sizeof(order));
	}
}

static int
referee(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct pingpong *self = ud;
	(void)session, (void)source, (void)msg, (void)sz;
	if (type == BEGIN) {
		begin(ctx, self);
	} else if (type == DONE && --self->pairs == 0) {
		double seconds = (double)(bench_now() - self->start) / 1e9;
		bench_result("rate", (double)self->messages / seconds, "msg/s");
		bench_end(ctx);
	}
	return 0;
}

static int
player(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct pingpong *self = ud;
	(void)session;
	if (type == BALL) {
		if (self->referee) {
			if (self->left == 0)
				return 0;
			if (--self->left == 0) {
				skynet_send(ctx, 0, self->referee, DONE, 0, NULL, 0);
				return 0;
			}
		}
		skynet_send(ctx, 0, source, BALL, 0, NULL, 0);
	} else if (type == SERVE && sz == sizeof(struct order)) {
		struct order order;
		memcpy(&order, msg, sizeof(order));
		self->left = order.count;
		self->referee = source;
		while (order.inflight-- > 0)
			skynet_send(ctx, 0, order.peer, BALL, 0, NULL, 0);
	}
	return 0;
}

int
pingpong_init(struct pingpong *self, struct skynet_context *ctx, const char *parm)
{
	if (strcmp(parm, "player") == 0) {
		skynet_callback(ctx, self, player);
	} else {
		skynet_callback(ctx, self, referee);
		bench_begin(ctx);
	}
	return 0;
}

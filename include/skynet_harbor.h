/* Messages for other nodes, as they reach the harbor service. */
#ifndef SKYNET_HARBOR_H
#define SKYNET_HARBOR_H

#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many nodes a network may have, number 0 included. */
#define REMOTE_MAX 256
/* Length of a global name. */
#define GLOBALNAME_LENGTH 16

/* Who a message is for. */
struct remote_name {
	/* Padded with zeros, if it is shorter. */
	char name[GLOBALNAME_LENGTH];
	/* 0 when the receiver is known by name only. */
	uint32_t handle;
};

/* A message for another node. */
struct remote_message {
	struct remote_name destination;
	const void *message;
	size_t sz;
	int type;
};

/* Hands a remote message to the harbor service. Takes over the struct and the message it points to,
   both from malloc. */
void skynet_harbor_send(struct remote_message *rmsg, uint32_t source, int session);

/* Non-zero when the handle belongs to another node. */
int skynet_harbor_message_isremote(uint32_t handle);

/* Sets this node's number. */
void skynet_harbor_init(int harbor);

/* Makes the calling service the harbor service; it is kept until the process ends. NULL is
   ignored. */
void skynet_harbor_start(void *ctx);

/* Lets the harbor service go. */
void skynet_harbor_exit(void);

#ifdef __cplusplus
}
#endif

#endif

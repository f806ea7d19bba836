/* Messages for other nodes, as they reach the harbor service. */
#ifndef SKYNET_HARBOR_H
#define SKYNET_HARBOR_H

#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GLOBALNAME_LENGTH 16
#define REMOTE_MAX 256

struct remote_name {
	char name[GLOBALNAME_LENGTH];	/* padded with zeros, if it is shorter */
	uint32_t handle;		/* 0 when the receiver is known by name only */
};

struct remote_message {
	struct remote_name destination;
	const void *message;
	size_t sz;
	int type;
};

/* Takes over rmsg and its message, both from skynet_malloc. */
void skynet_harbor_send(struct remote_message *rmsg, uint32_t source, int session);
int skynet_harbor_message_isremote(uint32_t handle);
void skynet_harbor_init(int harbor);
/* Makes the service behind the context the harbor service. */
void skynet_harbor_start(void *ctx);
void skynet_harbor_exit(void);

#ifdef __cplusplus
}
#endif

#endif

/* Message queues, for whoever runs services with a loop of his own. */
#ifndef SKYNET_MESSAGE_QUEUE_H
#define SKYNET_MESSAGE_QUEUE_H

#include <stdlib.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_message {
	uint32_t source;
	int session;
	void *data;
	size_t sz;	/* the type in the top byte, the length in the others */
};

#define MESSAGE_TYPE_MASK (SIZE_MAX >> 8)
#define MESSAGE_TYPE_SHIFT ((sizeof(size_t)-1) * 8)

struct message_queue;

void skynet_globalmq_push(struct message_queue *queue);
struct message_queue *skynet_globalmq_pop(void);

struct message_queue *skynet_mq_create(uint32_t handle);
void skynet_mq_mark_release(struct message_queue *q);

typedef void (*message_drop)(struct skynet_message *message, void *ud);
void skynet_mq_release(struct message_queue *q, message_drop drop_func, void *ud);

uint32_t skynet_mq_handle(struct message_queue *q);
/* 0 and a message, or 1 when the queue is empty. */
int skynet_mq_pop(struct message_queue *q, struct skynet_message *message);
void skynet_mq_push(struct message_queue *q, struct skynet_message *message);
int skynet_mq_length(struct message_queue *q);
/* The length recorded when the queue grew too long, 0 for none; reading forgets it. */
int skynet_mq_overload(struct message_queue *q);

void skynet_mq_init(void);

#ifdef __cplusplus
}
#endif

#endif

/* Message queues, for whoever runs services with a loop of his own. */
#ifndef SKYNET_MESSAGE_QUEUE_H
#define SKYNET_MESSAGE_QUEUE_H

#include <stdlib.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the type is in the sz of a message. */
#define MESSAGE_TYPE_MASK (SIZE_MAX >> 8)
#define MESSAGE_TYPE_SHIFT ((sizeof(size_t)-1) * 8)

struct message_queue;

/* One message as it is queued. */
struct skynet_message {
	uint32_t source;
	int session;
	void *data;
	/* The type in the top byte, the length in the others. */
	size_t sz;
};

/* What becomes of a message of a queue that is freed. */
typedef void (*message_drop)(struct skynet_message *message, void *ud);

/* Puts a queue at the tail of the run queue. */
void skynet_globalmq_push(struct message_queue *queue);

/* Takes the queue at the head of the run queue, or NULL. */
struct message_queue *skynet_globalmq_pop(void);

/* A new empty queue that counts as scheduled: it does not enter the run queue by itself. The
   creator's, until skynet_mq_release. */
struct message_queue *skynet_mq_create(uint32_t handle);

/* Marks a queue for destruction and schedules it when it is idle. */
void skynet_mq_mark_release(struct message_queue *q);

/* Frees a marked queue, and that of a service that has ended, their messages through drop_func;
   puts another one back into the run queue. */
void skynet_mq_release(struct message_queue *q, message_drop drop_func, void *ud);

/* The handle the queue was made for. */
uint32_t skynet_mq_handle(struct message_queue *q);

/* Takes the oldest message: 0, or 1 when there is none and the queue is idle now. The data becomes
   the caller's. */
int skynet_mq_pop(struct message_queue *q, struct skynet_message *message);

/* Queues a copy of the descriptor; the data becomes the queue's. Schedules an idle queue. */
void skynet_mq_push(struct message_queue *q, struct skynet_message *message);

/* Messages that wait. */
int skynet_mq_length(struct message_queue *q);

/* The length recorded when the queue was found overloaded, or 0; reading clears it. */
int skynet_mq_overload(struct message_queue *q);

/* Prepares the run queue; there is nothing to prepare. */
void skynet_mq_init(void);

#ifdef __cplusplus
}
#endif

#endif

/* Running in the background, with a pid file. */
#ifndef skynet_daemon_h
#define skynet_daemon_h

#ifdef __cplusplus
extern "C" {
#endif

/* Goes to the background and writes the pid file: 0, or 1 after a line on stderr. */
int daemon_init(const char *pidfile);

/* Removes the pid file: what unlink says. */
int daemon_exit(const char *pidfile);

#ifdef __cplusplus
}
#endif

#endif

/* Running in the background, with a pid file. */
#ifndef skynet_daemon_h
#define skynet_daemon_h

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_daemon.rs

#ifdef __cplusplus
}
#endif

#endif

/* Service modules: the entry points of a .so in cservice. */
#ifndef SKYNET_MODULE_H
#define SKYNET_MODULE_H

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_module.rs

#ifdef __cplusplus
}
#endif

#endif

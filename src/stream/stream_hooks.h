/*
 * stream_hooks.h
 *	  The hook on utility statements through which streams learn what happens to databases, roles and the extension.
 */
#ifndef KSEG_STREAM_HOOKS_H
#define KSEG_STREAM_HOOKS_H

/* For stream_shared_init. */
extern void stream_hooks_install(void);

#endif /* KSEG_STREAM_HOOKS_H */

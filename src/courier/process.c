/*
 * process.c
 *	  The courier as a process. See process.h.
 */
#define _GNU_SOURCE /* struct ucred, close_range */
#include "courier/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

bool
process_has_wire(int wire_fd)
{
	int value;
	socklen_t length = sizeof(value);

	if (getsockopt(wire_fd, SOL_SOCKET, SO_DOMAIN, &value, &length) != 0 || value != AF_UNIX)
		return false;
	length = sizeof(value);
	return getsockopt(wire_fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == SOCK_STREAM;
}

/* Before Linux 5.9 there is no close_range: ask which are open. */
static bool
process_close_listed(int wire_fd)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;

	if (folder == NULL)
		return false;
	while ((entry = readdir(folder)) != NULL)
	{
		int fd = atoi(entry->d_name);

		if (fd > STDERR_FILENO && fd != wire_fd && fd != dirfd(folder))
			close(fd);
	}
	closedir(folder);
	return true;
}

/* wire_fd is the lowest above the standard ones (KSEG_WIRE_FD), so one range holds all the others. */
static bool
process_close_others(int wire_fd)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned int) wire_fd + 1, ~0u, 0u) == 0)
		return true;
#endif
	return process_close_listed(wire_fd);
}

/* A library that prints must not write into whatever PostgreSQL has there. */
static bool
process_silence(void)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nowhere < 0)
		return false;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
	{
		if (dup2(nowhere, fd) < 0)
			return false;
	}
	if (nowhere > STDERR_FILENO)
		close(nowhere);
	return true;
}

static void
process_reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL); /* those that cannot be set say so, and stay */
	signal(SIGPIPE, SIG_IGN);
}

/*
 * The first to go when memory is short: a run that fails says so, where a backend that is killed takes the whole
 * cluster through recovery. 1000 is the most there is.
 */
static void
process_offer_to_oom(void)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return;
	if (write(file, "1000", 4) != 4)
		(void) 0; /* a container may forbid it */
	close(file);
}

/* The other end was made by the backend that started us: it must still be our parent. Else its death came first. */
static bool
process_parent_lives(int wire_fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	char byte;

	if (getsockopt(wire_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid != 0 &&
	    peer.pid != getppid())
		return false;
	return recv(wire_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

bool
process_isolate(int wire_fd)
{
	if (!process_close_others(wire_fd) || !process_silence())
		return false;
	process_reset_signals();
	process_offer_to_oom();
	/* OpenSSL through libcurl would write every session's keys there. */
	unsetenv("SSLKEYLOGFILE");
	/* No core file and no other process of this user may hold the write key. After /proc/self was written: it is root's now. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return process_parent_lives(wire_fd);
}

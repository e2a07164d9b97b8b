/*
 * courier_process.c
 *	  Start and reap the courier. See courier_process.h.
 *
 * posix_spawn and not fork: the child shares no memory with us for a single instruction longer than needed, runs none of
 * PostgreSQL's signal handlers or atexit callbacks, and costs the same with any shared_buffers. It gets default signal
 * handlers, an empty signal mask, a process group of its own (PostgreSQL signals whole groups: a cancel must reach the
 * backend, which then stops the courier), and an environment with nothing in it that could change where it connects to.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/fd.h"

#include "link/courier_process.h"
#include "wire/wire.h"

char *
courier_process_program(void)
{
	Dl_info info;
	char path[MAXPGPATH];

	if (dladdr((const void *) courier_process_start, &info) == 0 || info.dli_fname == NULL)
		elog(ERROR, "could not find out where kseg.so was loaded from");
	strlcpy(path, info.dli_fname, sizeof(path));
	get_parent_directory(path);
	return psprintf("%s/kseg-courier", path);
}

/* posix_spawn with everything the file's head promises. Returns 0 or an errno. */
static int
courier_process_spawn(pid_t *pid, char *program, int socket)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	char *argv[] = {"kseg-courier", NULL};
	char *environment[] = {"LC_ALL=C", NULL};
	int error;

	if ((error = posix_spawn_file_actions_init(&actions)) != 0)
		return error;
	if ((error = posix_spawnattr_init(&attributes)) != 0)
	{
		posix_spawn_file_actions_destroy(&actions);
		return error;
	}
	sigfillset(&signals);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
	                         POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	error = posix_spawn_file_actions_adddup2(&actions, socket, KSEG_WIRE_FD);
	if (error == 0)
		error = posix_spawn(pid, program, &actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

int
courier_process_start(pid_t *pid)
{
	char *program = courier_process_program();
	int sockets[2];
	int error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		         errmsg("could not create the socket pair to kseg's courier: %m"),
		         errhint("The server process may be out of file descriptors: raise \"ulimit -n\" or lower "
		                 "max_files_per_process.")));
	error =
	    fcntl(sockets[0], F_SETFL, O_NONBLOCK) == 0 ? courier_process_spawn(pid, program, sockets[1]) : errno;
	close(sockets[1]);
	if (error != 0)
	{
		bool missing = error == ENOENT || error == EACCES || error == ENOEXEC;

		close(sockets[0]);
		errno = error;
		ereport(
		    ERROR,
		    (errcode(missing ? ERRCODE_UNDEFINED_FILE : ERRCODE_INSUFFICIENT_RESOURCES),
		     errmsg("could not start kseg's courier \"%s\": %m", program),
		     missing
		         ? errhint(
		               "Install kseg again: kseg-courier belongs beside kseg.so, executable by the server.")
		         : errhint("The machine may be out of processes or memory.")));
	}
	pfree(program);
	return sockets[0];
}

/* Between two looks at a courier that is ending by itself, in microseconds: an abort takes some ms. */
#define PROCESS_LOOK_US 1000

/* Has it ended by itself within this time? Then status is set. */
static bool
courier_process_has_ended(pid_t pid, int grace_ms, int *status)
{
	for (int64 left = (int64) grace_ms * 1000; left > 0; left -= PROCESS_LOOK_US)
	{
		pid_t ended = waitpid(pid, status, WNOHANG);

		if (ended == pid)
			return true;
		if (ended < 0 && errno != EINTR)
			return false;
		pg_usleep(PROCESS_LOOK_US);
	}
	return false;
}

int
courier_process_end(pid_t pid, int grace_ms)
{
	int status;

	if (courier_process_has_ended(pid, grace_ms, &status))
		return status;
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
	{
		if (errno != EINTR)
			return -1;
	}
	return status;
}

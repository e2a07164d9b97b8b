/*
 * stream_fault.c
 *	  Named points at which a test kills or stops a worker and what it depends on, and limits that a test shortens. See stream_fault.h.
 *	  Compiled to nothing without -DKSEG_FAULTS.
 *
 * The file is read anew at each point: this is no code for production, and a test may write it while a worker runs. It is replaced by
 * rename, so that a worker that is killed leaves it whole.
 */
#include "postgres.h"

#include "stream/stream_fault.h"

#ifdef KSEG_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#define FAULT_FILE "kseg_fault"

/* Lines are few, and short. */
#define FAULT_LINES_MAX 16
#define FAULT_LINE_MAX  256

/* How often each line of the file was passed by this process, and what it was: a test may write other ones. */
static int passed[FAULT_LINES_MAX];
static char known[FAULT_LINES_MAX][FAULT_LINE_MAX];

/* The point's words, an action, perhaps a number. */
static bool
fault_parse(const char *line, const char *name, char *action, int *count)
{
	size_t length = strlen(name);

	*count = 1;
	if (strncmp(line, name, length) != 0 || line[length] != ' ')
		return false;
	return sscanf(line + length, " %15s %d", action, count) >= 1;
}

/* Two workers that pass a point at once must not both take its line. Closing the descriptor that this returns unlocks. */
static int
fault_lock(void)
{
	int lock = open(FAULT_FILE ".lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	if (lock < 0 || flock(lock, LOCK_EX) != 0)
		elog(FATAL, "could not lock " FAULT_FILE ": %m");
	return lock;
}

/* The lines of the file; none: there is no file. */
static int
fault_read(char lines[FAULT_LINES_MAX][FAULT_LINE_MAX])
{
	FILE *file = fopen(FAULT_FILE, "r");
	int count = 0;

	if (file == NULL)
		return 0;
	while (count < FAULT_LINES_MAX && fgets(lines[count], FAULT_LINE_MAX, file) != NULL)
		count++;
	fclose(file);
	return count;
}

/* Write the file without one of its lines. */
static void
fault_take_out(char lines[FAULT_LINES_MAX][FAULT_LINE_MAX], int count, int without)
{
	FILE *file = fopen(FAULT_FILE ".new", "w");

	if (file == NULL)
		elog(FATAL, "could not write " FAULT_FILE ".new: %m");
	for (int i = 0; i < count; i++)
	{
		if (i != without)
			fputs(lines[i], file);
	}
	if (fclose(file) != 0 || rename(FAULT_FILE ".new", FAULT_FILE) != 0)
		elog(FATAL, "could not write " FAULT_FILE ": %m");
}

/* Count that this line is passed once more. */
static int
fault_pass(int index, const char *line)
{
	if (strcmp(known[index], line) != 0)
	{
		strlcpy(known[index], line, FAULT_LINE_MAX);
		passed[index] = 0;
	}
	return ++passed[index];
}

/* A worker has no other child. It is dead when this returns, and is left for its link to be reaped. */
static void
fault_kill_courier(void)
{
	char path[MAXPGPATH];
	FILE *children;
	int pid;
	int killed = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", MyProcPid);
	children = fopen(path, "r");
	if (children == NULL)
		elog(FATAL, "could not open \"%s\": %m", path);
	while (fscanf(children, "%d", &pid) == 1)
	{
		siginfo_t info;

		kill(pid, SIGKILL);
		while (waitid(P_PID, pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
			;
		killed++;
	}
	fclose(children);
	if (killed != 1)
		elog(FATAL, "there are %d couriers", killed);
}

static void
fault_kill_postmaster(void)
{
	kill(PostmasterPid, SIGKILL);
	(void) WaitLatch(NULL, WL_POSTMASTER_DEATH, -1, PG_WAIT_EXTENSION);
}

static void
fault_act(const char *name, const char *action)
{
	elog(LOG, "fault point \"%s\": %s", name, action);
	if (strcmp(action, "kill") == 0)
		kill(MyProcPid, SIGKILL);
	else if (strcmp(action, "stop") == 0)
		kill(MyProcPid, SIGSTOP);
	else if (strcmp(action, "courier") == 0)
		fault_kill_courier();
	else if (strcmp(action, "postmaster") == 0)
		fault_kill_postmaster();
	else if (strcmp(action, "exit") == 0)
		proc_exit(1);
	else if (strcmp(action, "error") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("fault point \"%s\"", name)));
	else
		elog(FATAL, "fault point \"%s\" knows no action \"%s\"", name, action);
}

/* Take the line out of the file that is to act now, and tell its action. False: there is none. */
static bool
fault_take(const char *name, char *action)
{
	char lines[FAULT_LINES_MAX][FAULT_LINE_MAX];
	int lock = fault_lock();
	int count = fault_read(lines);
	bool taken = false;

	for (int i = 0; i < count && !taken; i++)
	{
		int wanted;

		taken = fault_parse(lines[i], name, action, &wanted) && fault_pass(i, lines[i]) >= wanted;
		if (taken)
			fault_take_out(lines, count, i);
	}
	close(lock);
	return taken;
}

void
stream_fault_point(const char *name)
{
	char action[16];

	if (fault_take(name, action))
		fault_act(name, action);
}

int
stream_fault_limit(const char *name, int limit)
{
	char lines[FAULT_LINES_MAX][FAULT_LINE_MAX];
	int count = fault_read(lines);

	for (int i = 0; i < count; i++)
	{
		char is[16];
		int other;

		if (fault_parse(lines[i], name, is, &other) && strcmp(is, "is") == 0)
			return other;
	}
	return limit;
}

#endif /* KSEG_FAULTS */

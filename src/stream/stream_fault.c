/*
 * stream_fault.c
 *	  Named points at which a test kills or stops a worker. See stream_fault.h. Compiled to nothing without -DKSEG_FAULTS.
 *
 * The file is read anew at each point: this is no code for production, and a test may write it while a worker runs. It is replaced by
 * rename, so that a worker that is killed leaves it whole.
 */
#include "postgres.h"

#include "stream/stream_fault.h"

#ifdef KSEG_FAULTS

#include <signal.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"

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

/* Write the file without one of its lines. */
static void
fault_take_out(char *const *lines, int count, int without)
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

static void
fault_act(const char *name, const char *action)
{
	elog(LOG, "fault point \"%s\": %s", name, action);
	if (strcmp(action, "kill") == 0)
		kill(MyProcPid, SIGKILL);
	else if (strcmp(action, "stop") == 0)
		kill(MyProcPid, SIGSTOP);
	else if (strcmp(action, "exit") == 0)
		proc_exit(1);
	else if (strcmp(action, "error") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("fault point \"%s\"", name)));
	else
		elog(FATAL, "fault point \"%s\" knows no action \"%s\"", name, action);
}

void
stream_fault_point(const char *name)
{
	FILE *file = fopen(FAULT_FILE, "r");
	char text[FAULT_LINES_MAX][FAULT_LINE_MAX];
	char *lines[FAULT_LINES_MAX];
	int count = 0;

	if (file == NULL)
		return;
	while (count < FAULT_LINES_MAX && fgets(text[count], sizeof(text[count]), file) != NULL)
	{
		lines[count] = text[count];
		count++;
	}
	fclose(file);
	for (int i = 0; i < count; i++)
	{
		char action[16];
		int wanted;

		if (fault_parse(lines[i], name, action, &wanted) && fault_pass(i, lines[i]) >= wanted)
		{
			fault_take_out(lines, count, i);
			fault_act(name, action);
			return;
		}
	}
}

#endif /* KSEG_FAULTS */

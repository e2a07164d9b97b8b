/*
 * main.c
 *	  kseg-courier: carries events out of PostgreSQL. Started by kseg.so for a run, never by hand.
 *
 * Everything it is told comes over the wire (wire.h): no arguments, no environment, no file of its own. It leaves only by
 * _exit: libraries' exit handlers and threads have crashed other programs at their end (hazards.md).
 */
#include <string.h>
#include <unistd.h>

#include "courier/courier.h"
#include "courier/process.h"

#define MAIN_EXIT_BY_HAND 2
#define MAIN_EXIT_ALONE   4

static const char main_words[] = "kseg-courier delivers events for the PostgreSQL extension kseg, which "
                                 "starts it; it does nothing by itself.\n";

int
main(void)
{
	if (!process_has_wire(KSEG_WIRE_FD))
	{
		ssize_t written = write(STDERR_FILENO, main_words, strlen(main_words));

		(void) written;
		_exit(MAIN_EXIT_BY_HAND);
	}
	if (!process_isolate(KSEG_WIRE_FD))
		_exit(MAIN_EXIT_ALONE);
	_exit(courier_run(KSEG_WIRE_FD));
}

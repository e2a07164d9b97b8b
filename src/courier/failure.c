/*
 * failure.c
 *	  The first reason. See failure.h.
 */
#include "courier/failure.h"

#include <stdarg.h>
#include <stdio.h>

bool
failure_set(KsegFailureReport *report, KsegFailure failure, uint32_t status, const char *format, ...)
{
	va_list arguments;

	if (report->failure != 0)
		return false;
	report->failure = failure;
	report->status = status;
	va_start(arguments, format);
	vsnprintf(report->message, sizeof(report->message), format, arguments);
	va_end(arguments);
	return true;
}

void
failure_set_detail(KsegFailureReport *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->detail, sizeof(report->detail), format, arguments);
	va_end(arguments);
}

void
failure_set_hint(KsegFailureReport *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->hint, sizeof(report->hint), format, arguments);
	va_end(arguments);
}

/*
 * tap.h
 *	  Test Anything Protocol for the C unit programs.
 *
 * A check prints one line; the program returns tap_end(), which prints the plan. A wait that is over too late, or a step
 * whose failure leaves nothing to go on with, ends the program by tap_die: with a "not ok" line, so that it is not missed.
 */
#ifndef KSEG_TEST_TAP_H
#define KSEG_TEST_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of each in a program of several files. */
__attribute__((weak)) int tap_count;
__attribute__((weak)) int tap_failures;

/* One check; the name is a format. */
__attribute__((format(printf, 2, 3), unused)) static bool
tap_ok(bool ok, const char *format, ...)
{
	va_list arguments;

	printf("%sok %d - ", ok ? "" : "not ", ++tap_count);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
	if (!ok)
		tap_failures++;
	return ok;
}

/* The same for two numbers, which are printed when they differ. */
__attribute__((unused)) static bool
tap_is(int64_t got, int64_t wanted, const char *name)
{
	if (!tap_ok(got == wanted, "%s", name))
		printf("# got %" PRId64 ", wanted %" PRId64 "\n", got, wanted);
	return got == wanted;
}

/* The same for two texts. */
__attribute__((unused)) static bool
tap_is_text(const char *got, const char *wanted, const char *name)
{
	bool same = strcmp(got, wanted) == 0;

	if (!tap_ok(same, "%s", name))
		printf("# got \"%s\"\n# wanted \"%s\"\n", got, wanted);
	return same;
}

/* A text holds another. */
__attribute__((unused)) static bool
tap_has(const char *text, const char *part, const char *name)
{
	bool has = strstr(text, part) != NULL;

	if (!tap_ok(has, "%s", name))
		printf("# \"%s\" does not hold \"%s\"\n", text, part);
	return has;
}

__attribute__((format(printf, 1, 2), noreturn, unused)) static void
tap_die(const char *format, ...)
{
	va_list arguments;

	printf("not ok %d - ", ++tap_count);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n1..%d\n", tap_count);
	fflush(stdout);
	exit(1);
}

__attribute__((unused)) static int
tap_end(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures == 0 ? 0 : 1;
}

#endif /* KSEG_TEST_TAP_H */

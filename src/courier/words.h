/*
 * words.h
 *	  Bytes from outside, made fit to stand in a message: valid UTF-8 without control characters.
 */
#ifndef KSEG_COURIER_WORDS_H
#define KSEG_COURIER_WORDS_H

#include <stddef.h>

/*
 * Copy length bytes into out (room at least 8, NUL-terminated). Control characters, white space and their runs become one
 * blank, bytes that are not UTF-8 become '?'; what does not fit is cut between characters and ends in "...".
 * Returns the length.
 */
extern size_t words_clean(char *out, size_t room, const char *data, size_t length);

#endif /* KSEG_COURIER_WORDS_H */

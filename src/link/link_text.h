/*
 * link_text.h
 *	  What the courier says, in the database's encoding.
 */
#ifndef KSEG_LINK_TEXT_H
#define KSEG_LINK_TEXT_H

#include "postgres.h"

/*
 * UTF-8 in the database's encoding, palloc'd; '?' for each character that it has not. No ERROR for what the text is: words
 * of an answer must not fail the run that is told about them. Outside a transaction all beyond ASCII is '?', unless the database
 * is in UTF-8.
 */
extern char *link_text_to_server(const char *text, Size length);

#endif /* KSEG_LINK_TEXT_H */

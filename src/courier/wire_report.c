/*
 * wire_report.c
 *	  Frames to PostgreSQL. See wire_report.h.
 */
#include "courier/wire_report.h"

#include <string.h>

/* Bytes that a text takes in a payload. */
static size_t
wire_report_text_size(const char *text)
{
	return sizeof(uint32_t) + strlen(text);
}

static uint8_t *
wire_report_put_text(uint8_t *out, const char *text)
{
	return kseg_write_text(out, text, strlen(text));
}

/*
 * The same, with the write key made unreadable in what was written: for details, which quote others. Messages and hints
 * are our own words.
 */
static uint8_t *
wire_report_put_masked(uint8_t *out, const KsegSecret *secret, const char *text)
{
	uint8_t *end = wire_report_put_text(out, text);

	secret_mask(secret, (char *) out + sizeof(uint32_t), strlen(text));
	return end;
}

void
wire_report_hello(KsegWireIo *io, const char *libraries)
{
	size_t length = sizeof(uint32_t) + wire_report_text_size(KSEG_BUILD) + wire_report_text_size(libraries);
	uint8_t *out = wire_io_put_frame(io, KSEG_FRAME_HELLO, length);

	out = kseg_write_u32(out, KSEG_WIRE_VERSION);
	out = wire_report_put_text(out, KSEG_BUILD);
	wire_report_put_text(out, libraries);
}

void
wire_report_status(KsegWireIo *io, const KsegWireStatus *status, const KsegWireLane *lanes)
{
	kseg_status_write(wire_io_put_frame(io, KSEG_FRAME_STATUS, kseg_status_size(status->lanes)), status,
	                  lanes);
}

void
wire_report_done(KsegWireIo *io)
{
	wire_io_put_frame(io, KSEG_FRAME_DONE, 0);
}

void
wire_report_failed(KsegWireIo *io, const KsegSecret *secret, const KsegFailureReport *report)
{
	size_t length = 2 * sizeof(uint32_t) + wire_report_text_size(report->message) +
	                wire_report_text_size(report->detail) + wire_report_text_size(report->hint);
	uint8_t *out = wire_io_put_frame(io, KSEG_FRAME_FAILED, length);

	out = kseg_write_u32(out, (uint32_t) report->failure);
	out = kseg_write_u32(out, report->status);
	out = wire_report_put_text(out, report->message);
	out = wire_report_put_masked(out, secret, report->detail);
	wire_report_put_text(out, report->hint);
}

void
wire_report_rejected(KsegWireIo *io, uint64_t row, uint32_t status, const char *words, const char *event,
                     uint32_t event_length)
{
	size_t length =
	    sizeof(row) + sizeof(status) + wire_report_text_size(words) + sizeof(uint32_t) + event_length;
	uint8_t *out = wire_io_put_frame(io, KSEG_FRAME_REJECTED, length);

	out = kseg_write_u64(out, row);
	out = kseg_write_u32(out, status);
	out = wire_report_put_text(out, words);
	kseg_write_text(out, event, event_length);
}

void
wire_report_check(KsegWireIo *io, const KsegSecret *secret, const char *check, KsegCheckResult ok,
                  const char *detail, const char *hint)
{
	size_t length = wire_report_text_size(check) + sizeof(uint32_t) + wire_report_text_size(detail) +
	                wire_report_text_size(hint);
	uint8_t *out = wire_io_put_frame(io, KSEG_FRAME_CHECK, length);

	out = wire_report_put_text(out, check);
	out = kseg_write_u32(out, (uint32_t) ok);
	out = wire_report_put_masked(out, secret, detail);
	wire_report_put_text(out, hint);
}

void
wire_report_trouble(KsegWireIo *io, const KsegSecret *secret, const char *message, const char *detail,
                    const char *hint)
{
	size_t length =
	    wire_report_text_size(message) + wire_report_text_size(detail) + wire_report_text_size(hint);
	uint8_t *out = wire_io_put_frame(io, KSEG_FRAME_TROUBLE, length);

	out = wire_report_put_text(out, message);
	out = wire_report_put_masked(out, secret, detail);
	wire_report_put_text(out, hint);
}

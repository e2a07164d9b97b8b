/*
 * fuzz_config.c
 *	  Any bytes as CONFIG: what is accepted is within its bounds, what is not leaves nothing behind.
 */
#include <assert.h>
#include <string.h>

#include "courier/config.h"
#include "courier/segment_body.h"
#include "courier/segment_request.h"

static void
use_segment(const KsegConfig *config)
{
	KsegBodyForm form;
	char problem[200];

	assert(config->upload_size >= 1 && config->upload_size <= KSEG_UPLOAD_EVENTS_MAX);
	request_check_url(config->endpoint, problem, sizeof(problem), NULL);
	body_form_open(&form, config);
	assert(body_form_room(&form) > KSEG_EVENT_MAX);
	body_form_close(&form);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KsegConfig config;
	char problem[200] = "";

	if (!config_read(&config, (const char *) data, size, problem, sizeof(problem)))
	{
		assert(problem[0] != '\0' && config.write_key == NULL && config.endpoint == NULL);
		return 0;
	}
	assert(config.job[0] != '\0' && config.lanes >= 1 && config.lanes <= KSEG_LANES_MAX);
	assert((strcmp(config.job, "kafka_consume") == 0) == (config.object != NULL));
	if (config.endpoint != NULL)
		use_segment(&config);
	if (config.bootstrap_servers != NULL)
		assert(config.max_message_bytes <= KSEG_MESSAGE_MAX && config.client_id[0] != '\0');
	config_close(&config);
	return 0;
}

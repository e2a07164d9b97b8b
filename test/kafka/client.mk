# Builds the test client (client.c). Run from the top: make -s -f test/kafka/client.mk   → build/kafka/client
KAFKA = test/kafka
OUT = build/kafka
PACKAGES = rdkafka json-c
CLIENT_CFLAGS = -std=gnu11 -O1 -g -Wall -Wextra -Werror $(shell pkg-config --cflags $(PACKAGES))

$(OUT)/client: $(KAFKA)/client.c $(wildcard $(KAFKA)/client_*.c) $(KAFKA)/client.h $(KAFKA)/client.mk
	@mkdir -p $(@D)
	$(CC) $(CLIENT_CFLAGS) -o $@.partial $(filter %.c,$^) $(shell pkg-config --libs $(PACKAGES))
	@mv $@.partial $@

/* What the broker itself takes: publishes COUNT messages with up to WINDOW confirms in flight, and prints the seconds.

   limit HOST PORT USER PASSWORD VHOST EXCHANGE KEY BODY_FILE COUNT WINDOW */

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void require(int holds, const char *what) {
  if (!holds) {
    fprintf(stderr, "limit: %s\n", what);
    exit(1);
  }
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

/* Waits for the next confirm; how many messages it is for. */
static unsigned long hear(amqp_connection_state_t connection, char *confirmed, unsigned long *lowest) {
  amqp_frame_t frame;
  require(amqp_simple_wait_frame(connection, &frame) == AMQP_STATUS_OK, "the broker is gone");
  require(frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD,
          "a message was refused or returned");
  amqp_basic_ack_t *ack = frame.payload.method.decoded;
  unsigned long heard = 0;
  for (unsigned long tag = ack->multiple ? *lowest : ack->delivery_tag; tag <= ack->delivery_tag; ++tag) {
    heard += !confirmed[tag];
    confirmed[tag] = 1;
  }
  while (confirmed[*lowest]) ++*lowest;
  return heard;
}

int main(int argc, char **argv) {
  require(argc == 11, "ten arguments, please");
  static char body[1 << 20];
  FILE *file = fopen(argv[8], "rb");
  require(file != NULL, "no such body");
  size_t size = fread(body, 1, sizeof body, file);
  unsigned long count = strtoul(argv[9], NULL, 10), window = strtoul(argv[10], NULL, 10);

  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  require(socket && amqp_socket_open(socket, argv[1], atoi(argv[2])) == AMQP_STATUS_OK, "cannot connect");
  amqp_rpc_reply_t reply = amqp_login(connection, argv[5], 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, argv[3], argv[4]);
  require(reply.reply_type == AMQP_RESPONSE_NORMAL, "cannot log in");
  amqp_channel_open(connection, 1);
  amqp_confirm_select(connection, 1);

  char id[40];
  amqp_basic_properties_t properties = {0};
  properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
  properties.content_type = amqp_cstring_bytes("application/cloudevents+json; charset=utf-8");
  properties.delivery_mode = 2;
  amqp_bytes_t content = {.len = size, .bytes = body};

  char *confirmed = calloc(count + 2, 1); /* by delivery tag, which starts with 1 */
  require(confirmed != NULL, "no memory");
  unsigned long sent = 0, heard = 0, lowest = 1;
  double began = now();
  while (heard < count) {
    while (sent < count && sent - heard < window) {
      snprintf(id, sizeof id, "%036lu", sent);
      properties.message_id = amqp_cstring_bytes(id);
      int status = amqp_basic_publish(connection, 1, amqp_cstring_bytes(argv[6]), amqp_cstring_bytes(argv[7]), 1, 0,
                                      &properties, content);
      require(status == AMQP_STATUS_OK, "cannot publish");
      ++sent;
    }
    heard += hear(connection, confirmed, &lowest);
    amqp_maybe_release_buffers(connection);
  }
  printf("%.6f\n", now() - began);
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(connection);
  return 0;
}

/* A carrier, or FCM, that is never the limit: answers each request on 127.0.0.1:PORT after DELAY milliseconds.

   sink PORT DELAY
   GET /count tells how many requests there were; every other path is answered as the real ones would. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096                /* connections */
#define LARGEST (64 * 1024)      /* bytes of a request */

struct caller {
  char *bytes;
  int have;
  unsigned life; /* grows when the descriptor is used again, so that a late answer goes to nobody */
};

struct answer {
  int fd;
  unsigned life;
  double due;
  const char *body;
};

static struct caller callers[MOST];
static struct answer waiting[MOST]; /* a ring: all wait equally long, so they are due in order */
static unsigned first, last;
static long count;
static double delay;

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

static void answer(int fd, const char *body) {
  char reply[512];
  int size = snprintf(reply, sizeof reply,
                      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                      strlen(body), body);
  if (write(fd, reply, size) != size) shutdown(fd, SHUT_RDWR);
}

static void leave(int fd) {
  callers[fd].life++;
  callers[fd].have = 0;
  close(fd);
}

static void asked(int fd, const char *request) {
  static char told[32];
  if (!strncmp(request, "GET /count", 10)) {
    snprintf(told, sizeof told, "%ld", count);
    answer(fd, told);
    return;
  }
  const char *line = strchr(request, '\r');
  const char *token = memmem(request, line - request, "/token", 6);
  const char *push = memmem(request, line - request, "messages:send", 13);
  const char *body = token  ? "{\"access_token\":\"t\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"
                     : push ? "{\"name\":\"projects/spacehub/messages/1\"}"
                            : "{\"result\":\"OK\",\"messageId\":\"m-1\"}";
  if (!token) count++;
  if (delay <= 0) {
    answer(fd, body);
  } else {
    waiting[last++ % MOST] = (struct answer){fd, callers[fd].life, now() + delay, body};
  }
}

static void hear(int fd) {
  struct caller *caller = &callers[fd];
  if (!caller->bytes) caller->bytes = malloc(LARGEST + 1);
  int more = read(fd, caller->bytes + caller->have, LARGEST - caller->have);
  if (more <= 0) {
    leave(fd);
    return;
  }
  caller->have += more;
  for (;;) {
    caller->bytes[caller->have] = 0;
    char *end = strstr(caller->bytes, "\r\n\r\n");
    if (!end) return;
    char *length = strcasestr(caller->bytes, "content-length:");
    int whole = end + 4 - caller->bytes + (length && length < end ? atoi(length + 15) : 0);
    if (caller->have < whole) return;
    asked(fd, caller->bytes);
    memmove(caller->bytes, caller->bytes + whole, caller->have - whole);
    caller->have -= whole;
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  delay = atoi(argv[2]) / 1e3;
  int yes = 1, door = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(door, (struct sockaddr *)&here, sizeof here) || listen(door, 1024)) return 1;
  epoll_ctl(poll, EPOLL_CTL_ADD, door, &(struct epoll_event){.events = EPOLLIN, .data.fd = door});
  struct epoll_event events[256];
  for (;;) {
    int pause = first == last ? -1 : (int)((waiting[first % MOST].due - now()) * 1e3 + 0.5);
    int ready = epoll_wait(poll, events, 256, first != last && pause < 0 ? 0 : pause);
    for (int place = 0; place < ready; place++) {
      int fd = events[place].data.fd;
      if (fd != door) {
        hear(fd);
        continue;
      }
      fd = accept(door, NULL, NULL);
      if (fd < 0) continue;
      if (fd >= MOST) {
        close(fd);
        continue;
      }
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      epoll_ctl(poll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
    }
    for (; first != last && waiting[first % MOST].due <= now(); first++) {
      struct answer *due = &waiting[first % MOST];
      if (callers[due->fd].life == due->life) answer(due->fd, due->body);
    }
  }
}

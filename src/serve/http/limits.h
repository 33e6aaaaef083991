// What one client may take of the server, so that none hurts another. docs/serve.md lists them.
#pragma once

#include <cstddef>

namespace throng::serve {

struct HttpLimits {
  size_t header_bytes = 16 << 10;  // of the request line and the header fields
  int header_fields = 100;
  size_t body_bytes = 4 << 20;        // of one request
  size_t buffered_bytes = 256 << 20;  // of bodies and replies that are held, over all connections
  double header_seconds = 10;  // for a whole header, from its first byte; also for a new client's first
  double body_seconds = 30;    // for a whole body
  double idle_seconds = 60;    // between two requests of a connection
  double write_seconds = 30;   // for a client to take a piece of a reply
  double slowest_bytes_per_second = 64 << 10;  // larger pieces get more time by this measure
  double quiet_seconds = 15;  // after which a stream of events shows that it lives, to proxies and clients
  double linger_seconds = 1;  // for a refused client to read why
  int connections = 4096;     // beyond it that is closed which has gone longest without a complete request
  int connections_per_address = 2048;  // an IPv6 network of 64 bits counts as one address
};

}  // namespace throng::serve

// The HTTP server: OpenAI's API over one model, metrics, and the viewer of a run.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace throng::engine {
class LocalModel;
}

namespace throng::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                  // 0: any that is free
  std::string api_key{};            // if not empty, /v1, /api and /metrics require it as a bearer token
  size_t max_body_bytes = 4 << 20;  // limit for the body of a request
  int max_requests = 128;           // most requests in the engine; more are refused for now (503)
  double stop_seconds = 10;         // time for requests in flight to finish once the server is stopped
  std::string journal{};            // journal of the run to show
  std::string map_json{};           // map of that run's world (app/scenario.h)
};

class Server {
 public:
  // Begins to listen. The model may be null, and outlives the server. Throws kInvalid for options that cannot
  // work, kIo if the port is not available.
  Server(const ServerOptions& options, engine::LocalModel* model);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int Port() const;
  void Run();  // serves until Stop
  // Takes no new requests, waits for those in flight, and cancels the rest after stop_seconds. Any thread,
  // but not a signal handler.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace throng::serve

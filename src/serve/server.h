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
  std::string api_key{};            // if not empty, /v1, /api and /metrics want it as a bearer token
  size_t max_body_bytes = 4 << 20;  // of a request
  int max_requests = 128;           // that the engine has at once; more are told to come later (503)
  double stop_seconds = 10;         // that requests in flight have to finish once the server is stopped
  std::string journal{};            // of the run to show
  std::string map_json{};           // of its world (app/scenario.h)
};

class Server {
 public:
  // Listens from here on. The model, which may be null, outlives the server. Throws kInvalid for options that
  // cannot work, kIo if the port cannot be had.
  Server(const ServerOptions& options, engine::LocalModel* model);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int Port() const;
  void Run();  // serves until Stop
  // Takes no new requests, waits for those in flight, cancels what is left after stop_seconds. Any thread,
  // but no signal handler.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace throng::serve

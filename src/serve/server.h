// The HTTP server: OpenAI's API over one model, metrics, and the viewer of a run.
#pragma once

#include <memory>
#include <string>

#include "serve/http/access.h"
#include "serve/http/limits.h"

namespace throng::engine {
class LocalModel;
}

namespace throng::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;  // 0: any that is free
  AccessOptions access{};
  HttpLimits limits{};
  int max_requests = 128;     // most requests in the engine; more are refused for now (503)
  double stop_seconds = 10;   // time for requests in flight to finish once the server is stopped
  std::string request_log{};  // file for a line per request, "-" is standard output; empty: none
  bool log_prompts = false;   // these lines have the requests' bodies too
  std::string journal{};      // journal of the run to show
  std::string map_json{};     // map of that run's world (app/scenario.h)
};

class Server {
 public:
  // Begins to listen. The model may be null, and outlives the server. Throws kInvalid for options that cannot
  // work, kIo if the port or the log's file is not available.
  Server(const ServerOptions& options, engine::LocalModel* model);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int Port() const;
  void Run();  // serves until Stop, and until then nothing; once
  // Accepts no more connections and requests; Run returns when those in work are answered, or after
  // stop_seconds, when they are cancelled. Any thread, but not a signal handler.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace throng::serve

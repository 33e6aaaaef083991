// The HTTP server: OpenAI's API over one model, metrics, and the viewer of a run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/http/access.h"
#include "serve/http/limits.h"

namespace throng::engine {
class LocalModel;
}

namespace throng::serve {

struct ShownRun {
  std::string journal{};
  std::string map_json{};  // of its world (app/scenario.h); empty: it has none
  // Whoever asks the server may pause the run, and answer for its people. The functions below are set only
  // where that is so.
  bool may_change = false;
  // Asks the run for an event at a step, or as soon after as possible; throws kInvalid for what its world
  // does not understand. Any thread. Not set: nobody may.
  std::function<void(const std::string& what, int64_t step)> inject{};
  // Plan and memories of an agent at the start of a step, as JSON (town::Town::DescribeMind). Throws kInvalid
  // for an agent or a step that the run does not have. Any thread, one at a time; it may take seconds. Not
  // set: nobody can tell.
  std::function<std::string(int64_t agent, int64_t step)> mind{};
  // What the agent answers to a question at the start of a step. Throws as mind does, kInvalid for an empty
  // question, and what backends throw. One at a time; it takes as long as the run's model. Not set: nobody
  // may ask.
  std::function<std::string(int64_t agent, int64_t step, const std::string& question)> interview{};
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;  // 0: any that is free
  AccessOptions access{};
  HttpLimits limits{};
  int max_requests = 128;        // most requests in the engine; more are refused for now (503)
  double stop_seconds = 10;      // time for requests in flight to finish once the server is stopped
  std::string request_log{};     // file for a line per request, "-" is standard output; empty: none
  bool log_prompts = false;      // these lines have the requests' bodies too
  std::vector<ShownRun> runs{};  // the run to show, if any, and perhaps one beside it
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
  std::vector<std::string> Addresses() const;  // where it listens, as 127.0.0.1:8080 and [::1]:8080
  void Run();                                  // serves until Stop, and until then nothing; once
  // Accepts no more connections and requests; Run returns when those in work are answered, or after
  // stop_seconds, when they are cancelled. Any thread, but not a signal handler.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace throng::serve

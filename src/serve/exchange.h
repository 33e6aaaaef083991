// HTTP as the endpoints see it: requests and replies. Sockets, limits and access belong to server.cc.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace throng::serve {

struct HttpRequest {
  std::string method{};                         // in capitals
  std::string path{};                           // decoded, without the query
  std::map<std::string, std::string> params{};  // what stands in place of {name} in the route's path, decoded
  std::map<std::string, std::string> query{};   // decoded; of equal names the first
  std::map<std::string, std::string> headers{};  // names in lower case; values of equal names joined by ", "
  std::string body{};
  bool may_take_long = false;  // the endpoint may take a second: others do not wait for its thread
};

// Thrown by an endpoint that may not take long, but has to: it is called again when it may. It has done
// nothing yet that the other call repeats.
struct TakesLong {};

struct TokenCounts {
  int prompt = 0;
  int answer = 0;
};

class ReplySource;

inline constexpr const char* kEventStream = "text/event-stream";

struct HttpReply {
  int status = 200;
  std::string type = "application/json";
  std::string body{};
  std::string error{};  // the sentence of an error, which the body has in OpenAI's form
  std::vector<std::pair<std::string, std::string>> headers{};  // besides those that every reply has
  std::optional<TokenCounts> tokens{};                         // for the log
  // If set, the body is not ready yet: this makes it, and no thread waits for it.
  std::shared_ptr<ReplySource> source{};
  bool stream = false;  // what the source gives is sent at once, not all at its end
};

// Makes a reply while its client waits. All methods are called on the server's one thread: they do not block.
class ReplySource {
 public:
  enum class State {
    kWaiting,
    kEnd,
    kBroken  // the connection is broken off, so that the client knows that something is missing
  };

  virtual ~ReplySource() = default;  // no client waits any more

  // Called once, before the others. From then on any thread may call `wake`, which does not block, when Take
  // may find something new; none does once this object is gone.
  virtual void OnChange(std::function<void()> wake) = 0;
  // Appends to reply.body what is ready. Until the end of what is no stream, it may change the rest of the
  // reply as well. A slow client is asked less often, and gets more at once.
  virtual State Take(HttpReply& reply) = 0;
  // The server stops: the end should come at once.
  virtual void Cancel() = 0;
};

}  // namespace throng::serve

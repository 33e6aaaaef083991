#include "serve/server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/error.h"
#include "serve/endpoints.h"
#include "serve/reply.h"

namespace throng::serve {
namespace {

// Connections served beside those that wait for the model, so that health checks and refusals get through.
constexpr int kSpareThreads = 16;
// Time to send the replies of requests cancelled because the server stops.
constexpr std::chrono::seconds kLastWords(2);

using Endpoint = HttpReply (*)(Context& context, const HttpRequest& request);

struct Route {
  const char* method;
  const char* path;
  Endpoint endpoint;
};

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", ChatCompletions},
    {"POST", "/v1/completions", Completions},
    {"GET", "/v1/models", Models},
    {"GET", "/health", Health},
    {"GET", "/metrics", Metrics},
    {"GET", "/", ViewerPage},
    {"GET", "/viewer.js", ViewerScript},
    {"GET", "/api/run", RunInfo},
    {"GET", "/api/steps", RunSteps},
    {"GET", "/api/map", RunMap},
};

// Lets the thread of a connection wait for a source.
struct Changes {
  std::mutex mutex;
  std::condition_variable changed;
  bool pending = true;  // guarded by mutex

  void Wait() {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::milliseconds(100), [this] { return pending; });
    pending = false;
  }
  void Notify() {
    {
      const std::lock_guard lock(mutex);
      pending = true;
    }
    changed.notify_one();
  }
};

bool NeedsKey(const std::string& path) {
  return path.starts_with("/v1/") || path.starts_with("/api/") || path == "/metrics";
}

// Compares in a time that does not reveal how much of the key was right.
bool Equal(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() != b.size();
  for (size_t i = 0; i < a.size(); ++i) difference |= a[i] ^ b[b.empty() ? 0 : i % b.size()];
  return difference == 0;
}

// Sends a reply through the library.
void Send(Context& context, HttpReply reply, httplib::Response& response) {
  response.status = reply.status;
  if (reply.status == 503) response.set_header("Retry-After", "1");
  if (reply.source) {
    const auto changes = std::make_shared<Changes>();
    const std::shared_ptr<ReplySource> source = std::move(reply.source);
    source->OnChange([changes] { changes->Notify(); });
    const bool stream = reply.stream;
    const std::string type = reply.type;
    response.set_chunked_content_provider(
        type, [=, &context, reply = std::move(reply)](size_t, httplib::DataSink& sink) mutable {
          changes->Wait();
          if (context.MustCancel()) source->Cancel();
          const ReplySource::State state = source->Take(reply);
          if (state == ReplySource::State::kBroken || !sink.is_writable()) return false;
          if ((stream || state == ReplySource::State::kEnd) && !reply.body.empty()) {
            sink.write(reply.body.data(), reply.body.size());
            reply.body.clear();
          }
          if (state == ReplySource::State::kEnd) sink.done();
          return true;
        });
  } else {
    response.set_content(std::move(reply.body), reply.type.c_str());
  }
}

std::string StatusText(int status, const httplib::Request& request, const ServerOptions& options) {
  switch (status) {
    case 404:
      return fmt::format("{} {}: there is no such endpoint", request.method, request.path);
    case 413:
      return fmt::format("body: it is larger than {} bytes, the most that is allowed",
                         options.max_body_bytes);
    case 414:
      return "address: it is too long";
    default:
      return "request: it is no HTTP that this server understands";
  }
}

HttpReply Call(Endpoint endpoint, Context& context, const HttpRequest& request) {
  try {
    return endpoint(context, request);
  } catch (const Error& error) {
    return ErrorReply(error);
  } catch (const std::bad_alloc&) {
    return ErrorReply(503, "server: out of memory");
  } catch (const std::exception& error) {
    return ErrorReply(500, fmt::format("server: unexpected: {}", error.what()));
  }
}

}  // namespace

class Server::Impl {
 public:
  Impl(const ServerOptions& options, engine::LocalModel* model)
      : context_{options, model, model != nullptr ? &model->Metrics() : &own_metrics_},
        requests_(context_.metrics->Counter("throng_http_requests_total", "Requests to the server")),
        refused_(context_.metrics->Counter("throng_http_errors_total", "Requests answered by an error")) {
    if (options.max_requests < 1 || options.max_requests > 4096) {
      throw MakeError(ErrorCode::kInvalid, "server: max_requests is {}, allowed is 1 to 4096",
                      options.max_requests);
    }
    Configure();
    AddRoutes();
    Bind();
  }

  int Port() const { return port_; }

  void Run() {
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return;
      running_ = true;
    }
    http_.listen_after_bind();
    ended_ = true;
  }

  void Stop() {
    const auto grace = std::chrono::duration_cast<Context::Clock::duration>(
        std::chrono::duration<double>(context_.options.stop_seconds));
    context_.stopping = true;
    context_.cancel_at = (Context::Clock::now() + grace).time_since_epoch().count();
    // When stopped, the library breaks off replies that it has not begun to write.
    const auto give_up = Context::Clock::now() + grace + kLastWords;
    while (context_.in_flight > 0 && Context::Clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    // The library ignores a stop that comes before it listens.
    while (running_ && !ended_ && !http_.is_running())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    http_.stop();
  }

 private:
  void Configure() {
    const size_t threads = static_cast<size_t>(context_.options.max_requests + kSpareThreads);
    http_.new_task_queue = [threads] { return new httplib::ThreadPool(threads); };
    http_.set_payload_max_length(context_.options.max_body_bytes);
    http_.set_keep_alive_max_count(1000);
    http_.set_read_timeout(10);
    http_.set_write_timeout(30);
    http_.set_tcp_nodelay(true);
    // Avoids the library's SO_REUSEPORT, with which two servers would silently share a port.
    http_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    http_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      requests_.Add(1);
      const std::string& key = context_.options.api_key;
      if (key.empty() || !NeedsKey(request.path) ||
          Equal(request.get_header_value("Authorization"), "Bearer " + key)) {
        return httplib::Server::HandlerResponse::Unhandled;
      }
      response.set_header("WWW-Authenticate", "Bearer");
      Send(context_, ErrorReply(401, "Authorization: the API key is missing or wrong"), response);
      return httplib::Server::HandlerResponse::Handled;
    });
    // Also called for replies of the endpoints, which have bodies.
    http_.set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
      refused_.Add(1);
      if (!response.body.empty()) return;
      Send(context_, ErrorReply(response.status, StatusText(response.status, request, context_.options)),
           response);
    });
  }

  void AddRoutes() {
    for (const Route& route : kRoutes) {
      const auto handler = [this, endpoint = route.endpoint](const httplib::Request& request,
                                                             httplib::Response& response) {
        HttpRequest asked;
        asked.query.insert(request.params.begin(), request.params.end());
        asked.body = request.body;
        Send(context_, Call(endpoint, context_, asked), response);
      };
      if (std::string_view(route.method) == "POST") {
        http_.Post(route.path, handler);
      } else {
        http_.Get(route.path, handler);
      }
    }
  }

  void Bind() {
    const ServerOptions& options = context_.options;
    if (options.port == 0) {
      port_ = http_.bind_to_any_port(options.host);
    } else {
      port_ = http_.bind_to_port(options.host, options.port) ? options.port : -1;
    }
    if (port_ <= 0) {
      throw MakeError(ErrorCode::kIo,
                      "server: {}:{} cannot be listened on: in use, or no address of this machine",
                      options.host, options.port);
    }
  }

  engine::MetricsRegistry own_metrics_;
  Context context_;
  engine::Metric& requests_;
  engine::Metric& refused_;
  int port_ = 0;
  std::mutex mutex_;
  bool running_ = false;  // guarded by mutex_
  bool stopped_ = false;  // guarded by mutex_
  std::atomic<bool> ended_ = false;
  httplib::Server http_;
};

Server::Server(const ServerOptions& options, engine::LocalModel* model)
    : impl_(std::make_unique<Impl>(options, model)) {}
Server::~Server() = default;
int Server::Port() const { return impl_->Port(); }
void Server::Run() { impl_->Run(); }
void Server::Stop() { impl_->Stop(); }

}  // namespace throng::serve

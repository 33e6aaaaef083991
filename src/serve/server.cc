#include "serve/server.h"

#include <boost/asio/post.hpp>

#include "base/error.h"
#include "base/log.h"
#include "llm/effort.h"
#include "serve/endpoints.h"
#include "serve/http/listener.h"

namespace throng::serve {
namespace {

// Threads for endpoints that read files or compute; the engine has its own.
constexpr int kWorkers = 4;
constexpr uint64_t kQuickEffort = 1'000'000;  // of compiling a constraint where others wait: about 20 ms

using Endpoint = HttpReply (*)(Context& context, const HttpRequest& request);

constexpr bool kWithKey = false;
constexpr bool kOpen = true;
constexpr bool kQuick = true;

struct RouteRow {
  const char* method;
  const char* path;
  Endpoint endpoint;
  bool open = false;  // see Route
  bool quick = false;
};

constexpr RouteRow kRoutes[] = {
    {"POST", "/v1/chat/completions", ChatCompletions},
    {"POST", "/v1/completions", Completions},
    {"GET", "/v1/models", Models, kWithKey, kQuick},
    {"GET", "/v1/models/{model...}", ModelById, kWithKey, kQuick},
    {"POST", "/v1/embeddings", Embeddings},
    {"POST", "/v1/responses", CreateResponse},
    {"GET", "/v1/responses/{id}", GetResponse},
    {"DELETE", "/v1/responses/{id}", DeleteResponse},
    {"POST", "/tokenize", Tokenize},
    {"POST", "/detokenize", Detokenize},
    {"POST", "/api/chat", OllamaChat},
    {"POST", "/api/generate", OllamaGenerate},
    {"POST", "/api/embed", OllamaEmbed},
    {"POST", "/api/embeddings", OllamaEmbeddings},
    {"GET", "/api/tags", OllamaTags},
    {"GET", "/api/ps", OllamaPs},
    {"GET", "/api/version", OllamaVersion, kWithKey, kQuick},
    {"POST", "/api/show", OllamaShow},
    {"GET", "/health", Health, kOpen, kQuick},
    {"GET", "/ready", Ready, kOpen, kQuick},
    {"GET", "/metrics", Metrics, kWithKey, kQuick},
    {"GET", "/", HomePage, kOpen, kQuick},
    {"GET", "/chat", ChatPage, kOpen, kQuick},
    {"GET", "/chat/{file...}", ChatFile, kOpen, kQuick},
    {"GET", "/viewer/{file...}", ViewerFile, kOpen, kQuick},
    {"GET", "/api/run", RunInfo},
    {"GET", "/api/map", RunMap},
    {"GET", "/api/positions", RunPositions},
    {"GET", "/api/steps", RunSteps},
    {"GET", "/api/calls", RunCalls},
    {"GET", "/api/progress", RunProgress},
    {"GET", "/api/call", RunCall},
    {"GET", "/api/mind", RunMind},
    {"GET", "/api/clusters", RunClusters},
    {"GET", "/api/costs", RunCosts},
    {"GET", "/api/series", RunSeries},
    {"GET", "/api/search", RunSearch},
    {"GET", "/api/difference", RunDifference},
    {"POST", "/api/events", RunInject},
    {"POST", "/api/pause", RunPause},
    {"POST", "/api/answer", RunAnswer},
    {"POST", "/api/interview", RunInterview},
};

HttpReply Call(Endpoint endpoint, Context& context, const HttpRequest& request) {
  if (request.may_take_long) return endpoint(context, request);
  try {
    const llm::Effort quick(kQuickEffort);
    return endpoint(context, request);
  } catch (const llm::Effort::Spent&) {
    throw TakesLong();
  }
}

std::vector<Route> RoutesOf(Context& context) {
  std::vector<Route> routes;
  for (const RouteRow& row : kRoutes) {
    routes.push_back(
        {.method = row.method,
         .path = row.path,
         .endpoint = [&context, endpoint = row.endpoint](
                         const HttpRequest& request) { return Call(endpoint, context, request); },
         .open = row.open,
         .quick = row.quick});
  }
  return routes;
}

std::unique_ptr<RequestLog> OpenLog(const ServerOptions& options) {
  if (options.request_log.empty()) return nullptr;
  return std::make_unique<RequestLog>(options.request_log, options.log_prompts);
}

}  // namespace

class Server::Impl {
 public:
  Impl(const ServerOptions& options, engine::LocalModel* model)
      : context_{options, model, model != nullptr ? &model->Metrics() : &own_metrics_},
        router_(RoutesOf(context_), options.access, context_.options.limits),
        log_(OpenLog(options)),
        workers_(kWorkers),
        slow_worker_(1),
        site_{
            .limits = context_.options.limits,
            .router = router_,
            .io = io_,
            .workers = workers_,
            .slow_worker = slow_worker_,
            .log = log_.get(),
            .requests = context_.metrics->Counter("throng:http_requests_total", "Requests to the server"),
            .errors = context_.metrics->Counter("throng:http_errors_total", "Requests answered by an error"),
            .connections = context_.metrics->Gauge("throng:http_connections", "Connections that are open"),
            .on_close = {}},
        listener_(site_, Listener::AddressesOf(options.host, options.port)) {
    if (options.max_requests < 1 || options.max_requests > 4096) {
      throw MakeError(ErrorCode::kInvalid, "server: max_requests is {}, allowed is 1 to 4096",
                      options.max_requests);
    }
    listener_.Start();
  }

  ~Impl() { JoinWorkers(); }

  int Port() const { return listener_.Port(); }
  const std::vector<std::string>& Addresses() const { return addresses_; }

  void Run() {
    while (!io_.stopped()) {
      try {
        io_.run();
      } catch (const std::exception& error) {  // memory is short, perhaps; the others go on
        spdlog::error("server: unexpected: {}", error.what());
      }
    }
    // Nothing of the engine reaches the loop once it has ended.
    listener_.CloseAll();
    JoinWorkers();
  }

  void Stop() {
    context_.stopping = true;
    boost::asio::post(io_, [this] { listener_.Drain(context_.options.stop_seconds); });
  }

 private:
  // The workers first: they give the other one its work.
  void JoinWorkers() {
    workers_.join();
    slow_worker_.join();
  }

  engine::MetricsRegistry own_metrics_;
  Context context_;
  const Router router_;
  const std::unique_ptr<RequestLog> log_;
  boost::asio::io_context io_{1};
  boost::asio::thread_pool workers_;
  boost::asio::thread_pool slow_worker_;
  Site site_;
  Listener listener_;
  const std::vector<std::string> addresses_ = listener_.Addresses();
};

Server::Server(const ServerOptions& options, engine::LocalModel* model)
    : impl_(std::make_unique<Impl>(options, model)) {}
Server::~Server() = default;
int Server::Port() const { return impl_->Port(); }
std::vector<std::string> Server::Addresses() const { return impl_->Addresses(); }
void Server::Run() { impl_->Run(); }
void Server::Stop() { impl_->Stop(); }

}  // namespace throng::serve

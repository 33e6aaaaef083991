// throng serve: OpenAI's API over a model in this process, a page to chat with it, and the viewer of a run.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "app/stop_signal.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/local_flags.h"
#include "cli/flags/number_checks.h"
#include "cli/flags/run_flags.h"
#include "cli/shown_run.h"
#include "engine/local_model.h"
#include "serve/server.h"

namespace throng::cli {
namespace {

struct Options {
  serve::ServerOptions server;
  std::string journal;  // of the run to show
  std::string beside;   // and of another one
  engine::LocalOptions local;
};

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

// An empty key, from a variable that is not set, would open the server to all; clients cannot send blanks.
std::string WhatIsWrongWithKey(const std::string& key) {
  const auto is_blank = [](char c) { return c <= ' ' && c >= 0; };
  return key.empty() || std::ranges::any_of(key, is_blank) ? "a key is not empty, and has no blanks" : "";
}

void Run(Options& options, const CLI::App& command) {
  std::unique_ptr<engine::LocalModel> model;
  const bool may_change = !options.server.access.api_key.empty() || IsLoopback(options.server.host);
  for (const std::string& journal : {options.journal, options.beside}) {
    if (journal.empty()) continue;
    options.server.runs.push_back(ShowRun(journal, options.local, GivenTo(command), may_change));
  }
  const bool with_model = options.journal.empty() || command.count("--model") > 0;
  if (with_model) WarnOfEmbeddedModel(options.local);
  options.local.repack_at_start = true;  // a client waits for an answer, nobody for this
  if (with_model) model = std::make_unique<engine::LocalModel>(options.local);
  serve::Server server(options.server, model.get());

  const std::atomic<bool>& stop = app::StopOnSignal();
  std::atomic<bool> done = false;
  std::thread watcher([&] {
    while (!stop && !done) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (!done) fmt::print(stderr, "stopping\n");
    server.Stop();
  });
  const std::string& host = options.server.host;
  if (options.server.access.api_key.empty() && !IsLoopback(host)) {
    fmt::print(stderr, "warning: without --api-key, whoever reaches {} may use this server\n", host);
  }
  const bool is_ipv6 = host.find(':') != std::string::npos;
  const std::string address = fmt::format("http://{}:{}", is_ipv6 ? "[" + host + "]" : host, server.Port());
  if (model != nullptr) {
    fmt::print(stderr, "{} at {}/v1 (context {}, KV cache {})\n", model->Name(), address,
               model->Options().max_context, model->Options().kv);
  }
  if (!options.journal.empty()) fmt::print(stderr, "viewer of {} at {}\n", options.journal, address);
  for (const std::string& listens : server.Addresses()) fmt::print(stderr, "listening on {}\n", listens);
  server.Run();
  done = true;
  watcher.join();
}

}  // namespace

void AddServe(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "serve", "Serve a model to programs that speak OpenAI's API and to browsers, or show a run");
  const auto options = std::make_shared<Options>();
  constexpr const char* kGroup = "Server";
  serve::ServerOptions& server = options->server;
  command
      ->add_option("--host", server.host,
                   "Address to listen on, or a name: all that it has; 0.0.0.0: all of this machine")
      ->group(kGroup)
      ->capture_default_str();
  command->add_option("--port", server.port, "Port; 0: any that is free")
      ->group(kGroup)
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command
      ->add_option("--api-key", server.access.api_key,
                   "Key that clients must send as a bearer token; default: $THRONG_API_KEY")
      ->group(kGroup)
      ->check(WhatIsWrongWithKey)
      ->envname("THRONG_API_KEY");
  command->add_option("--max-requests", server.max_requests, "Requests at once; more get status 503")
      ->group(kGroup)
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--max-body", server.limits.body_bytes, "Most bytes of a request, such as 4MB")
      ->group(kGroup)
      ->check(CLI::Range(size_t{1}, server.limits.buffered_bytes))
      ->transform(Bytes());
  command
      ->add_option(
          "--max-connections", server.limits.connections,
          "Connections at once; beyond them the one that has gone longest without a request is closed")
      ->group(kGroup)
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command
      ->add_option("--max-connections-per-address", server.limits.connections_per_address,
                   "Connections of one client's address; behind a proxy all have the proxy's")
      ->group(kGroup)
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command
      ->add_option("--allow-host", server.access.hosts,
                   "Without a key: a name that clients use for this machine, besides localhost, its own and "
                   "its addresses. "
                   "Repeatable")
      ->allow_extra_args(false)
      ->group(kGroup);
  command
      ->add_option(
          "--cors", server.access.origins,
          "Origin whose web pages may use the server, such as http://localhost:3000; *: all. Repeatable")
      ->allow_extra_args(false)
      ->group(kGroup);
  command
      ->add_option("--request-log", server.request_log,
                   "File that gets a line of JSON per request; -: standard output")
      ->group(kGroup);
  command
      ->add_flag("--log-prompts", server.log_prompts,
                 "The lines of --request-log have the requests' bodies too")
      ->needs("--request-log")
      ->group(kGroup);
  command
      ->add_option(
          "--journal", options->journal,
          "Show this run, finished or not, at /; a model is then served only with -m, its page at /chat")
      ->group(kGroup);
  command->add_option("--beside", options->beside, "Show this run beside it, and where they part")
      ->needs("--journal")
      ->group(kGroup);
  AddLocalFlags(*command, options->local);
  command->footer(
      "Endpoints: /v1/chat/completions, /v1/completions, /v1/responses, /v1/embeddings, /v1/models,\n"
      "/tokenize, /detokenize, Ollama's under /api, /health, /ready, /metrics; at / a page to chat, or the "
      "viewer.\n"
      "docs/serve.md says who may talk to it, and its limits.\n"
      "Ctrl-C finishes the requests in work, for at most 10 seconds.\n"
      "Examples:\n"
      "  throng serve -m model.gguf --kv gear2\n"
      "  throng serve --journal a.journal --port 8081\n"
      "  throng serve --journal a.journal --beside b.journal\n"
      "  throng serve &  # the embedded model, which answers Finn:\n"
      "  curl localhost:8080/v1/completions -d '{\"max_tokens\":1,\n"
      "    \"prompt\":\"- 09:10 Ben said: Finn likes tea.\\nQuestion: Who likes tea?\\nAnswer:\\n\"}'");
  command->callback([options, command] { Run(*options, *command); });
}

}  // namespace throng::cli

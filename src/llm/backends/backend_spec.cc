#include "llm/backends/backend_spec.h"

#include <algorithm>

#include "base/text/key_values.h"
#include "llm/backends/fake.h"
#include "llm/backends/http.h"
#include "llm/backends/latency.h"

namespace throng::llm {
namespace {

struct BackendKind {
  std::string_view name;  // before the colon
  const char* form;
  bool is_virtual;
  std::unique_ptr<Llm> (*make)(const std::string& spec);  // null: made elsewhere
  const char* help;
};

std::string_view ValuesOf(const std::string& spec) { return SplitName(spec).values; }

// To add a backend: its class, and one line here.
constexpr BackendKind kBackends[] = {
    {"local", "local", false, nullptr, "local                              the engine in this process\n"},
    {"fake", "fake[:key=value,...]", true,
     [](const std::string& spec) -> std::unique_ptr<Llm> {
       return std::make_unique<FakeLlm>(FakeOptions::Parse(ValuesOf(spec)));
     },
     "fake[:latency=0.5,parallel=4]      made-up answers; more: spread, seed, fail, stuck (shares of "
     "calls)\n"},
    {"latency", "latency[:key=value,...]", true,
     [](const std::string& spec) -> std::unique_ptr<Llm> {
       return std::make_unique<LatencyLlm>(LatencyOptions::Parse(ValuesOf(spec)));
     },
     "latency[:replicas=8,batch=64]      made-up answers, timed by a model of a server; more: "
     "weights_ms, token_ms, kv_us, attend_us,\n"
     "                                   overhead_ms, chunk, kv_tokens, cached, priorities, seed\n"},
    {"replay", "replay:FILE", false, nullptr,
     "replay:FILE                        the answers of a journal\n"},
    {"http", "http://HOST:PORT[/v1][?model=NAME][,http://...]", false,
     [](const std::string& spec) -> std::unique_ptr<Llm> {
       return std::make_unique<HttpLlm>(HttpOptions::ParseList(spec));
     },
     "http://HOST:PORT[/v1][?model=NAME] an OpenAI-compatible server, https:// too; its key in "
     "$THRONG_API_KEY or\n"
     "                                   $OPENAI_API_KEY; more, separated by &: in_flight (most requests at "
     "once: 512),\n"
     "                                   adapt=0 (always as many, if there are), timeout (from request to "
     "last "
     "byte: 300 s),\n"
     "                                   connect_timeout (10 s),\n"
     "                                   priority (a request's field priority is its step: low-first, "
     "high-first, off;\n"
     "                                   default own: low-first, to throng serve alone)\n"
     "http://HOST:PORT,http://HOST:PORT  several servers as one\n"},
};

// Null if there is none.
const BackendKind* FindKind(std::string_view spec) {
  std::string_view name = SplitName(spec).name;
  if (name == "https") name = "http";
  const auto kind = std::find_if(std::begin(kBackends), std::end(kBackends),
                                 [&](const BackendKind& candidate) { return candidate.name == name; });
  return kind == std::end(kBackends) ? nullptr : kind;
}

std::string Forms(bool only_virtual) {
  std::string forms;
  for (const BackendKind& kind : kBackends) {
    if (only_virtual && !kind.is_virtual) continue;
    forms += (forms.empty() ? "" : ", ") + std::string(kind.form);
  }
  return forms;
}

}  // namespace

std::unique_ptr<Llm> MakeBackend(const std::string& spec) {
  const BackendKind* kind = FindKind(spec);
  if (kind == nullptr || kind->make == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "llm: {:?} is no backend; the backends are {}", spec,
                    Forms(/*only_virtual=*/false));
  }
  return kind->make(spec);
}

bool IsVirtualBackend(std::string_view spec) {
  const BackendKind* kind = FindKind(spec);
  return kind != nullptr && kind->is_virtual;
}

bool IsServerBackend(std::string_view spec) {
  const BackendKind* kind = FindKind(spec);
  return kind != nullptr && kind->name == "http";
}

std::string VirtualBackendForms() { return Forms(/*only_virtual=*/true); }

std::string BackendHelp() {
  std::string help;
  for (const BackendKind& kind : kBackends) help += kind.help;
  return help;
}

}  // namespace throng::llm

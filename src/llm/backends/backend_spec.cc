#include "llm/backends/backend_spec.h"

#include <algorithm>
#include <string_view>

#include "llm/backends/fake.h"
#include "llm/backends/http.h"
#include "llm/backends/latency.h"
#include "llm/backends/replay.h"

namespace throng::llm {

std::unique_ptr<Llm> MakeBackend(const std::string& spec) {
  if (spec.starts_with("http://") || spec.starts_with("https://")) {
    return std::make_unique<HttpLlm>(HttpOptions::Parse(spec));
  }
  const size_t colon = std::min(spec.find(':'), spec.size());
  const std::string_view name = std::string_view(spec).substr(0, colon);
  const std::string_view rest = std::string_view(spec).substr(std::min(colon + 1, spec.size()));
  if (name == "fake") return std::make_unique<FakeLlm>(FakeOptions::Parse(rest));
  if (name == "latency") return std::make_unique<LatencyLlm>(LatencyOptions::Parse(rest));
  if (name == "replay" && !rest.empty()) return std::make_unique<ReplayLlm>(std::string(rest));
  throw MakeError(ErrorCode::kInvalid,
                  "llm: {:?} is no backend; the backends are local, fake[:key=value,...], "
                  "latency[:key=value,...], replay:FILE and "
                  "http://HOST:PORT[/v1][?model=NAME]",
                  spec);
}

std::string BackendHelp() {
  return "local                              the engine in this process\n"
         "http://HOST:PORT[/v1][?model=NAME] an OpenAI-compatible server; more: threads, timeout, attempts "
         "(key in $THRONG_API_KEY)\n"
         "replay:FILE                        the answers of a recording\n"
         "latency[:replicas=8,batch=64]      made-up answers, timed by a model of a server; more: "
         "weights_ms, token_ms, kv_us,\n"
         "                                   overhead_ms, chunk, kv_tokens, cached, priorities, seed\n"
         "fake[:latency=0.5,parallel=4]      made-up answers; more: spread, seed, fail, stuck (shares of "
         "calls)\n";
}

}  // namespace throng::llm

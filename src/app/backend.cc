#include "app/backend.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text/key_values.h"
#include "engine/local_llm.h"
#include "journal/llm/replay_llm.h"
#include "llm/backends/backend_spec.h"
#include "llm/backends/http.h"
#include "llm/decorators/real_time.h"
#include "llm/decorators/router.h"
#include "town/mind/prompt.h"
#include "worlds/example_worlds.h"

namespace throng::app {

namespace {

constexpr const char* kConverse = "converse";  // talk and say

struct ModelFor {
  std::vector<std::string> functions;
  std::string backend;  // a GGUF file, or a backend's name
};

ModelFor ParseModelFor(const std::string& text, const std::string& scenario) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  std::vector<std::string> names;
  ModelFor model_for;
  if (const worlds::ExampleWorld* example = worlds::FindExampleWorld(scenario)) {
    names.assign(example->functions.begin(), example->functions.end());
  } else {
    names.emplace_back(kConverse);
    for (const town::Decision decision : town::kDecisions) names.emplace_back(town::DecisionName(decision));
  }
  if (name == kConverse && names[0] == kConverse) {
    model_for.functions = {town::DecisionName(town::Decision::kTalk),
                           town::DecisionName(town::Decision::kSay)};
  } else if (std::find(names.begin(), names.end(), name) != names.end()) {
    model_for.functions = {name};
  }
  if (equals != std::string::npos) model_for.backend = text.substr(equals + 1);
  if (model_for.functions.empty() || model_for.backend.empty()) {
    throw MakeError(ErrorCode::kInvalid,
                    "--model-for {}: allowed: DECISION=FILE.gguf or DECISION=BACKEND, with one of {}", text,
                    fmt::join(names, ", "));
  }
  return model_for;
}

std::unique_ptr<llm::Llm> MakeLocal(const engine::LocalOptions& options) {
  return std::make_unique<engine::LocalLlm>(std::make_shared<engine::LocalModel>(options));
}

std::unique_ptr<llm::Llm> MakeOneBackend(const Simulation& simulation, const std::string& name) {
  if (name == "local") return MakeLocal(simulation.local);
  if (name.ends_with(".gguf")) return MakeLocal(OptionsOfOther(simulation, name));
  std::unique_ptr<llm::Llm> llm = MakeBackend(name);
  if (simulation.real_time && llm::IsVirtualBackend(name))
    llm = std::make_unique<llm::RealTimeLlm>(std::move(llm));
  return llm;
}

}  // namespace

std::unique_ptr<llm::Llm> MakeBackend(const std::string& spec) {
  const auto [name, path] = SplitName(spec);
  if (name != "replay" || path.empty()) return llm::MakeBackend(spec);
  return std::make_unique<journal::ReplayLlm>(journal::Journal::OpenToRead(std::string(path)));
}

std::unique_ptr<llm::Llm> MakeBackend(const Simulation& simulation) {
  std::unique_ptr<llm::Llm> llm = MakeOneBackend(simulation, simulation.llm);
  if (simulation.model_for.empty()) return llm;
  auto router = std::make_unique<llm::RouterLlm>(std::move(llm));
  std::map<std::string, std::shared_ptr<llm::Llm>> made;  // a model for several decisions is loaded once
  for (const std::string& text : simulation.model_for) {
    const ModelFor model_for = ParseModelFor(text, simulation.scenario);
    std::shared_ptr<llm::Llm>& backend = made[model_for.backend];
    if (backend == nullptr) backend = MakeOneBackend(simulation, model_for.backend);
    for (const std::string& function : model_for.functions) router->Route(function, backend);
  }
  return router;
}

engine::LocalOptions OptionsOfOther(const Simulation& simulation, const std::string& gguf) {
  engine::LocalOptions options = simulation.local;
  options.model = gguf;
  options.kv_choice.clear();  // these belong to the other model
  options.chat_template.clear();
  return options;
}

std::vector<llm::ServerStats> ServersOf(const llm::Llm& backend) {
  std::vector<llm::ServerStats> servers;
  if (const auto* router = dynamic_cast<const llm::RouterLlm*>(&backend)) {
    for (const llm::Llm* one : router->Backends()) {
      const std::vector<llm::ServerStats> more = ServersOf(*one);
      servers.insert(servers.end(), more.begin(), more.end());
    }
  } else if (const auto* http = dynamic_cast<const llm::HttpLlm*>(&backend)) {
    servers = http->Servers();
  }
  return servers;
}

std::shared_ptr<engine::LocalModel> LocalOf(const llm::Llm& backend) {
  if (const auto* router = dynamic_cast<const llm::RouterLlm*>(&backend)) return LocalOf(router->Default());
  const auto* local = dynamic_cast<const engine::LocalLlm*>(&backend);
  return local == nullptr ? nullptr : local->SharedModel();
}

}  // namespace throng::app

#include "cli/shown_run.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "app/backend.h"
#include "app/embedder.h"
#include "app/record/interventions.h"
#include "app/scenario.h"
#include "app/simulation.h"
#include "base/error.h"
#include "cli/questionnaire.h"
#include "llm/decorators/decorator.h"
#include "town/mind/interview.h"

namespace throng::cli {
namespace {

// The world that a journal's manifest describes; null, with a message on stderr, if it is no longer
// available.
struct World {
  app::Simulation simulation;
  app::Scenario scenario;
  std::unique_ptr<llm::Llm> backend{};  // of interviews; made for the first
  town::EmbedNow embed{};
};
std::shared_ptr<World> WorldOf(const journal::Journal& journal, const engine::LocalOptions& local,
                               const app::GivenFlags& given) {
  if (!journal.GetManifest().contains("town")) return nullptr;
  try {
    const auto world = std::make_shared<World>();
    world->simulation.local = local;
    app::FillFromManifest(journal, given, world->simulation);
    world->scenario = app::LoadScenario(world->simulation);
    return world;
  } catch (const Error& error) {
    fmt::print(stderr, "the viewer has no map of {}: {}\n", journal.Path(), error.what());
    return nullptr;
  }
}

// Agent steps that a run is repeated for to know what somebody remembers: some 10 seconds.
constexpr int64_t kMostRepeated = 2'000'000;

// The mind of an agent at the start of a step.
sim::MindPtr MindAt(const World& world, const std::string& path, int64_t agent, int64_t step) {
  const town::Town& town = *world.scenario.town;
  const auto journal = journal::Journal::OpenToRead(path);
  if (agent >= town.NumAgents() || step > journal->NumSteps()) {
    throw MakeError(ErrorCode::kInvalid, "agent={}, step={}: allowed: {} agents, up to step {}", agent, step,
                    town.NumAgents(), journal->NumSteps());
  }
  if (step * town.NumAgents() > kMostRepeated) {
    throw MakeError(
        ErrorCode::kInvalid,
        "step {}: to know what {} agents remember, the run would have to be repeated to there, which "
        "takes long; allowed: up to step {} here, any for throng interview",
        step, town.NumAgents(), kMostRepeated / town.NumAgents());
  }
  return town::MindsAt(town, *journal, static_cast<sim::Step>(step))[static_cast<size_t>(agent)];
}

std::string MindOf(const World& world, const std::string& path, int64_t agent, int64_t step) {
  const sim::MindPtr mind = MindAt(world, path, agent, step);
  return world.scenario.town->DescribeMind(static_cast<sim::AgentId>(agent), mind, true);
}

std::string AnswerOf(World& world, const std::string& path, int64_t agent, int64_t step,
                     const std::string& question) {
  const sim::MindPtr mind = MindAt(world, path, agent, step);
  const auto id = static_cast<sim::AgentId>(agent);
  const auto at = static_cast<sim::Step>(step);
  if (world.backend == nullptr) {
    std::unique_ptr<llm::Llm> backend = app::MakeBackend(world.simulation);
    world.embed = app::EmbedNowBy(app::MakeEmbedder(world.simulation, *backend));
    world.backend = std::move(backend);
  }
  llm::Request request = world.scenario.town->Interview(id, mind, at, question, {}, world.embed);
  request.key = {.agent = id, .step = at};
  return AskBackend(world.simulation.limits, world.simulation.llm,
                    std::make_unique<llm::Decorator>(*world.backend), {std::move(request)})[0];
}

}  // namespace

serve::ShownRun ShowRun(const std::string& path, const engine::LocalOptions& local,
                        const app::GivenFlags& given, bool may_change) {
  const auto journal = journal::Journal::OpenToRead(path);
  serve::ShownRun run{.journal = path, .may_change = may_change};
  const std::shared_ptr<World> world = WorldOf(*journal, local, given);
  if (world != nullptr) {
    run.map_json = app::MapJson(world->scenario);
    const bool is_town = world->scenario.town != nullptr;
    if (is_town) {
      run.mind = [path, world](int64_t agent, int64_t step) { return MindOf(*world, path, agent, step); };
    }
    if (is_town && may_change) {
      run.interview = [path, world](int64_t agent, int64_t step, const std::string& question) {
        return AnswerOf(*world, path, agent, step, question);
      };
    }
    if (may_change) {
      run.inject = [path, world](const std::string& what, int64_t step) {
        app::Inject(path, world->simulation, world->scenario, what, static_cast<sim::Step>(step));
      };
    }
  }
  // Of a world in Python.
  const auto map = journal->GetManifest().find(journal::JournalKeys::kMap);
  if (map != journal->GetManifest().end()) run.map_json = map->second;
  return run;
}

}  // namespace throng::cli

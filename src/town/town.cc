#include "town/town.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "town/mind/recall.h"
#include "town/town_world.h"

namespace throng::town {
namespace {

constexpr uint32_t kMaxAgents = 100000;
constexpr size_t kMaxQuestionBytes = 200;

const TownMind& AsTownMind(const sim::MindPtr& mind) {
  const auto* town_mind = dynamic_cast<const TownMind*>(mind.get());
  THRONG_CHECK(town_mind != nullptr);
  return *town_mind;
}

std::string QuestionLine(const std::string& question) {
  const std::string line = CleanLine(question, kMaxQuestionBytes);
  if (!line.empty()) return line;
  throw MakeError(ErrorCode::kInvalid, "question: found nothing, allowed: up to {} bytes", kMaxQuestionBytes);
}

// The embedding of a question, once the memories have theirs: all anew, as the run may have had another
// embedder.
std::optional<Embedding> QueryNow(const std::string& question, const EmbedNow& embed, TownMind& mind) {
  if (!embed) return std::nullopt;
  mind.embeddings = Embeddings();
  std::optional<Embedding> query = TakeEmbeddings(embed(AskEmbeddings(mind, question).prompt), mind);
  THRONG_CHECK(query.has_value());  // an embedder answers in this form, or fails
  return query;
}

}  // namespace

Digest TownWorld::ScenarioDigest() const {
  Hasher hasher;
  hasher.Add("town").Add(content_.digest).Add(num_agents_);
  if (embeds_) hasher.Add("embeds");
  return hasher.Finish();
}

sim::Rules TownWorld::GetRules() const {
  sim::Rules rules;
  rules.radius_p = content_.settings.perception_radius;
  rules.max_vel = 1;
  return rules;
}

std::string TownWorld::AgentName(sim::AgentId agent) const {
  const size_t copy = agent / content_.personas.size();
  const std::string& name = PersonaOf(agent).name;
  return copy == 0 ? name : fmt::format("{}-{}", name, copy + 1);
}

sim::Body TownWorld::StartBody(sim::AgentId agent) const {
  const Persona& persona = PersonaOf(agent);
  const std::vector<sim::Pos>& spots = content_.map->Regions()[persona.home].spots;
  return {ToWorld(agent, spots[static_cast<size_t>(persona.home_idx) % spots.size()]), "sleep"};
}

sim::MindPtr TownWorld::StartMind(sim::AgentId agent) const {
  TownMind mind;
  mind.at = mind.goal = content_.home;
  mind.activity = "sleep";
  mind.begun = true;
  for (const OldMemory& memory : PersonaOf(agent).memories) {
    mind.memories.Append(0, content_.settings.start_minute, MemoryKind::kThought, memory.importance,
                         memory.text);
  }
  for (const News& news : content_.news) {
    if (news.persona != agent % content_.personas.size()) continue;
    mind.memories.Append(0, content_.settings.start_minute, MemoryKind::kHeard, news.importance,
                         news.from + " said: " + news.text);
  }
  return TownMind::Seal(std::move(mind));
}

sim::Step TownWorld::DefaultSteps() const {
  return static_cast<sim::Step>(int64_t{content_.settings.hours} * 3600 / content_.settings.seconds_per_step);
}

sim::Step TownWorld::StepAt(const std::string& clock) const {
  const std::optional<int> minute = ParseClock(clock);
  const int start = content_.settings.start_minute;
  if (!minute || *minute < start) {
    throw MakeError(ErrorCode::kInvalid, "time {}: allowed: HH:MM from {} to 23:59", clock, ClockText(start));
  }
  const int per_step = content_.settings.seconds_per_step;
  return ((*minute - start) * 60 + per_step - 1) / per_step;
}

std::string TownWorld::MapJson() const {
  Json json = content_.map->ToJson();
  Json copies = Json::array();
  for (sim::AgentId agent = 0; agent < num_agents_;
       agent += static_cast<uint32_t>(content_.personas.size())) {
    const Copy copy = CopyOf(agent);
    copies.push_back(Json::array({copy.x, copy.y}));
  }
  json["copies"] = copies;
  return json.dump();
}

sim::AgentId TownWorld::FindAgent(const std::string& name) const {
  for (sim::AgentId agent = 0; agent < num_agents_; ++agent) {
    if (AgentName(agent) == name) return agent;
  }
  std::string names;
  for (sim::AgentId agent = 0; agent < num_agents_ && agent < content_.personas.size(); ++agent) {
    names += (agent == 0 ? "" : ", ") + AgentName(agent);
  }
  throw MakeError(ErrorCode::kInvalid, "agent \"{}\": nobody has this name, allowed: {}", name, names);
}

llm::Request TownWorld::Interview(sim::AgentId agent, const sim::MindPtr& mind, sim::Step step,
                                  const std::string& question, const Hidden& hidden,
                                  const EmbedNow& embed) const {
  TownMind known = Without(AsTownMind(mind), hidden | HiddenAt(step));
  const std::string line = QuestionLine(question);
  const std::optional<Embedding> query = QueryNow(line, embed, known);
  return Prompt(agent, known, step, hidden | HiddenAt(step), query,
                [&](const Scene& scene) { return AskAnswer(scene, line); });
}

llm::Request TownWorld::Judge(sim::AgentId agent, const sim::MindPtr& mind, sim::Step step,
                              const std::string& question, const std::string& answer,
                              const EmbedNow& embed) const {
  TownMind known = AsTownMind(mind);
  const std::string line = QuestionLine(question);
  const std::optional<Embedding> query = QueryNow(line, embed, known);
  return AskJudge({content_, PersonaOf(agent), known, MinuteAt(step), query ? &*query : nullptr}, line,
                  answer);
}

std::string TownWorld::DescribeMind(sim::AgentId agent, const sim::MindPtr& mind, bool as_json) const {
  const TownMind& town_mind = AsTownMind(mind);
  Json plan = Json::array();
  std::string text = fmt::format("Plan of {}:\n", AgentName(agent));
  for (const PlanEntry& entry : *town_mind.plan) {
    const std::string& place = content_.places[entry.place].name;
    const std::string at = ClockText(entry.hour * 60);
    plan.push_back({{"at", at}, {"place", place}, {"do", entry.activity}});
    text += fmt::format("- {} {}: {}\n", at, place, entry.activity);
  }
  if (town_mind.plan->empty()) text += "- none\n";
  Json memories = Json::array();
  text += fmt::format("Memories ({}):\n", town_mind.memories.Size());
  for (const Memory* memory : town_mind.memories.All()) {
    memories.push_back({{"id", memory->id},
                        {"day", memory->minute / (24 * 60)},
                        {"at", ClockText(memory->minute)},
                        {"kind", MemoryKindName(memory->kind)},
                        {"importance", memory->importance},
                        {"text", memory->text}});
    text += fmt::format("- {} {}\n", ClockText(memory->minute), memory->text);
  }
  if (!as_json) return text;
  return Json({{"name", AgentName(agent)}, {"plan", plan}, {"memories", memories}}).dump(2);
}

std::vector<Problem> CheckTown(const std::string& dir) {
  Problems problems;
  ReadContent(dir, problems);
  return problems.All();
}

std::unique_ptr<Town> LoadTown(const std::string& dir, const LoadOptions& options) {
  Content content = LoadContent(dir);
  const auto personas = static_cast<uint32_t>(content.personas.size());
  if (options.agents > kMaxAgents) {
    throw MakeError(ErrorCode::kInvalid, "agents: found {}, allowed: at most {}", options.agents, kMaxAgents);
  }
  return std::make_unique<TownWorld>(std::move(content), options.agents == 0 ? personas : options.agents,
                                     options);
}

}  // namespace throng::town

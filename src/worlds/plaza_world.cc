#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/rng.h"
#include "sim/space/plane.h"
#include "worlds/example_worlds.h"
#include "worlds/short_memory.h"

namespace throng::worlds {

namespace {

constexpr double kSquareMetresPerAgent = 400;
constexpr int32_t kElbowRoom =
    sim::Metres(0.4);  // no agent ends a step closer than this to another of its cluster
constexpr int32_t kArrived = sim::Metres(1);
constexpr int32_t kTalkingDistance = sim::Metres(2);
constexpr int kPlaces = 8;
constexpr std::array<const char*, kPlaces> kPlaceNames = {"the fountain", "the market", "the oak",
                                                          "the arcade",   "the stairs", "the cafe",
                                                          "the statue",   "the gate"};

struct Walker : sim::Mind {
  int place = 0;  // where it is going
  ShortMemory memories;
  // A digest of all that was in sight: shows in the hash if an order of execution let the agent see anything
  // else.
  uint64_t seen = 0;
  void Hash(Hasher& hasher) const override {
    hasher.Add(place).Add(seen);
    memories.Hash(hasher);
  }
  void Write(ByteWriter& out) const override {
    out.Add(place).Add(seen);
    memories.Write(out);
  }
  static sim::MindPtr Read(ByteReader& in) {
    auto mind = std::make_shared<Walker>();
    mind->place = in.Get<int>();
    mind->seen = in.Get<uint64_t>();
    mind->memories = ShortMemory::Read(in);
    return mind;
  }
};

struct WalkerStep : sim::Intent {
  Walker mind;
  sim::Pos target;
  std::vector<sim::Event> events;
};

class PlazaWorld final : public sim::World {
 public:
  PlazaWorld(uint32_t agents, uint64_t seed)
      : agents_(agents),
        seed_(seed),
        side_m_(std::sqrt(kSquareMetresPerAgent * std::max(1u, agents))),
        space_(sim::PlaneSpace(side_m_, side_m_)) {}

  std::string Name() const override { return "plaza"; }
  Digest ScenarioDigest() const override { return Hasher().Add(Name()).Add(agents_).Add(seed_).Finish(); }
  const sim::Space& GetSpace() const override { return space_; }
  sim::Rules GetRules() const override { return {sim::Metres(8), sim::Metres(2.5)}; }
  sim::Rules RulesOf(sim::AgentId agent) const override {
    CounterRng rng(seed_, agent, 1);
    return {sim::Metres(2) + static_cast<int>(rng.NextBelow(sim::Metres(6))),
            sim::Metres(0.5) + static_cast<int>(rng.NextBelow(sim::Metres(2)))};
  }
  uint32_t NumAgents() const override { return agents_; }
  std::string AgentName(sim::AgentId agent) const override { return fmt::format("walker {}", agent); }
  sim::Body StartBody(sim::AgentId agent) const override {
    return {RandomPos(CounterRng(seed_, agent, 2)), WalkingTo(StartPlace(agent))};
  }
  sim::MindPtr StartMind(sim::AgentId agent) const override {
    auto mind = std::make_shared<Walker>();
    mind->place = StartPlace(agent);
    return mind;
  }
  std::string MindForm() const override { return "walker 1"; }
  sim::MindPtr ReadMind(sim::AgentId, ByteReader& in) const override { return Walker::Read(in); }

  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override {
    auto step = std::make_shared<WalkerStep>();
    step->mind = static_cast<const Walker&>(*view.SelfMind());
    Walker& mind = step->mind;
    const sim::Pos self = view.SelfBody().pos;
    const std::vector<sim::Neighbour> in_sight = view.Neighbours();
    for (const sim::Neighbour& other : in_sight) {
      Hasher hasher;
      hasher.Add(mind.seen).Add(other.id);
      other.body.Hash(hasher);
      mind.seen = hasher.Finish().low;
    }
    if (space_.Within(self, PlaceOf(view.Self(), mind.place), kArrived)) {
      const llm::Completion answer = co_await caller.Ask(AskWhereTo(view, mind, in_sight));
      const auto chosen = std::find(kPlaceNames.begin(), kPlaceNames.end(), answer.text);
      mind.memories.Add(fmt::format("You were at {}.", kPlaceNames[mind.place]));
      if (chosen == kPlaceNames.end()) {  // the call failed, in a run with --fallback
        step->events.push_back(
            {view.Self(), "fallback", "choose: goes to the next place", sim::CallOf(answer)});
        mind.place = (mind.place + 1) % kPlaces;
      } else {
        mind.place = static_cast<int>(chosen - kPlaceNames.begin());
      }
      step->events.push_back(
          {view.Self(), "go", fmt::format("to {}", kPlaceNames[mind.place]), sim::CallOf(answer)});
    }
    step->target = sim::Towards(self, PlaceOf(view.Self(), mind.place), RulesOf(view.Self()).max_vel);
    co_return step;
  }

  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    std::vector<std::shared_ptr<Walker>> minds;
    std::vector<sim::Body> bodies;
    for (const sim::Member& member : members) {
      const auto& intent = static_cast<const WalkerStep&>(*member.intent);
      minds.push_back(std::make_shared<Walker>(intent.mind));
      bodies.push_back({member.body.pos, WalkingTo(intent.mind.place)});
      for (const sim::Event& event : intent.events) commit.AddEvent(event);
    }
    for (size_t i = 0; i < members.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        const bool near = space_.Within(members[i].body.pos, members[j].body.pos, kTalkingDistance);
        if (!near || CounterRng(seed_, members[i].id, members[j].id, step).NextBelow(6) > 0) continue;
        llm::Request request = AskForGreeting(members[i].id, *minds[i], members[j]);
        const llm::Completion answer = co_await commit.CallerOf(members[i].id).Ask(std::move(request));
        const std::string line = OneLine(answer.text);
        if (answer.error) {
          commit.AddEvent({members[i].id, "fallback", "greet: says nothing", sim::CallOf(answer)});
        }
        if (line.empty()) continue;
        const std::string speaker = AgentName(members[i].id);
        const std::string hearer = AgentName(members[j].id);
        minds[i]->memories.Add(fmt::format("You said to {}: {}", hearer, line));
        minds[j]->memories.Add(fmt::format("{} said: {}", speaker, line));
        bodies[i].status = "greeting " + hearer;
        commit.AddEvent({members[i].id, "say", fmt::format("to {}: {}", hearer, line), sim::CallOf(answer)});
      }
    }
    // In the order of ids: an agent that comes later finds the ground taken, and waits.
    std::vector<sim::Pos> taken;
    for (size_t i = 0; i < members.size(); ++i) {
      const sim::Pos target = static_cast<const WalkerStep&>(*members[i].intent).target;
      const auto is_close = [&](sim::Pos other) { return space_.Within(other, target, kElbowRoom); };
      if (std::none_of(taken.begin(), taken.end(), is_close)) bodies[i].pos = target;
      taken.push_back(bodies[i].pos);
      commit.SetBody(members[i].id, std::move(bodies[i]));
      commit.SetMind(members[i].id, std::move(minds[i]));
    }
  }

 private:
  static int StartPlace(sim::AgentId agent) { return static_cast<int>(agent % kPlaces); }
  static std::string WalkingTo(int place) { return fmt::format("walking to {}", kPlaceNames[place]); }

  // Prompts begin with what changes least, so that an agent's prompts share a long prefix.
  std::string DescribeSelf(sim::AgentId agent, const Walker& mind) const {
    return fmt::format("People walk about on a town square, from {}.\nName: {}\nRemembers:\n{}",
                       fmt::join(kPlaceNames, " to "), AgentName(agent), mind.memories.Text());
  }
  llm::Request AskWhereTo(const sim::View& view, const Walker& mind,
                          const std::vector<sim::Neighbour>& in_sight) const {
    llm::Request request;
    request.function = "choose";
    request.prompt = DescribeSelf(view.Self(), mind) + "In sight:\n";
    for (const sim::Neighbour& other : in_sight) {
      request.prompt += fmt::format("- {}, {}\n", AgentName(other.id), other.body.status);
    }
    if (in_sight.empty()) request.prompt += "- nobody\n";
    request.prompt += fmt::format("At: {}\nGoes next to:", kPlaceNames[mind.place]);
    for (const char* name : kPlaceNames) {
      if (name != kPlaceNames[mind.place]) request.constraint.choices.emplace_back(name);
    }
    request.sampling.temperature = 1;
    return request;
  }
  llm::Request AskForGreeting(sim::AgentId agent, const Walker& mind, const sim::Member& other) const {
    llm::Request request;
    request.function = "greet";
    request.prompt = fmt::format("{}Goes to: {}\nMeets: {}, {}\nSays:", DescribeSelf(agent, mind),
                                 kPlaceNames[mind.place], AgentName(other.id), other.body.status);
    request.sampling.temperature = 1;
    request.stop = {"\n"};
    request.max_tokens = 16;
    return request;
  }

  sim::Pos RandomPos(CounterRng rng) const {
    return {static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(space_.Width()))),
            static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(space_.Height())))};
  }
  // A place in the agent's quarter: crowds form, but never one of all agents.
  sim::Pos PlaceOf(sim::AgentId agent, int place) const {
    return RandomPos(CounterRng(seed_, agent / 6, place, 3));
  }

  uint32_t agents_;
  uint64_t seed_;
  double side_m_;
  sim::Space space_;
};

}  // namespace

std::unique_ptr<sim::World> MakePlazaWorld(uint32_t agents, uint64_t seed) {
  return std::make_unique<PlazaWorld>(agents, seed);
}

}  // namespace throng::worlds

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/rng.h"
#include "sim/example_worlds.h"
#include "sim/plane.h"

namespace throng::sim {

namespace {

constexpr double kSquareMetresPerAgent = 400;
constexpr int32_t kElbowRoom = Metres(0.4);  // nobody ends a step closer than this to another of its cluster
constexpr int kPlaces = 8;
constexpr std::array<const char*, kPlaces> kPlaceNames = {"the fountain", "the market", "the oak",
                                                          "the arcade",   "the stairs", "the cafe",
                                                          "the statue",   "the gate"};

struct Walker : Mind {
  int place = 0;         // where it goes
  uint32_t greeted = 0;  // how many it has greeted so far
  uint64_t memory = 0;   // of all that it saw and heard
  void Hash(Hasher& hasher) const override { hasher.Add(place).Add(greeted).Add(memory); }
};

struct WalkerStep : Intent {
  Walker mind;
  Pos target;
};

class PlazaWorld final : public World {
 public:
  PlazaWorld(uint32_t agents, uint64_t seed)
      : agents_(agents),
        seed_(seed),
        side_m_(std::sqrt(kSquareMetresPerAgent * std::max(1u, agents))),
        space_(PlaneSpace(side_m_, side_m_)) {}

  std::string Name() const override { return "plaza"; }
  Digest ScenarioDigest() const override { return Hasher().Add(Name()).Add(agents_).Add(seed_).Finish(); }
  const Space& GetSpace() const override { return space_; }
  Rules GetRules() const override { return {Metres(8), Metres(2.5)}; }
  Rules RulesOf(AgentId agent) const override {
    CounterRng rng(seed_, agent, 1);
    return {Metres(2) + static_cast<int>(rng.NextBelow(Metres(6))),
            Metres(0.5) + static_cast<int>(rng.NextBelow(Metres(2)))};
  }
  uint32_t NumAgents() const override { return agents_; }
  std::string AgentName(AgentId agent) const override { return fmt::format("walker {}", agent); }
  Body StartBody(AgentId agent) const override { return {RandomPos(CounterRng(seed_, agent, 2)), "walking"}; }
  MindPtr StartMind(AgentId agent) const override {
    auto mind = std::make_shared<Walker>();
    mind->place = static_cast<int>(agent % kPlaces);
    return mind;
  }

  Task<IntentPtr> Proceed(const View& view, Caller& caller) const override {
    auto step = std::make_shared<WalkerStep>();
    step->mind = static_cast<const Walker&>(*view.SelfMind());
    Walker& mind = step->mind;
    const Pos self = view.SelfBody().pos;
    for (const Neighbour& other : view.Neighbours()) {
      mind.memory =
          CounterRng(mind.memory, other.id, other.body.pos.x, other.body.pos.y, other.body.status.size())
              .Next();
    }
    // Places differ a little from one to the next: not all stand in one spot.
    if (space_.Within(self, PlaceOf(view.Self(), mind.place), Metres(1))) {
      llm::Request request;
      request.function = "choose";
      request.prompt = fmt::format("Walker {} stands at {} and remembers {}. Where does it go next?",
                                   view.Self(), kPlaceNames[mind.place], mind.memory % 1000);
      request.constraint.choices.assign(kPlaceNames.begin(), kPlaceNames.end());
      const llm::Completion answer = co_await caller.Ask(std::move(request));
      const auto chosen = std::find(kPlaceNames.begin(), kPlaceNames.end(), answer.text);
      mind.place = chosen == kPlaceNames.end() ? (mind.place + 1) % kPlaces
                                               : static_cast<int>(chosen - kPlaceNames.begin());
    }
    step->target = Towards(self, PlaceOf(view.Self(), mind.place), RulesOf(view.Self()).max_vel);
    co_return step;
  }

  Task<void> Resolve(Step step, const std::vector<Member>& members, Commit& commit) const override {
    std::vector<Pos> taken;
    for (const Member& member : members) {
      const auto& intent = static_cast<const WalkerStep&>(*member.intent);
      auto mind = std::make_shared<Walker>(intent.mind);
      Body body = member.body;
      body.status = "walking";
      for (const Member& other : members) {
        const bool meets = other.id < member.id && space_.Within(member.body.pos, other.body.pos, Metres(2));
        if (!meets || CounterRng(mind->memory, other.id, step).NextBelow(6) > 0) continue;
        llm::Request request;
        request.function = "greet";
        request.prompt = fmt::format("Walker {} meets walker {}, {}. What does it say?", member.id, other.id,
                                     other.body.status);
        request.max_tokens = 16;
        const llm::Completion answer = co_await commit.CallerOf(member.id).Ask(std::move(request));
        ++mind->greeted;
        mind->memory = Hasher().Add(mind->memory).Add(answer.text).Finish().low;
        body.status = fmt::format("greeting walker {}", other.id);
        commit.AddEvent({member.id, "say", answer.text});
      }
      const auto is_close = [&](Pos other) { return space_.Within(other, intent.target, kElbowRoom); };
      if (std::none_of(taken.begin(), taken.end(), is_close)) body.pos = intent.target;
      taken.push_back(body.pos);
      commit.SetBody(member.id, std::move(body));
      commit.SetMind(member.id, std::move(mind));
    }
  }

 private:
  Pos RandomPos(CounterRng rng) const {
    return {static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(space_.Width()))),
            static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(space_.Height())))};
  }
  // A place of the agent's own quarter: crowds form, but not one of all.
  Pos PlaceOf(AgentId agent, int place) const { return RandomPos(CounterRng(seed_, agent / 6, place, 3)); }

  uint32_t agents_;
  uint64_t seed_;
  double side_m_;
  Space space_;
};

}  // namespace

std::unique_ptr<World> MakePlazaWorld(uint32_t agents, uint64_t seed) {
  return std::make_unique<PlazaWorld>(agents, seed);
}

}  // namespace throng::sim

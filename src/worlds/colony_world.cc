#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "worlds/example_worlds.h"

namespace throng::worlds {

namespace {

constexpr double kCellsPerAgent = 60;
constexpr uint32_t kChildren = 3;  // most children of one agent; it asks itself before each
constexpr uint32_t kSettlers = 10;
constexpr sim::Step kHorizon = 30;  // steps until all hear of a famine
constexpr sim::Step kSeason = 40;   // steps until food grows again
constexpr int kStartEnergy = 12;
constexpr int kMeal = 10;
constexpr int kPlenty = 36;
constexpr int kRainRadius = 3;
constexpr const char* kRained = "rain";

struct Forager : sim::Mind {
  int energy = kStartEnergy;
  uint32_t children = 0;
  uint64_t heard = 0;  // announced famines heard of so far
  sim::Step cautious_until = 0;
  void Hash(Hasher& hasher) const override {
    hasher.Add(energy).Add(children).Add(heard).Add(cautious_until);
  }
  void Write(ByteWriter& out) const override { out.Add(energy).Add(children).Add(heard).Add(cautious_until); }
  static sim::MindPtr Read(ByteReader& in) {
    auto mind = std::make_shared<Forager>();
    mind->energy = in.Get<int>();
    mind->children = in.Get<uint32_t>();
    mind->heard = in.Get<uint64_t>();
    mind->cautious_until = in.Get<sim::Step>();
    return mind;
  }
};

struct ForagerStep : sim::Intent {
  Forager mind;
  sim::Pos target;
  bool food = false;  // at the target, at the start of the step
  bool bears = false;
};

// Foragers eat what grows on the cells, season by season. Those with plenty may bear children, those with
// nothing die, and all hear of deaths.
class ColonyWorld final : public sim::World {
 public:
  ColonyWorld(uint32_t founders, uint64_t seed)
      : founders_(founders),
        seed_(seed),
        side_(static_cast<int32_t>(std::ceil(std::sqrt(kCellsPerAgent * std::max(1u, founders))))),
        space_(side_, side_, sim::Metric::kChebyshev) {}

  std::string Name() const override { return "colony"; }
  Digest ScenarioDigest() const override { return Hasher().Add(Name()).Add(founders_).Add(seed_).Finish(); }
  const sim::Space& GetSpace() const override { return space_; }
  sim::Rules GetRules() const override { return {3, 1}; }
  // Founders, children, grandchildren and, last, settlers.
  uint32_t NumAgents() const override {
    return founders_ * (1 + kChildren + kChildren * kChildren) + kSettlers;
  }
  bool StartsPresent(sim::AgentId agent) const override { return agent < founders_; }
  std::string AgentName(sim::AgentId agent) const override { return fmt::format("forager {}", agent); }
  sim::Body StartBody(sim::AgentId agent) const override {
    CounterRng rng(seed_, agent);
    const auto at = [&] { return static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(side_))); };
    return {{at(), at()}, "foraging"};
  }
  sim::MindPtr StartMind(sim::AgentId) const override { return std::make_shared<Forager>(); }
  std::string MindForm() const override { return "forager 1"; }
  sim::MindPtr ReadMind(sim::AgentId, ByteReader& in) const override { return Forager::Read(in); }

  sim::Step Horizon() const override { return kHorizon; }
  std::vector<sim::Announcement> Announcements() const override {
    return {{kSeason, "a new season"}, {2 * kSeason, "another season"}};
  }

  void CheckIntervention(const std::string& what) const override { Parse(what); }
  void Intervene(const std::string& what, sim::Change& change) const override {
    const auto [settles, pos] = Parse(what);
    if (settles) {
      for (sim::AgentId id = NumAgents() - kSettlers; id < NumAgents(); ++id) {
        if (change.IsPresent(id)) continue;
        change.Add(id, {pos, "foraging"}, StartMind(id));
        return;
      }
    } else {
      for (const sim::Pos cell : Around(pos, kRainRadius)) change.WriteCell(cell, kRained);
    }
  }

  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override {
    auto step = std::make_shared<ForagerStep>();
    step->mind = static_cast<const Forager&>(*view.SelfMind());
    Forager& mind = step->mind;
    for (const sim::Announcement& news : view.Announced(mind.heard)) {
      ++mind.heard;
      if (news.text == "famine") mind.cautious_until = view.Now() + kSeason / 2;
    }
    Choose(view, *step);
    sim::AgentId child = 0;
    if (mind.energy >= kPlenty && view.Now() >= mind.cautious_until &&
        FindChildId(view.Self(), mind.children, child)) {
      llm::Request request;
      request.function = "bear";
      request.prompt =
          fmt::format("Forager {} has food for {} steps and sees {} others. Does it want a child?",
                      view.Self(), mind.energy, view.Neighbours().size());
      request.constraint.choices = {"yes", "no"};
      const llm::Completion answer = co_await caller.Ask(std::move(request));
      step->bears = answer.text == "yes";
      ++mind.children;
    }
    co_return step;
  }

  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    std::vector<sim::Pos> eaten;
    for (const sim::Member& member : members) {
      const auto& intent = static_cast<const ForagerStep&>(*member.intent);
      auto mind = std::make_shared<Forager>(intent.mind);
      sim::Body body = member.body;
      body.pos = intent.target;
      --mind->energy;
      sim::AgentId child = 0;
      if (intent.bears && FindChildId(member.id, intent.mind.children - 1, child)) {
        mind->energy -= kStartEnergy;
        auto first = std::make_shared<Forager>();
        first->heard = mind->heard;
        commit.Birth(child, {member.body.pos, "foraging"}, std::move(first));
        commit.AddEvent({member.id, "birth", AgentName(child), commit.CallerOf(member.id).LastCall()});
      }
      const bool taken = std::find(eaten.begin(), eaten.end(), body.pos) != eaten.end();
      if (intent.food && !taken && mind->energy < kPlenty + kMeal) {
        mind->energy += kMeal;
        eaten.push_back(body.pos);
        commit.WriteCell(body.pos, std::to_string(step / kSeason));
      }
      if (mind->energy < 0) {
        commit.Announce(member.id, "famine");
        commit.Remove(member.id);
      }
      commit.SetBody(member.id, std::move(body));
      commit.SetMind(member.id, std::move(mind));
    }
    co_return;
  }

 private:
  // "rain X Y": food grows around the cell; "settle X Y": a settler comes.
  struct Happening {
    bool settles;
    sim::Pos pos;
  };
  Happening Parse(const std::string& what) const {
    std::istringstream words(what);
    std::string kind;
    Happening happening{};
    words >> kind >> happening.pos.x >> happening.pos.y;
    happening.settles = kind == "settle";
    if (words.fail() || !words.eof() || (kind != "rain" && kind != "settle") ||
        !space_.Contains(happening.pos)) {
      throw MakeError(ErrorCode::kInvalid,
                      "event {:?}: allowed: \"rain X Y\" or \"settle X Y\", with X and Y from 0 to {}", what,
                      side_ - 1);
    }
    return happening;
  }

  std::vector<sim::Pos> Around(sim::Pos center, int radius) const {
    std::vector<sim::Pos> cells;
    for (int32_t y = center.y - radius; y <= center.y + radius; ++y) {
      for (int32_t x = center.x - radius; x <= center.x + radius; ++x) {
        if (space_.Contains({x, y})) cells.push_back({x, y});
      }
    }
    return cells;
  }

  // Child n of agent p has an id computed from both, so that no two children share an id.
  bool FindChildId(sim::AgentId parent, uint32_t child, sim::AgentId& id) const {
    if (parent >= founders_ * (1 + kChildren) || child >= kChildren) return false;
    id = founders_ + kChildren * parent + child;
    return true;
  }

  bool HasFood(sim::Pos pos, const std::string& cell, sim::Step step) const {
    if (cell == kRained) return true;
    const sim::Step season = step / kSeason;
    return cell != std::to_string(season) && CounterRng(seed_, pos.x, pos.y, season).NextBelow(6) == 0;
  }

  // Goes to the nearest food in sight, else on in its own direction, which changes now and then.
  void Choose(const sim::View& view, ForagerStep& step) const {
    const sim::Pos self = view.SelfBody().pos;
    CounterRng rng(seed_, view.Self(), view.Now() / 7, 1);
    sim::Pos aim = {self.x + static_cast<int32_t>(rng.NextBelow(3)) - 1,
                    self.y + static_cast<int32_t>(rng.NextBelow(3)) - 1};
    for (int radius = 0; radius <= GetRules().radius_p; ++radius) {
      const std::vector<sim::Pos> cells = Around(self, radius);
      const auto food = std::find_if(cells.begin(), cells.end(),
                                     [&](sim::Pos pos) { return HasFood(pos, view.Cell(pos), view.Now()); });
      if (food == cells.end()) continue;
      aim = *food;
      break;
    }
    const auto towards = [&](int32_t from, int32_t to) {
      return std::clamp(std::clamp(to, from - 1, from + 1), 0, side_ - 1);
    };
    step.target = {towards(self.x, aim.x), towards(self.y, aim.y)};
    step.food = HasFood(step.target, view.Cell(step.target), view.Now());
  }

  uint32_t founders_;
  uint64_t seed_;
  int32_t side_;
  sim::Space space_;
};

}  // namespace

std::unique_ptr<sim::World> MakeColonyWorld(uint32_t founders, uint64_t seed) {
  return std::make_unique<ColonyWorld>(founders, seed);
}

}  // namespace throng::worlds

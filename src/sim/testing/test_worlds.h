// For tests: a backend in virtual time with random latencies, and worlds that expose any wrong order of
// execution.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/rng.h"
#include "llm/llm.h"
#include "sim/world.h"

namespace throng::sim {

// Answers with a digest of the request, after a latency that depends on `timing` alone.
class HashLlm : public llm::Llm {
 public:
  explicit HashLlm(uint64_t timing) : rng_(timing) {}

  void Submit(llm::Request request) override {
    llm::Completion done;
    done.id = request.id;
    done.key = request.key;
    Hasher hasher;
    hasher.Add(request.prompt).Add(request.sampling.seed);
    hasher.Add(request.key.agent).Add(request.key.step).Add(request.key.call);
    const Digest digest = hasher.Finish();
    const std::vector<std::string>& choices = request.constraint.choices;
    done.text = choices.empty() ? digest.Hex() : choices[digest.low % choices.size()];
    done.prompt_tokens = static_cast<int>(request.prompt.size());
    done.output_tokens = 32;
    if (stats_.calls == fail_at_) {
      done.finish = llm::FinishReason::kError;
      done.error = Error(ErrorCode::kUnavailable, "the test's server is gone");
    }
    ++stats_.calls;
    // A few calls are much slower than the rest: agents elsewhere then run far ahead.
    const double latency = rng_.NextBelow(8) == 0 ? 40.0 : 1.0;
    in_flight_.emplace(std::pair(now_ + latency * (0.5 + rng_.NextDouble()), request.id), std::move(done));
    max_in_flight_ = std::max(max_in_flight_, in_flight_.size());
  }

  void Wait(std::vector<llm::Completion>& done, double seconds) override {
    if (in_flight_.empty()) return;
    const auto it = in_flight_.begin();
    if (it->first.first > now_ + seconds) {
      now_ += seconds;
      return;
    }
    now_ = std::max(now_, it->first.first);
    done.push_back(std::move(it->second));
    in_flight_.erase(it);
  }

  void Cancel(uint64_t id) override {
    for (auto it = in_flight_.begin(); it != in_flight_.end(); ++it) {
      if (it->first.second != id) continue;
      auto node = in_flight_.extract(it);
      node.key().first = now_;
      node.mapped().finish = llm::FinishReason::kCancelled;
      in_flight_.insert(std::move(node));
      return;
    }
  }

  // Records expectations, if it wants them.
  bool WantsExpectations() const override { return wants_expectations_; }
  void ExpectNext(uint32_t agent, int32_t step) override { expected_[agent].push_back(step); }

  double Now() const override { return now_; }
  std::string Identity() const override { return "hash"; }
  llm::Stats GetStats() const override { return stats_; }

  void FailAt(uint64_t call) { fail_at_ = call; }
  void WantExpectations() { wants_expectations_ = true; }
  const std::map<uint32_t, std::vector<int32_t>>& Expected() const { return expected_; }  // by agent
  size_t MaxInFlight() const { return max_in_flight_; }
  size_t InFlight() const { return in_flight_.size(); }

 private:
  CounterRng rng_;
  uint64_t fail_at_ = UINT64_MAX;
  size_t max_in_flight_ = 0;
  double now_ = 0;
  bool wants_expectations_ = false;
  std::map<uint32_t, std::vector<int32_t>> expected_;
  std::map<std::pair<double, uint64_t>, llm::Completion> in_flight_;  // by time of completion and id
  llm::Stats stats_;
};

struct WalkerOptions {
  Metric metric = Metric::kChebyshev;
  Rules rules;
  int32_t width = 24;
  int32_t height = 24;
  uint32_t agents = 14;
  uint64_t seed = 0;
  bool crowd = false;      // all agents drift to the middle
  bool fast = false;       // all agents always move as far as they may
  bool mixed = false;      // radius and speed differ from agent to agent: up to 3 and 1 more, or none
  int calls_percent = 40;  // percent of steps with a call
  bool naps = false;       // some agents stay where they are for a while
  bool declares = true;    // agents declare their naps
  std::shared_ptr<const Network> network;  // instead of a grid; agents do not move
  // Ids that are free at the start, for births and arrivals; the last three are never born.
  uint32_t reserve = 0;
  Step horizon = 0;  // if above 0, some agents announce things
  // With a latency, agents post, and follow others as they like; with a horizon too, they like posts and send
  // messages.
  PostRules posts;
  // How far to exceed the rules, in cells; each excess must be refused.
  int extra_move = 0;
  int extra_write = 0;
  int extra_read = 0;
  bool sleepwalks = false;  // agents move in their naps
};

// Agents that fold all they perceive into what they do next: one wrong read changes everything after it.
class WalkerWorld : public World {
 public:
  explicit WalkerWorld(const WalkerOptions& options)
      : options_(options),
        space_(options.network ? Space(options.network)
                               : Space(options.width, options.height, options.metric)) {}

  std::string Name() const override { return "walkers"; }
  Digest ScenarioDigest() const override { return Hasher().Add(options_.seed).Finish(); }
  const Space& GetSpace() const override { return space_; }
  Rules GetRules() const override { return options_.rules; }
  Rules RulesOf(AgentId agent) const override {
    if (!options_.mixed) return options_.rules;
    CounterRng rng(options_.seed, agent, 7);
    const auto vary = [&](int rule, int more) {
      return rng.NextBelow(3) == 0 ? 0 : rule + static_cast<int>(rng.NextBelow(more + 1));
    };
    const int radius = vary(options_.rules.radius_p, 3);
    return {radius, vary(options_.rules.max_vel, 1)};
  }
  uint32_t NumAgents() const override { return options_.agents + options_.reserve; }
  bool StartsPresent(AgentId agent) const override { return agent < options_.agents; }
  Step Horizon() const override { return options_.horizon; }
  PostRules GetPostRules() const override { return options_.posts; }
  std::span<const AgentId> Follows(AgentId, const MindPtr& mind) const override {
    return static_cast<const WalkerMind&>(*mind).follows;
  }
  std::vector<Announcement> Announcements() const override {
    if (options_.horizon == 0) return {};
    return {{5, "five"}, {2, "two"}, {5, "five again"}};
  }

  // "add ID X Y", "remove ID", "tell ID TEXT", "write X Y TEXT", "announce TEXT"; TEXT is one word.
  void CheckIntervention(const std::string& what) const override {
    if (what.find(' ') == std::string::npos) throw Error(ErrorCode::kInvalid, "walkers: not understood");
  }
  void Intervene(const std::string& what, Change& change) const override {
    std::istringstream words(what);
    std::string kind;
    std::string text;
    AgentId id = 0;
    Pos pos;
    words >> kind;
    if (kind == "add") {
      words >> id >> pos.x >> pos.y;
      if (!change.IsPresent(id)) change.Add(id, {pos, "new"}, StartMind(id));
    } else if (kind == "remove") {
      words >> id;
      if (change.IsPresent(id)) change.Remove(id);
    } else if (kind == "tell") {
      words >> id >> text;
      if (!change.IsPresent(id)) return;
      const auto& mind = static_cast<const WalkerMind&>(*change.MindOf(id));
      const uint64_t state = Mix(mind.state + static_cast<uint64_t>(change.BodyOf(id).pos.x), text);
      change.SetMind(id, std::make_shared<WalkerMind>(state, mind.nap_until, mind.children, mind.follows));
    } else if (kind == "write") {
      words >> pos.x >> pos.y >> text;
      change.WriteCell(pos, change.Cell(pos) + text);
    } else {
      words >> text;
      change.Announce(text);
    }
  }

  std::string AgentName(AgentId agent) const override { return "walker" + std::to_string(agent); }
  Body StartBody(AgentId agent) const override {
    CounterRng rng(options_.seed, agent);
    return {{static_cast<int32_t>(rng.NextBelow(options_.width)),
             static_cast<int32_t>(rng.NextBelow(options_.height))},
            ""};
  }
  MindPtr StartMind(AgentId agent) const override {
    auto mind = std::make_shared<WalkerMind>(agent);
    CounterRng rng(options_.seed, agent, 8);
    for (int i = 0; i < 3 && options_.posts.latency > 0; ++i) {
      ToggleFollow(mind->follows, agent, rng.NextBelow(NumAgents()));
    }
    return mind;
  }
  std::string MindForm() const override { return "walker 1"; }
  MindPtr ReadMind(AgentId, ByteReader& in) const override {
    const auto state = in.Get<uint64_t>();
    const auto nap_until = in.Get<Step>();
    const auto children = in.Get<uint32_t>();
    std::vector<AgentId> follows(in.GetCount(sizeof(AgentId)));
    for (AgentId& agent : follows) agent = in.Get<AgentId>();
    return std::make_shared<WalkerMind>(state, nap_until, children, std::move(follows));
  }

  Lookahead Declare(AgentId, Step, const Body& body, const MindPtr& mind) const override {
    if (!options_.declares) return {};
    return {static_cast<const WalkerMind&>(*mind).nap_until, body.pos, body.pos};
  }

  Task<IntentPtr> Proceed(const View& view, Caller& caller) const override {
    Hasher hasher;
    view.SelfMind()->Hash(hasher);
    hasher.Add(view.Now());
    for (const Neighbour& other : view.Neighbours()) {
      hasher.Add(other.id);
      other.body.Hash(hasher);
    }
    const Pos self = view.SelfBody().pos;
    const Rules rules = RulesOf(view.Self());
    for (const Pos pos : Ball(self, rules.radius_p + options_.extra_read)) hasher.Add(view.Cell(pos));
    for (const Announcement& heard : view.Announced(0)) hasher.Add(heard.text);
    auto intent = std::make_shared<WalkerIntent>();
    if (options_.posts.latency > 0) ReadPosts(view, hasher, intent->read);
    intent->state = hasher.Finish().low;
    CounterRng rng(intent->state);
    while (static_cast<int>(rng.NextBelow(100)) < options_.calls_percent) {
      llm::Request request;
      request.function = "think";
      request.prompt = std::to_string(intent->state);
      const llm::Completion answer = co_await caller.Ask(std::move(request));
      intent->state = Mix(intent->state, answer.text);
    }
    CounterRng choice(intent->state, 1);
    intent->move = ChooseMove(self, rules.max_vel, choice);
    const std::vector<Pos> writable = Ball(self, rules.max_vel + options_.extra_write);
    intent->write = options_.extra_write > 0 ? writable.back() : writable[choice.NextBelow(writable.size())];
    co_return intent;
  }

  Task<void> Resolve(Step step, const std::vector<Member>& members, Commit& commit) const override {
    std::vector<uint64_t> states;
    for (const Member& member : members) states.push_back(IntentOf(member).state);
    // Agents in sight of each other talk; the speaker's answer changes both.
    for (size_t i = 0; i < members.size(); ++i) {
      for (size_t j = i + 1; j < members.size(); ++j) {
        const int sight = std::max(RulesOf(members[i].id).radius_p, RulesOf(members[j].id).radius_p);
        if (!space_.Within(members[i].body.pos, members[j].body.pos, sight)) continue;
        if (Mix64(states[i] ^ states[j]) % 100 >= static_cast<uint64_t>(options_.calls_percent) / 2) continue;
        llm::Request request;
        request.function = "say";
        request.prompt = std::to_string(states[i]) + " to " + std::to_string(members[j].id);
        const llm::Completion answer = co_await commit.CallerOf(members[i].id).Ask(std::move(request));
        states[i] = Mix(states[i], answer.text);
        states[j] = Mix(states[j], answer.text);
        Event event{members[i].id, "say", answer.text, CallOf(answer)};
        commit.AddEvent(std::move(event));
      }
    }
    std::vector<Pos> taken;
    for (size_t i = 0; i < members.size(); ++i) {
      const WalkerIntent& intent = IntentOf(members[i]);
      Body body = members[i].body;
      // A nap keeps the agent from moving and from writing elsewhere, not from seeing and talking.
      Step nap_until = static_cast<const WalkerMind&>(*members[i].mind).nap_until;
      const bool naps = step < nap_until;
      const bool moves = !naps || options_.sleepwalks;
      if (moves && std::find(taken.begin(), taken.end(), intent.move) == taken.end()) body.pos = intent.move;
      taken.push_back(body.pos);
      body.status = std::to_string(states[i] % 7);
      commit.SetBody(members[i].id, body);
      if (options_.naps && !naps && states[i] % 5 == 0)
        nap_until = step + 1 + static_cast<Step>(states[i] % 9);
      uint32_t children = static_cast<const WalkerMind&>(*members[i].mind).children;
      if (!naps && states[i] % 7 == 0 && MayBear(members[i].id, children)) {
        const AgentId child = ChildOf(members[i].id, children++);
        auto mind = std::make_shared<WalkerMind>(states[i] ^ child);
        if (options_.posts.latency > 0) ToggleFollow(mind->follows, child, members[i].id);
        commit.Birth(child, {intent.write, "new"}, std::move(mind));
      }
      if (options_.reserve > 0 && states[i] % 23 == 1) commit.Remove(members[i].id);
      if (options_.horizon > 0 && states[i] % 19 == 2)
        commit.Announce(members[i].id, std::to_string(states[i]));
      std::vector<AgentId> follows = static_cast<const WalkerMind&>(*members[i].mind).follows;
      if (options_.posts.latency > 0) WritePosts(members[i].id, states[i], intent.read, follows, commit);
      commit.SetMind(members[i].id,
                     std::make_shared<WalkerMind>(states[i], nap_until, children, std::move(follows)));
      if (states[i] % 3 == 0 || options_.extra_write > 0)
        commit.WriteCell(naps ? members[i].body.pos : intent.write, std::to_string(states[i]));
    }
  }

 private:
  struct WalkerMind : Mind {
    explicit WalkerMind(uint64_t s, Step nap = 0, uint32_t n = 0, std::vector<AgentId> whom = {})
        : state(s), nap_until(nap), children(n), follows(std::move(whom)) {}
    void Hash(Hasher& hasher) const override {
      hasher.Add(state);
      for (const AgentId agent : follows) hasher.Add(agent);
    }
    void Write(ByteWriter& out) const override {
      out.Add(state).Add(nap_until).Add(children).Add(uint64_t{follows.size()});
      for (const AgentId agent : follows) out.Add(agent);
    }
    uint64_t state;
    Step nap_until;
    uint32_t children;             // born so far
    std::vector<AgentId> follows;  // ascending
  };
  struct WalkerIntent : Intent {
    uint64_t state = 0;
    Pos move;
    Pos write;
    std::vector<PostId> read;
  };

  static const WalkerIntent& IntentOf(const Member& member) {
    return static_cast<const WalkerIntent&>(*member.intent);
  }
  static uint64_t Mix(uint64_t state, const std::string& text) {
    return Hasher().Add(state).Add(text).Finish().low;
  }

  static void ToggleFollow(std::vector<AgentId>& follows, AgentId self, uint64_t whom) {
    if (whom == self) return;
    const auto at = std::lower_bound(follows.begin(), follows.end(), whom);
    if (at != follows.end() && *at == whom) {
      follows.erase(at);
    } else {
      follows.insert(at, static_cast<AgentId>(whom));
    }
  }

  void ReadPosts(const View& view, Hasher& hasher, std::vector<PostId>& read) const {
    const auto likes = [&](const Post& post) { return view.Likes(post.id); };
    for (const Post& post : view.Feed(4, likes)) {
      hasher.Add(post.id.by).Add(post.id.step).Add(post.id.number).Add(post.text).Add(likes(post));
      read.push_back(post.id);
    }
    for (const Post& post : view.Posts(view.Self())) hasher.Add(post.text);
    for (const Message& message : view.Messages()) hasher.Add(message.from).Add(message.text);
  }

  void WritePosts(AgentId self, uint64_t state, const std::vector<PostId>& read,
                  std::vector<AgentId>& follows, Commit& commit) const {
    for (uint64_t i = state % 3; i > 0; --i) commit.AddPost(self, std::to_string(Mix64(state + i)));
    if (state % 4 == 0) ToggleFollow(follows, self, Mix64(state) % NumAgents());
    if (options_.horizon == 0) return;
    if (!read.empty()) commit.Like(self, read[state % read.size()], state % 2 == 0 ? 1 : -2);
    if (state % 5 == 0) {
      commit.Send(self, static_cast<AgentId>(Mix64(state + 1) % NumAgents()), std::to_string(state));
    }
  }

  // Every parent has ids reserved for its children, so that no two parents can use the same id.
  AgentId ChildOf(AgentId parent, uint32_t children) const { return options_.agents + 2 * parent + children; }
  bool MayBear(AgentId parent, uint32_t children) const {
    const AgentId child = ChildOf(parent, children);
    if (children > 1 || child + 3 >= NumAgents()) return false;
    const Rules own = RulesOf(parent);
    const Rules rules = RulesOf(child);
    return rules.radius_p <= own.radius_p && rules.max_vel <= own.max_vel;
  }

  // Cells within the radius, the furthest last.
  std::vector<Pos> Ball(Pos center, int radius) const {
    if (options_.network) {
      std::vector<Pos> nodes;
      for (const NodeId node : options_.network->Within(static_cast<NodeId>(center.x), radius)) {
        nodes.push_back({static_cast<int32_t>(node), 0});
      }
      return nodes;
    }
    std::vector<Pos> ball;
    std::vector<Pos> rim;
    for (int32_t dy = -radius; dy <= radius; ++dy) {
      for (int32_t dx = -radius; dx <= radius; ++dx) {
        const Pos pos{center.x + dx, center.y + dy};
        if (!space_.Contains(pos) || !space_.Within(center, pos, radius)) continue;
        (space_.Within(center, pos, radius - 1) ? ball : rim).push_back(pos);
      }
    }
    ball.insert(ball.end(), rim.begin(), rim.end());
    return ball;
  }

  Pos ChooseMove(Pos self, int max_vel, CounterRng& rng) const {
    const int reach = max_vel + options_.extra_move;
    const std::vector<Pos> ball = Ball(self, reach);
    if (options_.fast || options_.extra_move > 0) return ball.back();
    Pos best = ball[rng.NextBelow(ball.size())];
    if (!options_.crowd) return best;
    const auto far = [&](Pos pos) {
      return std::abs(pos.x - space_.Width() / 2) + std::abs(pos.y - space_.Height() / 2);
    };
    for (int i = 0; i < 3; ++i) {
      const Pos other = ball[rng.NextBelow(ball.size())];
      if (far(other) < far(best)) best = other;
    }
    return best;
  }

  WalkerOptions options_;
  Space space_;
};

}  // namespace throng::sim

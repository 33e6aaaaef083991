#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "sim/example_worlds.h"

namespace throng::sim {

namespace {

constexpr uint32_t kFollows = 4;
constexpr int kRead = 3;  // posts of a step that an agent thinks about: the first by author

struct Reader : Mind {
  uint64_t opinion = 0;  // of all that it has read
  uint32_t shared = 0;
  void Hash(Hasher& hasher) const override { hasher.Add(opinion).Add(shared); }
};

struct ReaderStep : Intent {
  Reader mind;
  std::string post;  // to be written at the own node; empty: nothing
  std::string status;
};

// What follows whom: of two candidates, the smaller id, so that small ids are popular.
std::shared_ptr<const Network> MakeFollows(uint32_t agents, uint64_t seed) {
  std::vector<std::vector<NodeId>> follows(agents);
  for (NodeId node = 0; node < agents; ++node) {
    CounterRng rng(seed, node, 1);
    const uint64_t count = 1 + rng.NextBelow(kFollows);
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t a = rng.NextBelow(agents);
      follows[node].push_back(static_cast<NodeId>(std::min(a, rng.NextBelow(agents))));
    }
  }
  return std::make_shared<const Network>(follows);
}

class FollowerWorld final : public World {
 public:
  FollowerWorld(uint32_t agents, uint64_t seed)
      : agents_(agents), seed_(seed), space_(MakeFollows(agents, seed)) {}

  std::string Name() const override { return "followers"; }
  Digest ScenarioDigest() const override { return Hasher().Add(Name()).Add(agents_).Add(seed_).Finish(); }
  const Space& GetSpace() const override { return space_; }
  Rules GetRules() const override { return {1, 0}; }
  uint32_t NumAgents() const override { return agents_; }
  std::string AgentName(AgentId agent) const override { return fmt::format("reader {}", agent); }
  Body StartBody(AgentId agent) const override { return {{static_cast<int32_t>(agent), 0}, "reading"}; }
  MindPtr StartMind(AgentId agent) const override {
    auto mind = std::make_shared<Reader>();
    mind->opinion = CounterRng(seed_, agent, 2).Next();
    return mind;
  }

  Task<IntentPtr> Proceed(const View& view, Caller& caller) const override {
    auto step = std::make_shared<ReaderStep>();
    step->mind = static_cast<const Reader&>(*view.SelfMind());
    step->status = "reading";
    Reader& mind = step->mind;
    int read = 0;
    for (const Neighbour& author : view.Neighbours()) {
      const std::string post = view.Cell(author.body.pos);
      mind.opinion = Hasher().Add(mind.opinion).Add(author.id).Add(post).Add(author.body.status).Finish().low;
      // Most scroll past most posts.
      if (post.empty() || read == kRead || mind.opinion % 4 != 0) continue;
      ++read;
      llm::Request request;
      request.function = "react";
      request.prompt =
          fmt::format("Reader {} thinks {} and reads: \"{}\". Does it share it, reply or scroll on?",
                      view.Self(), mind.opinion % 100, post);
      request.constraint.choices = {"share", "reply", "scroll on"};
      const llm::Completion answer = co_await caller.Ask(std::move(request));
      if (answer.text == "share") {
        ++mind.shared;
        step->post = post;
        step->status = fmt::format("shares a post of reader {}", author.id);
      } else if (answer.text == "reply") {
        step->post = fmt::format("No, {}!", mind.opinion % 100);
        step->status = fmt::format("answers reader {}", author.id);
      }
    }
    if (step->post.empty() && CounterRng(mind.opinion, view.Now()).NextBelow(10) == 0) {
      step->post = fmt::format("Reader {} says {}.", view.Self(), mind.opinion % 100);
      step->status = "posts";
    }
    co_return step;
  }

  Task<void> Resolve(Step, const std::vector<Member>& members, Commit& commit) const override {
    for (const Member& member : members) {
      const auto& intent = static_cast<const ReaderStep&>(*member.intent);
      commit.SetMind(member.id, std::make_shared<Reader>(intent.mind));
      commit.SetBody(member.id, {member.body.pos, intent.status});
      if (intent.post.empty()) continue;
      commit.WriteCell(member.body.pos, intent.post);
      commit.AddEvent({member.id, "post", intent.post});
    }
    co_return;
  }

 private:
  uint32_t agents_;
  uint64_t seed_;
  Space space_;
};

}  // namespace

std::unique_ptr<World> MakeFollowerWorld(uint32_t agents, uint64_t seed) {
  return std::make_unique<FollowerWorld>(agents, seed);
}

std::unique_ptr<World> MakeExampleWorld(const std::string& name, uint32_t agents, uint64_t seed) {
  if (name == "plane") return MakePlazaWorld(agents, seed);
  if (name == "network") return MakeFollowerWorld(agents, seed);
  if (name == "colony") return MakeColonyWorld(agents, seed);
  throw MakeError(ErrorCode::kInvalid, "world {}: it must be plane, network or colony", name);
}

}  // namespace throng::sim

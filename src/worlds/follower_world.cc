#include <algorithm>
#include <array>
#include <utility>

#include "base/rng.h"
#include "worlds/example_worlds.h"
#include "worlds/short_memory.h"

namespace throng::worlds {

namespace {

constexpr uint32_t kFollows = 4;
constexpr int kRead = 3;  // most posts that an agent stops at in a step, first by author
constexpr const char* kReading = "reading";
constexpr const char* kShare = "share";
constexpr const char* kReply = "reply";
constexpr const char* kScrollOn = "scroll on";
constexpr std::array<const char*, 8> kTopics = {"music", "bread",  "football", "gardens",
                                                "books", "trains", "the sea",  "politics"};

struct Reader : sim::Mind {
  ShortMemory memories;
  // A digest of all posts in view: shows in the hash if an order of execution let the agent see anything
  // else.
  uint64_t seen = 0;
  void Hash(Hasher& hasher) const override {
    hasher.Add(seen);
    memories.Hash(hasher);
  }
  void Write(ByteWriter& out) const override {
    memories.Write(out);
    out.Add(seen);
  }
  static sim::MindPtr Read(ByteReader& in) {
    auto mind = std::make_shared<Reader>();
    mind->memories = ShortMemory::Read(in);
    mind->seen = in.Get<uint64_t>();
    return mind;
  }
};

struct ReaderStep : sim::Intent {
  Reader mind;
  std::string post;  // to write at its own node; empty: none
  std::string status = kReading;
  std::vector<sim::Event> events;
};

// The nodes that each node follows: of two candidates, the smaller id, so that small ids are popular.
std::shared_ptr<const sim::Network> MakeFollows(uint32_t agents, uint64_t seed) {
  std::vector<std::vector<sim::NodeId>> follows(agents);
  for (sim::NodeId node = 0; node < agents; ++node) {
    CounterRng rng(seed, node, 1);
    const uint64_t count = 1 + rng.NextBelow(kFollows);
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t a = rng.NextBelow(agents);
      follows[node].push_back(static_cast<sim::NodeId>(std::min(a, rng.NextBelow(agents))));
    }
  }
  return std::make_shared<const sim::Network>(follows);
}

class FollowerWorld final : public sim::World {
 public:
  FollowerWorld(uint32_t agents, uint64_t seed)
      : agents_(agents), seed_(seed), space_(MakeFollows(agents, seed)) {}

  std::string Name() const override { return "followers"; }
  Digest ScenarioDigest() const override { return Hasher().Add(Name()).Add(agents_).Add(seed_).Finish(); }
  const sim::Space& GetSpace() const override { return space_; }
  // On a network agents do not move, and the radius counts hops: each reads only those it follows.
  sim::Rules GetRules() const override { return {1, 0}; }
  uint32_t NumAgents() const override { return agents_; }
  std::string AgentName(sim::AgentId agent) const override { return fmt::format("reader {}", agent); }
  sim::Body StartBody(sim::AgentId agent) const override {
    return {{static_cast<int32_t>(agent), 0}, kReading};
  }
  sim::MindPtr StartMind(sim::AgentId) const override { return std::make_shared<Reader>(); }
  std::string MindForm() const override { return "reader 1"; }
  sim::MindPtr ReadMind(sim::AgentId, ByteReader& in) const override { return Reader::Read(in); }

  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override {
    const sim::AgentId self = view.Self();
    auto step = std::make_shared<ReaderStep>();
    step->mind = static_cast<const Reader&>(*view.SelfMind());
    Reader& mind = step->mind;
    int num_read = 0;
    for (const sim::Neighbour& author : view.Neighbours()) {
      const std::string post = view.Cell(author.body.pos);
      mind.seen = Hasher().Add(mind.seen).Add(author.id).Add(post).Add(author.body.status).Finish().low;
      // The status tells what the author did in the step before, so nothing is read twice. Most readers
      // scroll past most posts.
      const bool is_new = author.body.status != kReading;
      if (!is_new || num_read == kRead || !step->post.empty()) continue;
      if (CounterRng(seed_, self, author.id, view.Now()).NextBelow(4) > 0) continue;
      ++num_read;
      const llm::Completion reaction = co_await caller.Ask(AskForReaction(self, mind, post));
      if (reaction.error) {
        step->events.push_back({self, "fallback", "react: scrolls on", sim::CallOf(reaction)});
      } else if (reaction.text == kShare) {
        step->post = post;
        step->status = "shares what it read at " + AgentName(author.id);
      } else if (reaction.text == kReply) {
        const llm::Completion reply =
            co_await caller.Ask(AskForPost(self, mind, fmt::format("Answers to: {}\n", post)));
        TakePost(self, reply, "answers " + AgentName(author.id), *step);
      }
      mind.memories.Add(post);
    }
    if (num_read == 0 && CounterRng(seed_, self, view.Now()).NextBelow(10) == 0) {
      const llm::Completion post = co_await caller.Ask(AskForPost(self, mind, ""));
      TakePost(self, post, "posts", *step);
    }
    co_return step;
  }

  sim::Task<void> Resolve(sim::Step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    for (const sim::Member& member : members) {
      const auto& intent = static_cast<const ReaderStep&>(*member.intent);
      commit.SetMind(member.id, std::make_shared<Reader>(intent.mind));
      commit.SetBody(member.id, {member.body.pos, intent.status});
      for (const sim::Event& event : intent.events) commit.AddEvent(event);
      if (intent.post.empty()) continue;
      commit.WriteCell(member.body.pos, intent.post);
      commit.AddEvent({member.id, "post", intent.post, commit.CallerOf(member.id).LastCall()});
    }
    co_return;
  }

 private:
  // Prompts begin with what changes least, so that an agent's prompts share a long prefix.
  std::string DescribeSelf(sim::AgentId agent, const Reader& mind) const {
    return fmt::format(
        "People write short posts, and read those of whom they follow.\nName: {}\nLikes: {}\n"
        "Has read:\n{}",
        AgentName(agent), kTopics[CounterRng(seed_, agent, 2).NextBelow(kTopics.size())],
        mind.memories.Text());
  }
  llm::Request AskForReaction(sim::AgentId agent, const Reader& mind, const std::string& post) const {
    llm::Request request;
    request.function = "react";
    request.prompt =
        fmt::format("{}Reads: {}\n{}, {} or {}:", DescribeSelf(agent, mind), post, kShare, kReply, kScrollOn);
    request.constraint.choices = {kShare, kReply, kScrollOn};
    request.sampling.temperature = 1;
    return request;
  }
  llm::Request AskForPost(sim::AgentId agent, const Reader& mind, const std::string& why) const {
    llm::Request request;
    request.function = "write";
    request.prompt = fmt::format("{}{}Writes:", DescribeSelf(agent, mind), why);
    request.sampling.temperature = 1;
    request.stop = {"\n"};
    request.max_tokens = 24;
    return request;
  }
  void TakePost(sim::AgentId agent, const llm::Completion& answer, const std::string& status,
                ReaderStep& step) const {
    if (answer.error)
      step.events.push_back({agent, "fallback", "write: writes nothing", sim::CallOf(answer)});
    const std::string line = OneLine(answer.text);
    if (line.empty()) return;
    step.post = fmt::format("{}: {}", AgentName(agent), line);
    step.status = status;
  }

  uint32_t agents_;
  uint64_t seed_;
  sim::Space space_;
};

}  // namespace

std::unique_ptr<sim::World> MakeFollowerWorld(uint32_t agents, uint64_t seed) {
  return std::make_unique<FollowerWorld>(agents, seed);
}

}  // namespace throng::worlds

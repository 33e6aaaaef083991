#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

#include "base/rng.h"
#include "worlds/example_worlds.h"
#include "worlds/short_memory.h"

namespace throng::worlds {

namespace {

constexpr sim::PostRules kPosts = {2, 24};  // steps until followers read a post, and for how many
constexpr sim::Step kHorizon = 8;           // steps until likes count and messages arrive
constexpr size_t kShown = 20;               // posts of a feed
constexpr uint32_t kMostFollows = 3000;
constexpr uint64_t kMostActive = 500;  // of 1000 steps
constexpr std::array<const char*, 8> kTopics = {"music", "bread",  "football", "gardens",
                                                "books", "trains", "the sea",  "politics"};

using Ids = std::vector<sim::AgentId>;

struct Person : sim::Mind {
  explicit Person(Ids whom) : follows(std::make_shared<const Ids>(std::move(whom))) {
    Hasher hasher;
    for (const sim::AgentId id : *follows) hasher.Add(id);
    follows_digest = hasher.Finish();
  }
  void Hash(Hasher& hasher) const override { hasher.Add(follows_digest).Add(read); }
  std::string Text() const override {
    return fmt::format("follows {}; has read {:x}", fmt::join(*follows, ", "), read);
  }

  void Write(ByteWriter& out) const override {
    out.Add(uint64_t{follows->size()});
    for (const sim::AgentId id : *follows) out.Add(id);
    out.Add(read);
  }
  static sim::MindPtr Read(ByteReader& in) {
    Ids whom(in.GetCount(sizeof(sim::AgentId)));
    for (sim::AgentId& id : whom) id = in.Get<sim::AgentId>();
    auto mind = std::make_shared<Person>(std::move(whom));
    mind->read = in.Get<uint64_t>();
    return mind;
  }

  std::shared_ptr<const Ids> follows;  // ascending
  Digest follows_digest;
  // A digest of all that was shown: shows in the hash if an order of execution let anybody see anything else.
  uint64_t read = 0;
};

// A post or message as somebody is shown it.
struct Item {
  sim::AgentId from = 0;  // who posted, reposted or sent it
  sim::PostId origin;     // what was reposted, or the post itself; of messages, only `by` is set
  bool is_message = false;
  std::string text;
};

enum class Action { kNothing, kLike, kRepost, kFollow, kUnfollow, kReply, kPost };

struct Choice : sim::Intent {
  std::shared_ptr<Person> mind;
  Action action = Action::kNothing;
  Item item;         // what it is about, except of kPost and kNothing
  std::string text;  // of kPost and kReply
  bool failed = false;
  int call = -1;
};

// A repost names what it repeats, so that likes go to that.
std::string RepostOf(const Item& item) {
  return fmt::format("repost of {}.{}.{}: {}", item.origin.by, item.origin.step, item.origin.number,
                     item.text);
}

// Numbers from 1 to count, as a regular expression.
std::string Numbers(size_t count) {
  std::string numbers = "1";
  for (size_t i = 2; i <= count; ++i) numbers += fmt::format("|{}", i);
  return "(" + numbers + ")";
}

void TakeAnswer(const std::string& answer, const std::vector<Item>& items, Choice& choice) {
  static constexpr std::pair<const char*, Action> kVerbs[] = {{"like", Action::kLike},
                                                              {"repost", Action::kRepost},
                                                              {"follow", Action::kFollow},
                                                              {"unfollow", Action::kUnfollow},
                                                              {"reply", Action::kReply}};
  const std::string line = OneLine(answer);
  if (line.rfind("post: ", 0) == 0) {
    choice.action = Action::kPost;
    choice.text = line.substr(6);
    return;
  }
  std::array<char, 16> verb{};
  unsigned number = 0;
  int length = 0;
  if (std::sscanf(line.c_str(), "%15[a-z] %4u%n", verb.data(), &number, &length) != 2) return;
  if (number < 1 || number > items.size()) return;
  for (const auto& [name, action] : kVerbs) {
    if (std::string_view(verb.data()) != name) continue;
    const Item& item = items[number - 1];
    // A message is neither liked nor passed on.
    if (item.is_message && (action == Action::kLike || action == Action::kRepost)) return;
    choice.action = action;
    choice.item = item;
    choice.text = line.substr(std::min(line.size(), static_cast<size_t>(length) + 2));  // after ": "
  }
}

class MicroblogWorld final : public sim::World {
 public:
  MicroblogWorld(uint32_t agents, uint64_t seed)
      : agents_(agents),
        seed_(seed),
        side_(static_cast<int32_t>(std::ceil(std::sqrt(std::max(1u, agents))))),
        space_(side_, side_, sim::Metric::kChebyshev) {}

  std::string Name() const override { return "microblog"; }
  Digest ScenarioDigest() const override { return Hasher().Add(Name()).Add(agents_).Add(seed_).Finish(); }
  // Everybody sits alone: nobody sees or meets anybody.
  const sim::Space& GetSpace() const override { return space_; }
  sim::Rules GetRules() const override { return {0, 0}; }
  uint32_t NumAgents() const override { return agents_; }
  std::string AgentName(sim::AgentId agent) const override { return fmt::format("person {}", agent); }
  sim::Body StartBody(sim::AgentId agent) const override {
    const auto id = static_cast<int32_t>(agent);
    return {{id % side_, id / side_}, "reads"};
  }
  sim::MindPtr StartMind(sim::AgentId agent) const override {
    return std::make_shared<Person>(StartFollows(agent));
  }
  std::string MindForm() const override { return "person 1"; }
  sim::MindPtr ReadMind(sim::AgentId, ByteReader& in) const override { return Person::Read(in); }

  sim::Step Horizon() const override { return kHorizon; }
  sim::PostRules GetPostRules() const override { return kPosts; }
  std::span<const sim::AgentId> Follows(sim::AgentId, const sim::MindPtr& mind) const override {
    return *static_cast<const Person&>(*mind).follows;
  }

  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override {
    const std::vector<sim::Message> messages = view.Messages();
    if (messages.empty() && !IsActive(view.Self(), view.Now())) co_return nullptr;
    std::vector<Item> items;
    for (const sim::Post& post : view.Feed(kShown, RankingOf(view))) {
      const auto [origin, begin] = OriginOf(post);
      items.push_back({post.id.by, origin, false, post.text.substr(begin)});
    }
    for (const sim::Message& message : messages) {
      items.push_back({message.from, {message.from, 0, 0}, true, message.text});
    }
    auto choice = std::make_shared<Choice>();
    choice->mind = std::make_shared<Person>(static_cast<const Person&>(*view.SelfMind()));
    llm::Request request = AskFor(view, items);
    choice->mind->read = Hasher().Add(choice->mind->read).Add(request.prompt).Finish().low;
    const llm::Completion answer = co_await caller.Ask(std::move(request));
    choice->call = sim::CallOf(answer);
    choice->failed = answer.error.has_value();
    TakeAnswer(answer.text, items, *choice);
    co_return choice;
  }

  sim::Task<void> Resolve(sim::Step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    for (const sim::Member& member : members) {
      if (member.intent != nullptr) Do(member, static_cast<const Choice&>(*member.intent), commit);
    }
    co_return;
  }

 private:
  // What a post repeats, and where the text of that begins in it. A model may write what looks like a repost:
  // whatever it names, somebody can have read it.
  std::pair<sim::PostId, size_t> OriginOf(const sim::Post& post) const {
    sim::PostId origin;
    int length = 0;
    const int found = std::sscanf(post.text.c_str(), "repost of %u.%d.%u: %n", &origin.by, &origin.step,
                                  &origin.number, &length);
    const bool is_repost = found == 3 && length > 0 && origin.by < agents_ && origin.step >= 0 &&
                           origin.step <= post.id.step - kPosts.latency;
    return is_repost ? std::pair(origin, static_cast<size_t>(length)) : std::pair(post.id, size_t{0});
  }

  // Both how many somebody follows and how many follow somebody have a heavy tail; small ids are popular.
  Ids StartFollows(sim::AgentId agent) const {
    CounterRng rng(seed_, agent, 1);
    const double count = 8 / std::sqrt(std::max(rng.NextDouble(), 1e-9));
    Ids follows;
    for (uint32_t i = 0; i < std::min<double>(count, std::min(kMostFollows, agents_ - 1)); ++i) {
      const double u = rng.NextDouble();
      const auto whom = static_cast<sim::AgentId>(agents_ * (u * u * u));
      if (whom != agent && whom < agents_) follows.push_back(whom);
    }
    std::sort(follows.begin(), follows.end());
    follows.erase(std::unique(follows.begin(), follows.end()), follows.end());
    return follows;
  }

  // Most are seldom active, a few nearly half of the time.
  bool IsActive(sim::AgentId agent, sim::Step step) const {
    const double u = std::max(CounterRng(seed_, agent, 2).NextDouble(), 1e-9);
    const auto rate = std::min(kMostActive, static_cast<uint64_t>(15 / std::sqrt(u)));
    return CounterRng(seed_, agent, 3, step).NextBelow(1000) < rate;
  }

  const char* TopicOf(sim::AgentId agent) const {
    return kTopics[CounterRng(seed_, agent, 4).NextBelow(kTopics.size())];
  }

  // People's feeds are by recency, by likes, or by what they like themselves.
  std::function<int64_t(const sim::Post&)> RankingOf(const sim::View& view) const {
    switch (view.Self() % 3) {
      case 0:
        return nullptr;
      case 1:
        return [this, &view](const sim::Post& post) { return view.Likes(OriginOf(post).first); };
      default:
        return [this, &view](const sim::Post& post) {
          const sim::PostId origin = OriginOf(post).first;
          const bool is_liked = TopicOf(origin.by) == TopicOf(view.Self());
          return 2 * view.Likes(origin) + (is_liked ? 10 : 0) + post.id.step - view.Now();
        };
    }
  }

  llm::Request AskFor(const sim::View& view, const std::vector<Item>& items) const {
    llm::Request request;
    request.function = "react";
    request.prompt = fmt::format(
        "People write short posts, read those of whom they follow, and do one thing at a time.\nYou are {} "
        "and "
        "like {}.\n",
        AgentName(view.Self()), TopicOf(view.Self()));
    for (size_t i = 0; i < items.size(); ++i) {
      const Item& item = items[i];
      request.prompt += fmt::format("{}. {}", i + 1, AgentName(item.from));
      if (item.is_message) {
        request.prompt += " writes to you";
      } else {
        if (item.origin.by != item.from) request.prompt += ", from " + AgentName(item.origin.by);
        request.prompt += fmt::format(" ({} likes)", view.Likes(item.origin));
      }
      request.prompt += ": " + item.text + "\n";
    }
    const std::string words = "[a-z ]{12,60}";
    request.constraint.regex = "nothing|post: " + words;
    if (!items.empty()) {
      const std::string number = Numbers(items.size());
      request.constraint.regex +=
          "|(like|repost|follow|unfollow) " + number + "|reply " + number + ": " + words;
      request.prompt += "Like, repost, follow, unfollow or reply by number, post something, or do nothing:";
    } else {
      request.prompt += "Post something, or do nothing:";
    }
    request.sampling.temperature = 1;
    request.stop = {"\n"};
    request.max_tokens = 32;
    return request;
  }

  void Do(const sim::Member& member, const Choice& choice, sim::Commit& commit) const {
    const sim::AgentId self = member.id;
    const Item& item = choice.item;
    std::shared_ptr<const Person> mind = choice.mind;
    const char* status = "reads";
    switch (choice.action) {
      case Action::kNothing:
        break;
      case Action::kPost:
        commit.AddPost(self, choice.text);
        status = "posts";
        break;
      case Action::kRepost:
        commit.AddPost(self, RepostOf(item));
        status = "reposts";
        break;
      case Action::kLike:
        commit.Like(self, item.origin);
        status = "likes";
        break;
      case Action::kReply:
        commit.Send(self, item.origin.by, choice.text);
        status = "replies";
        break;
      case Action::kFollow:
      case Action::kUnfollow: {
        const bool follows = choice.action == Action::kFollow;
        mind = Changed(self, *choice.mind, follows ? item.origin.by : item.from, follows);
        commit.AddEvent({self, follows ? "follow" : "unfollow",
                         AgentName(follows ? item.origin.by : item.from), choice.call});
        status = follows ? "follows" : "unfollows";
        break;
      }
    }
    if (choice.failed) commit.AddEvent({self, "fallback", "react: does nothing", choice.call});
    commit.SetMind(self, std::move(mind));
    commit.SetBody(self, {member.body.pos, status});
  }

  std::shared_ptr<const Person> Changed(sim::AgentId self, const Person& mind, sim::AgentId whom,
                                        bool follows) const {
    Ids ids = *mind.follows;
    const auto at = std::lower_bound(ids.begin(), ids.end(), whom);
    const bool is_there = at != ids.end() && *at == whom;
    if (follows && !is_there && whom != self && whom < agents_) ids.insert(at, whom);
    if (!follows && is_there) ids.erase(at);
    auto changed = std::make_shared<Person>(std::move(ids));
    changed->read = mind.read;
    return changed;
  }

  uint32_t agents_;
  uint64_t seed_;
  int32_t side_;
  sim::Space space_;
};

}  // namespace

std::unique_ptr<sim::World> MakeMicroblogWorld(uint32_t agents, uint64_t seed) {
  return std::make_unique<MicroblogWorld>(agents, seed);
}

}  // namespace throng::worlds

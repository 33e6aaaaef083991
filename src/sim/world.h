// The interface that a scenario implements: a world with its rules, and agents that think in it. The
// schedulers run it in any mode.
//
// One step of one cluster (a connected component of agents that can affect each other in that step):
//   1. every member's Proceed runs, reading the state at the *start* of the step through its View, and
//      awaiting completions;
//   2. Resolve runs once for the cluster, members ordered by id: it turns intents into new states and cell
//      writes, and may itself await completions (conversations), each keyed by its speaker;
//   3. all writes are committed at once, as the state at the start of the next step.
//
// The population may change: each id belongs to one agent, present or not, and NumAgents counts all ids that
// will ever exist. Births and deaths are part of a cluster's step; changes from outside are interventions.
// docs/dynamic-worlds.md explains why neither costs exactness, and docs/networks.md why posts and messages,
// which cross any distance, do not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/digest.h"
#include "llm/llm.h"
#include "sim/posts.h"
#include "sim/space/ids.h"
#include "sim/space/reach.h"
#include "sim/space/space.h"
#include "sim/task.h"

namespace throng::sim {

// What an agent knows and plans: private to it, and immutable, so that versions can share it; a commit
// replaces it.
class Mind {
 public:
  virtual ~Mind() = default;
  virtual void Hash(Hasher& hasher) const = 0;
  // All it holds, for messages that tell in what two minds differ; empty: it cannot say.
  virtual std::string Text() const { return {}; }
  // All it holds, for World::ReadMind. Called only if the world has a MindForm.
  virtual void Write(ByteWriter& out) const { static_cast<void>(out); }
};
using MindPtr = std::shared_ptr<const Mind>;

// What others can see of an agent.
struct Body {
  Pos pos;
  std::string status;  // what it is doing, in a few words
  bool operator==(const Body&) const = default;
  void Hash(Hasher& hasher) const { hasher.Add(pos.x).Add(pos.y).Add(status); }
};

struct Neighbour {
  AgentId id;
  Body body;
};

// What all agents hear from step `from` on, wherever they are.
struct Announcement {
  Step from;
  std::string text;
};

// What one agent may read in one step. Reading outside its perception throws kInvalid naming agent and cell.
class View {
 public:
  virtual ~View() = default;
  virtual AgentId Self() const = 0;
  virtual Step Now() const = 0;
  virtual const Body& SelfBody() const = 0;
  virtual const MindPtr& SelfMind() const = 0;
  virtual std::vector<Neighbour> Neighbours()
      const = 0;                                // others within the perception radius, ordered by id
  virtual std::string Cell(Pos pos) const = 0;  // what was written there; empty if nothing
  // The announcements up to this step, in the same order for all agents, without the first `known`.
  virtual std::vector<Announcement> Announced(size_t known) const = 0;

  // Posts that can be read in this step (World::GetPostRules), of the agent itself or of one that it follows;
  // oldest first.
  virtual std::vector<Post> Posts(AgentId author) const = 0;
  // Those of everybody whom the agent follows: the `most` with the highest scores, equal ones by recency: the
  // newer first, then the smaller author, then the later of a step. Null: all scores are equal.
  virtual std::vector<Post> Feed(size_t most, const std::function<int64_t(const Post&)>& score) const = 0;
  // The sum of the likes of World::Horizon steps ago and earlier. Zero once the post can no longer be read.
  virtual int64_t Likes(const PostId& post) const = 0;
  // What was sent to the agent World::Horizon steps ago; by sender.
  virtual std::vector<Message> Messages() const = 0;
};

// What using a tool of the run does; throws kInvalid if there is none of this name.
using EffectOf = std::function<llm::Effect(const std::string& tool)>;

// What Caller::Use asks.
inline llm::Request ToolRequest(std::string tool, std::string arguments) {
  llm::Request request;
  request.kind = llm::Kind::kTool;
  request.function = std::move(tool);
  request.prompt = std::move(arguments);
  request.max_tokens = 0;
  return request;
}

// Asks models, tools and people for one agent in one step; numbers what it asks in program order and sets
// key, seed and priority.
class Caller {
 public:
  virtual ~Caller() = default;
  // Returns the request's completion. A failed call ends the run without resuming the caller; in runs that
  // fall back (run/run.h), the caller gets a completion with an error and no text.
  virtual Task<llm::Completion> Ask(llm::Request request) = 0;
  // Uses a tool of the run (RunOptions::effect_of) with these arguments, a JSON object. The completion's text
  // is the tool's result in JSON; or why it has none, if `finish` is kFailed or kUnknown.
  Task<llm::Completion> Use(std::string tool, std::string arguments) {
    return Ask(ToolRequest(std::move(tool), std::move(arguments)));
  }
  // Waits for what is done elsewhere, as a part of the step by a worker (src/workers): `begin` starts it
  // under this id, on a guess or not, and the run's Llm returns it in a completion of this id and agent,
  // whose text is returned. It is no call: it has no number, and nothing keeps or counts it.
  virtual Task<std::string> Await(std::function<void(uint64_t id, bool guess)> begin) = 0;
  // Number of the agent's last call in this step so far; -1: none.
  virtual int LastCall() const = 0;
};

// What an agent wants to do: made by Proceed, read by Resolve.
class Intent {
 public:
  virtual ~Intent() = default;
};
using IntentPtr = std::shared_ptr<const Intent>;

// A line of a run's chronicle, shown in viewers and written to the journal.
struct Event {
  AgentId agent;
  std::string kind;  // "move", "say", "plan", ...
  std::string text;
  int call = -1;  // number of the agent's call in this step that led to it; negative: none, or not known
};

// For Event::call.
inline int CallOf(const llm::Completion& answer) { return static_cast<int>(answer.key.call); }

struct Member {
  AgentId id;
  Body body;  // at the start of the step
  MindPtr mind;
  IntentPtr intent;
};

// The writes of one cluster's step. Writing outside the reach of the step throws kInvalid naming agent and
// cell: a member's new position lies within max_vel of its old one, a cell within max_vel of some member's
// start position.
class Commit {
 public:
  virtual ~Commit() = default;
  virtual void SetBody(AgentId member, Body body) = 0;
  virtual void SetMind(AgentId member, MindPtr mind) = 0;
  virtual void WriteCell(Pos pos, std::string value) = 0;
  virtual void AddEvent(Event event) = 0;
  virtual Caller& CallerOf(
      AgentId member) = 0;  // calls made here are numbered after those of the member's Proceed

  // Adds an agent, which does its next step with the others. Its id must never have been present, so that it
  // does not matter which of two distant clusters bears a child first. It must be born within max_vel of the
  // start position of a member whose radius and speed are not smaller than its own, and that declares nothing
  // beyond this step.
  virtual void Birth(AgentId id, Body body, MindPtr mind) = 0;
  // Removes the member: this is its last step.
  virtual void Remove(AgentId member) = 0;
  // All agents hear it from World::Horizon steps later on.
  virtual void Announce(AgentId member, std::string text) = 0;
  // The member's followers read it from PostRules::latency steps later on. Returns its id.
  virtual PostId AddPost(AgentId member, std::string text) = 0;
  // Adds to the post's likes, which all see World::Horizon steps later. `amount` may be negative. A post that
  // nobody can have read yet is refused.
  virtual void Like(AgentId member, const PostId& post, int64_t amount = 1) = 0;
  // Anybody, present or not, near or far. Received World::Horizon steps later.
  virtual void Send(AgentId member, AgentId to, std::string text) = 0;
  // Drops everything written so far, events included.
  virtual void Discard() = 0;
};

// Lets an intervention read and change anything, at the start of its step. Throws kInvalid for agents that
// are absent (or, to be added, present) and for positions outside the space.
class Change {
 public:
  virtual ~Change() = default;
  virtual Step Now() const = 0;
  virtual bool IsPresent(AgentId agent) const = 0;
  virtual const Body& BodyOf(AgentId agent) const = 0;
  // The last mind of an agent that has left; null if it was never present.
  virtual const MindPtr& MindOf(AgentId agent) const = 0;
  virtual std::string Cell(Pos pos) const = 0;
  virtual void SetMind(AgentId agent, MindPtr mind) = 0;
  virtual void WriteCell(Pos pos, std::string value) = 0;
  virtual void Add(AgentId id, Body body, MindPtr mind) = 0;  // agents that left may return
  virtual void Remove(AgentId agent) = 0;
  virtual void Announce(std::string text) = 0;  // heard from this step on
};

// Two agents that must run this step together, however far apart.
struct Link {
  Step step;
  AgentId a;
  AgentId b;
};

class World {
 public:
  virtual ~World() = default;
  virtual std::string Name() const = 0;
  virtual Digest ScenarioDigest() const = 0;  // of the scenario's files and parameters
  virtual const Space& GetSpace() const = 0;
  virtual Rules GetRules() const = 0;
  // The rules of one agent, for worlds where they differ.
  virtual Rules RulesOf(AgentId) const { return GetRules(); }
  virtual uint32_t NumAgents() const = 0;
  virtual std::string AgentName(AgentId agent) const = 0;
  virtual Body StartBody(AgentId agent) const = 0;
  virtual MindPtr StartMind(AgentId agent) const = 0;
  // False for ids kept free for births and arrivals; their start body and mind are not used.
  virtual bool StartsPresent(AgentId agent) const {
    static_cast<void>(agent);
    return true;
  }

  // The form in which Mind::Write writes minds down, its version included; another form is never read. Empty:
  // they cannot be written down, so there are no snapshots of the world's runs.
  virtual std::string MindForm() const { return {}; }
  // The mind that Mind::Write wrote, with the same hash. Throws kCorrupt for what it cannot have written.
  virtual MindPtr ReadMind(AgentId agent, ByteReader& in) const;

  // Dependencies that distances do not show, known from the start, as in recorded traces. Every scheduler
  // respects them.
  virtual std::vector<Link> Links() const { return {}; }
  // Steps, ascending, that no agent begins before all have reached them. In the step before a barrier,
  // positions may jump any distance.
  virtual std::vector<Step> Barriers() const { return {}; }

  // Announcements known from the start; they block no agent.
  virtual std::vector<Announcement> Announcements() const { return {}; }
  // The number of steps after which all agents hear an announcement, and anybody a message or a like; 0:
  // there are none. No two agents are further apart than this, so no agent has passed the step at which it is
  // heard.
  virtual Step Horizon() const { return 0; }

  // When followers read what an agent posts.
  virtual PostRules GetPostRules() const { return {}; }
  // Whose posts the agent reads in its next step, ascending and without itself: a function of its committed
  // mind, so that following is the reader's own state. Valid while the mind lives. Not called without posts.
  virtual std::span<const AgentId> Follows(AgentId agent, const MindPtr& mind) const {
    static_cast<void>(agent), static_cast<void>(mind);
    return {};
  }

  // Applies an intervention at the start of step `change.Now()`: all agents have done the step before, and
  // none has begun this one. `what` is in the world's own words and has passed CheckIntervention. What the
  // state makes impossible (a guest who is already there) must be skipped.
  virtual void Intervene(const std::string& what, Change& change) const {
    static_cast<void>(what), static_cast<void>(change);
  }
  // Throws kInvalid with one sentence if the world does not understand `what`.
  virtual void CheckIntervention(const std::string& what) const;

  // Declares the agent's lookahead, so that agents asleep or on a known path block fewer others. Called after
  // every commit of the agent, whose next step is `step`. The scheduler keeps an earlier promise that is
  // still in force unless the new one only narrows it, and refuses a commit that breaks it.
  virtual Lookahead Declare(AgentId agent, Step step, const Body& body, const MindPtr& mind) const {
    static_cast<void>(agent), static_cast<void>(step), static_cast<void>(body), static_cast<void>(mind);
    return {};
  }

  // Predicts an agent that was last known to begin `step` with this body and mind: its body at the start of
  // step `later`, and whether its plans (a schedule, a path it is on) reach that far. Unlike Declare, this
  // promises nothing: only guesses use it (sim/guess).
  struct Expectation {
    Body body;
    bool is_planned = false;
  };
  virtual Expectation Expect(AgentId, Step step, const Body& body, const MindPtr& mind, Step later) const {
    static_cast<void>(step), static_cast<void>(mind), static_cast<void>(later);
    return {body, false};
  }

  // Both must depend on their arguments alone, and no coroutine may keep anything between steps. Views,
  // callers and commits live until the coroutine ends.
  virtual Task<IntentPtr> Proceed(const View& view, Caller& caller) const = 0;
  virtual Task<void> Resolve(Step step, const std::vector<Member>& members, Commit& commit) const = 0;
};

}  // namespace throng::sim

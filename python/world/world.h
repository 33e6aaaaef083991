// A world described by a Python object. A run resumes its coroutines, and destroys its minds, on the thread
// that started it, which holds Python's lock all the time except in calls of the backend (backend.h).
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "effects/tool.h"
#include "python/convert/python_error.h"
#include "python/module/space.h"
#include "python/world/plain_mind.h"
#include "sim/seeds.h"
#include "sim/world.h"

namespace throng::python {

// Why code did nothing: a call failed, and it did not catch the CallError.
struct FallBack {
  std::optional<sim::AgentId> agent;  // whose call failed
  std::string text;                   // "ask: the server's words"
  int call = -1;                      // as in sim::Event
};

// The value that proceed returned. The intent of an agent that sleeps is null.
struct PythonIntent final : sim::Intent {
  PythonIntent(pybind11::object v, std::optional<FallBack> f, const sim::View& seen)
      : value(std::move(v)), fall_back(std::move(f)), view(seen) {}
  pybind11::object value;
  std::optional<FallBack> fall_back;
  const sim::View& view;  // the agent's; valid until its cluster's step ends
};

class StepsElsewhere;

class PythonWorld final : public sim::World {
 public:
  // Reads everything but proceed and resolve at once. Throws throng::Error, or what the Python code raises.
  // `failure` must outlive the world. Workers have no use for tools.
  PythonWorld(pybind11::object world, sim::Seeds seeds, Failure& failure, bool reads_tools = true);

  // From now on, workers do the agents' part of each step. `elsewhere` outlives all steps.
  void ProceedElsewhere(StepsElsewhere& elsewhere) { elsewhere_ = &elsewhere; }

  std::string Name() const override { return name_; }
  Digest ScenarioDigest() const override { return digest_; }
  const sim::Space& GetSpace() const override { return space_.Get(); }
  sim::Rules GetRules() const override { return {}; }  // every agent has its own
  sim::Rules RulesOf(sim::AgentId agent) const override { return agents_[agent].rules; }
  uint32_t NumAgents() const override { return static_cast<uint32_t>(agents_.size()); }
  std::string AgentName(sim::AgentId agent) const override { return agents_[agent].name; }
  sim::Body StartBody(sim::AgentId agent) const override { return agents_[agent].body; }
  sim::MindPtr StartMind(sim::AgentId agent) const override { return agents_[agent].mind; }
  bool StartsPresent(sim::AgentId agent) const override { return agents_[agent].present; }
  std::string MindForm() const override;  // another one once the source of the world has changed
  sim::MindPtr ReadMind(sim::AgentId agent, ByteReader& in) const override;
  sim::Step Horizon() const override { return horizon_; }
  std::vector<sim::Announcement> Announcements() const override { return announcements_; }
  sim::PostRules GetPostRules() const override { return posts_; }
  std::span<const sim::AgentId> Follows(sim::AgentId, const sim::MindPtr& mind) const override {
    return AsPlain(mind).Follows();
  }
  void Intervene(const std::string& what, sim::Change& change) const override;
  void CheckIntervention(const std::string&) const override {}
  std::vector<sim::Link> Links() const override { return links_; }
  std::vector<sim::Step> Barriers() const override { return barriers_; }
  // Both ask Python only if the world has a method of its own.
  sim::Lookahead Declare(sim::AgentId agent, sim::Step step, const sim::Body& body,
                         const sim::MindPtr& mind) const override;
  Expectation Expect(sim::AgentId agent, sim::Step step, const sim::Body& body, const sim::MindPtr& mind,
                     sim::Step later) const override;

  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override;
  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override;

  const effects::ToolTable& Tools() const { return tools_; }

  // A throng.Agent.
  pybind11::object MakeAgent(sim::AgentId agent, const sim::Body& body, const sim::MindPtr& mind,
                             pybind11::handle intent, bool present = true) const;
  pybind11::object MakeNeighbour(const sim::Neighbour& neighbour) const;
  pybind11::object MakePostId(const sim::PostId& id) const;
  pybind11::object MakePost(const sim::Post& post) const;
  pybind11::object MakeMessage(const sim::Message& message) const;
  // Whom an agent is to follow or not, or all whom it follows. Throw kInvalid in a world without posts, and
  // for who does not exist or is the agent itself. `what` is for messages.
  sim::AgentId ToFollowed(pybind11::handle whom, sim::AgentId agent, std::string_view what) const;
  FollowingPtr ReadFollowing(pybind11::handle whom, sim::AgentId agent, std::string_view what) const;
  pybind11::object MakePos(sim::Pos pos) const { return space_.MakePos(pos); }
  sim::Pos ToPos(pybind11::handle pos, std::string_view what) const { return space_.ToPos(pos, what); }
  // A random.Random that depends on its key alone, so the order of execution does not change what it draws.
  pybind11::object MakeRandom(sim::AgentId agent, sim::Step step, bool resolving) const;
  // sim::SpaceJson and "reads", sim::DrawnReaders, where there are any.
  std::string MapJson() const;
  std::string Describe(sim::AgentId agent, sim::Step step) const;

 private:
  struct StartAgent {
    std::string name;
    sim::Body body;
    sim::MindPtr mind;
    bool present;
    sim::Rules rules;
    pybind11::object radius;  // as Python values
    pybind11::object speed;
  };
  void ReadAgents();
  void ReadFollows(const std::vector<pybind11::object>& follows);
  void ReadDependencies();
  void SetDigest();

  pybind11::object world_;
  sim::Seeds seeds_;
  Failure& failure_;
  bool resolves_;  // in a way of its own
  bool declares_;
  bool expects_;
  pybind11::object agent_class_;
  pybind11::object neighbour_class_;
  pybind11::object post_class_;
  pybind11::object post_id_class_;
  pybind11::object message_class_;
  pybind11::object random_class_;
  std::string name_;
  PythonSpace space_;
  std::vector<StartAgent> agents_;
  std::vector<sim::Link> links_;
  std::vector<sim::Step> barriers_;
  sim::Step horizon_ = 0;
  sim::PostRules posts_;
  effects::ToolTable tools_;
  StepsElsewhere* elsewhere_ = nullptr;
  std::vector<sim::Announcement> announcements_;
  Digest digest_;
};

// A throng.Post, or its id.
sim::PostId ToPostId(pybind11::handle post, std::string_view what);

}  // namespace throng::python

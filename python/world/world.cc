#include "python/world/world.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "python/convert/convert.h"
#include "python/convert/plain_value.h"
#include "python/llm/completion.h"
#include "python/module/change.h"
#include "python/workers/steps_elsewhere.h"
#include "python/world/steps.h"
#include "python/world/tools.h"
#include "sim/drawn_readers.h"

namespace py = pybind11;

namespace throng::python {

namespace {

bool IsAsleep(const sim::View& view) {
  const Sleep& sleep = AsPlain(view.SelfMind()).GetSleep();
  return view.Now() < sleep.until && (!sleep.alert || (view.Neighbours().empty() && view.Messages().empty()));
}

const PythonIntent* IntentOf(const sim::Member& member) {
  return static_cast<const PythonIntent*>(member.intent.get());
}

// Whether nobody has anything to resolve. resolves: the world has a way of its own, which may make something
// of None.
bool AreIdle(const std::vector<sim::Member>& members, bool resolves) {
  return std::all_of(members.begin(), members.end(), [resolves](const sim::Member& member) {
    const PythonIntent* const intent = IntentOf(member);
    return intent == nullptr || (!resolves && intent->value.is_none() && !intent->fall_back);
  });
}

void TellWhoFellBack(const std::vector<sim::Member>& members, sim::Commit& commit) {
  for (const sim::Member& member : members) {
    const PythonIntent* const intent = IntentOf(member);
    if (intent != nullptr && intent->fall_back)
      commit.AddEvent({member.id, "fallback", intent->fall_back->text, intent->fall_back->call});
  }
}

// The agent's own value, else its world's, else the default of its space.
py::object Choose(py::handle agent, const py::object& world, const char* name, const py::object& usual) {
  const py::object own = agent.attr(name);
  if (!own.is_none()) return own;
  const py::object common = world.attr(name);
  return common.is_none() ? usual : common;
}

// Whether the class of a world has its own method of that name.
bool Overrides(const py::object& world, const char* name) {
  const py::object common = py::module_::import("throng.world").attr("World");
  return !py::type::of(world).attr(name).is(common.attr(name));
}

bool IsCommonResolve(const py::object& resolve) {
  const py::object common = py::module_::import("throng.world").attr("World").attr("resolve");
  return py::getattr(resolve, "__func__", py::none()).is(common);
}

// A class is none, and neither is what only looks like one.
py::object CheckWorld(py::object world) {
  if (!py::isinstance(world, py::module_::import("throng.world").attr("World")))
    ThrowWrongType("world", world, "an object of a class that derives from throng.World, as in MyWorld()");
  return world;
}

std::string ReadName(const py::object& world) {
  const py::object name = world.attr("name");
  if (name.is_none()) return py::cast<std::string>(py::type::of(world).attr("__name__"));
  return CastTo<std::string>(name, "World.name", "a str");
}

}  // namespace

PythonWorld::PythonWorld(py::object world, sim::Seeds seeds, Failure& failure, bool reads_tools)
    : world_(CheckWorld(std::move(world))),
      seeds_(std::move(seeds)),
      failure_(failure),
      resolves_(!IsCommonResolve(world_.attr("resolve"))),
      declares_(Overrides(world_, "declare")),
      expects_(Overrides(world_, "expect")),
      random_class_(py::module_::import("random").attr("Random")),
      name_(ReadName(world_)),
      space_(world_) {
  const py::module_ classes = py::module_::import("throng.world");
  agent_class_ = classes.attr("Agent");
  neighbour_class_ = classes.attr("Neighbour");
  const py::module_ posts = py::module_::import("throng.posts");
  post_class_ = posts.attr("Post");
  post_id_class_ = posts.attr("PostId");
  message_class_ = posts.attr("Message");
  posts_.latency = Field<sim::Step>(world_, "World", "post_latency", "a number of steps");
  posts_.kept = Field<sim::Step>(world_, "World", "post_kept", "a number of steps");
  ReadAgents();
  ReadDependencies();
  if (reads_tools) tools_ = ReadTools(world_.attr("tools"));
  SetDigest();
}

void PythonWorld::ReadAgents() {
  const py::object agents = world_.attr("agents")();
  if (!py::isinstance<py::iterable>(agents))
    ThrowWrongType("World.agents()", agents, "a list of throng.Agent");
  std::vector<py::object> follows;
  for (const py::handle agent : agents) {
    const std::string what = fmt::format("agent {}", agents_.size());
    if (!py::isinstance(agent, agent_class_))
      ThrowWrongType("World.agents(): " + what, agent, "a throng.Agent");
    StartAgent start;
    start.name = Field<std::string>(agent, "Agent", "name", "a str");
    start.body.pos = ToPos(agent.attr("pos"), "Agent.pos");
    start.radius = Choose(agent, world_, "perception_radius", space_.DefaultRadius());
    start.rules.radius_p = space_.ToRadius(start.radius, what + ": perception_radius");
    start.speed = Choose(agent, world_, "max_velocity", space_.DefaultSpeed());
    start.rules.max_vel = space_.ToSpeed(start.speed, what + ": max_velocity");
    start.body.status = Field<std::string>(agent, "Agent", "status", "a str");
    const py::object mind = agent.attr("mind");
    start.mind = std::make_shared<PlainMind>(mind, fmt::format("the mind of {} ({})", what, start.name));
    start.present = Field<bool>(agent, "Agent", "present", "True or False");
    follows.push_back(agent.attr("follows"));
    agents_.push_back(std::move(start));
  }
  ReadFollows(follows);
}

// Once it is known how many agents there are.
void PythonWorld::ReadFollows(const std::vector<py::object>& follows) {
  for (sim::AgentId id = 0; id < NumAgents(); ++id) {
    sim::MindPtr& mind = agents_[id].mind;
    mind = std::make_shared<PlainMind>(
        AsPlain(mind),
        ReadFollowing(follows[id], id, fmt::format("agent {} ({}): follows", id, AgentName(id))));
  }
}

sim::AgentId PythonWorld::ToFollowed(py::handle whom, sim::AgentId agent, std::string_view what) const {
  if (posts_.latency == 0) {
    throw MakeError(ErrorCode::kInvalid, "{}: there are no posts to follow, as World.post_latency is 0",
                    what);
  }
  const sim::AgentId id = ToAgentId(whom);
  if (id >= NumAgents()) {
    throw MakeError(ErrorCode::kInvalid, "{}: there is no agent {}; the world has ids from 0 to {}", what, id,
                    NumAgents() - 1);
  }
  if (id == agent) {
    throw MakeError(ErrorCode::kInvalid,
                    "{}: agent {} itself; allowed are others (it may always read its own posts)", what, id);
  }
  return id;
}

FollowingPtr PythonWorld::ReadFollowing(py::handle whom, sim::AgentId agent, std::string_view what) const {
  if (py::isinstance<py::str>(whom) || !py::isinstance<py::iterable>(whom))
    ThrowWrongType(what, whom, "a list of agents or their ids");
  std::vector<sim::AgentId> ids;
  for (const py::handle other : whom) ids.push_back(ToFollowed(other, agent, what));
  return Following::Make(std::move(ids));
}

void PythonWorld::ReadDependencies() {
  using Links = std::vector<std::tuple<sim::Step, sim::AgentId, sim::AgentId>>;
  const py::object links = world_.attr("links")();
  for (const auto& [step, a, b] : CastTo<Links>(links, "World.links()", "a list of (step, agent, agent)")) {
    links_.push_back({step, a, b});
  }
  const py::object barriers = world_.attr("barriers")();
  horizon_ = Field<sim::Step>(world_, "World", "horizon", "an integer");
  using Announcements = std::vector<std::pair<sim::Step, py::object>>;
  const py::object announcements = world_.attr("announcements")();
  for (const auto& [step, text] :
       CastTo<Announcements>(announcements, "World.announcements()", "a list of (step, text)")) {
    announcements_.push_back({step, std::string(ToText(text, "World.announcements(): text"))});
  }
  barriers_ = CastTo<std::vector<sim::Step>>(barriers, "World.barriers()", "an ascending list of steps");
}

void PythonWorld::SetDigest() {
  Hasher hasher;
  hasher.Add(name_).Add(uint64_t{agents_.size()});
  space_.Hash(hasher);
  for (const StartAgent& agent : agents_) {
    hasher.Add(agent.name);
    agent.body.Hash(hasher);
    agent.mind->Hash(hasher);
    hasher.Add(agent.present).Add(agent.rules.radius_p).Add(agent.rules.max_vel);
  }
  hasher.Add(horizon_).Add(uint64_t{announcements_.size()});
  for (const sim::Announcement& announcement : announcements_) {
    hasher.Add(announcement.from).Add(announcement.text);
  }
  if (posts_.latency > 0) hasher.Add("posts").Add(posts_.latency).Add(posts_.kept);
  hasher.Add(uint64_t{links_.size()}).Add(uint64_t{barriers_.size()});
  for (const sim::Link& link : links_) hasher.Add(link.step).Add(link.a).Add(link.b);
  for (const sim::Step step : barriers_) hasher.Add(step);
  HashPlain(Freeze(world_.attr("parameters")(), "World.parameters()"), hasher);
  digest_ = hasher.Finish();
}

std::string PythonWorld::MindForm() const {
  const py::object sources = py::module_::import("throng.record").attr("sources_of")(py::type::of(world_));
  Hasher hasher;
  for (const auto& [name, text] : py::cast<py::dict>(sources)) hasher.Add(ToText(text, "source"));
  return "python 2, source " + hasher.Finish().Hex();
}

sim::MindPtr PythonWorld::ReadMind(sim::AgentId agent, ByteReader& in) const {
  return PlainMind::Read(in, fmt::format("the mind of agent {} ({})", agent, AgentName(agent)));
}

py::object PythonWorld::MakeAgent(sim::AgentId agent, const sim::Body& body, const sim::MindPtr& mind,
                                  py::handle intent, bool present) const {
  const PlainMind& plain = AsPlain(mind);
  const py::object follows = plain.GetFollowing() == nullptr ? py::tuple() : plain.GetFollowing()->Tuple();
  const StartAgent& start = agents_[agent];
  return agent_class_(start.name, MakePos(body.pos), body.status, plain.Value(), agent, intent, present,
                      start.radius, start.speed, follows);
}

py::object PythonWorld::MakePostId(const sim::PostId& id) const {
  return post_id_class_(id.by, id.step, id.number);
}

py::object PythonWorld::MakePost(const sim::Post& post) const {
  return post_class_(MakePostId(post.id), agents_[post.id.by].name, MakeText(post.text));
}

py::object PythonWorld::MakeMessage(const sim::Message& message) const {
  return message_class_(message.from, agents_[message.from].name, MakeText(message.text));
}

py::object PythonWorld::MakeNeighbour(const sim::Neighbour& neighbour) const {
  return neighbour_class_(neighbour.id, agents_[neighbour.id].name, MakePos(neighbour.body.pos),
                          neighbour.body.status);
}

py::object PythonWorld::MakeRandom(sim::AgentId agent, sim::Step step, bool resolving) const {
  return random_class_(CounterRng(sim::SeedAt(seeds_, step), agent, step, resolving ? 1 : 0).Next());
}

std::string PythonWorld::MapJson() const {
  nlohmann::ordered_json map = nlohmann::ordered_json::parse(space_.MapJson());
  if (auto readers = sim::DrawnReaders(*this); !readers.empty()) map["reads"] = std::move(readers);
  return map.dump();
}

std::string PythonWorld::Describe(sim::AgentId agent, sim::Step step) const {
  return fmt::format("agent {} ({}), step {}", agent, agents_[agent].name, step);
}

void PythonWorld::Intervene(const std::string& what, sim::Change& change) const {
  const auto python_change = std::make_shared<PythonChange>(*this, change);
  try {
    const py::object returned = world_.attr("intervene")(python_change, MakeText(what));
    if (!returned.is_none())
      ThrowWrongType("what intervene returned", returned, "None: it cannot yield calls");
    python_change->Close();
  } catch (...) {
    python_change->Close();
    failure_.Keep(fmt::format("intervene({:?}), step {}", what, change.Now()));
  }
}

sim::Lookahead PythonWorld::Declare(sim::AgentId agent, sim::Step step, const sim::Body& body,
                                    const sim::MindPtr& mind) const {
  if (!declares_) return {};
  try {
    const py::object promise = world_.attr("declare")(step, MakeAgent(agent, body, mind, py::none()));
    if (promise.is_none()) return {};
    return {Field<sim::Step>(promise, "Lookahead", "until", "a step"),
            ToPos(promise.attr("low"), "Lookahead.low"), ToPos(promise.attr("high"), "Lookahead.high")};
  } catch (...) {
    failure_.Keep("declare for " + Describe(agent, step));
  }
}

PythonWorld::Expectation PythonWorld::Expect(sim::AgentId agent, sim::Step step, const sim::Body& body,
                                             const sim::MindPtr& mind, sim::Step later) const {
  if (!expects_) return {body, false};
  try {
    const py::object guess = world_.attr("expect")(step, MakeAgent(agent, body, mind, py::none()), later);
    if (guess.is_none()) return {body, false};
    return {{ToPos(guess.attr("pos"), "Expectation.pos"),
             Field<std::string>(guess, "Expectation", "status", "a str")},
            Field<bool>(guess, "Expectation", "planned", "True or False")};
  } catch (...) {
    failure_.Keep("expect for " + Describe(agent, step));
  }
}

sim::Task<sim::IntentPtr> PythonWorld::Proceed(const sim::View& view, sim::Caller& caller) const {
  if (IsAsleep(view)) co_return nullptr;
  if (elsewhere_ != nullptr) {
    sim::Task<sim::IntentPtr> done = elsewhere_->Proceed(*this, view, caller, failure_);
    co_return co_await std::move(done);
  }
  ProceedSteps steps(*this, view, failure_);
  steps.Start(world_);
  while (!steps.Done()) {
    sim::Task<std::vector<llm::Completion>> asked = sim::WhenAll(steps.Ask(caller));
    std::vector<llm::Completion> answers = co_await std::move(asked);
    steps.GoOn(std::move(answers));
  }
  co_return std::make_shared<PythonIntent>(steps.TakeResult(), steps.TakeFallBack(), view);
}

sim::Task<void> PythonWorld::Resolve(sim::Step step, const std::vector<sim::Member>& members,
                                     sim::Commit& commit) const {
  if (AreIdle(members, resolves_)) co_return;
  TellWhoFellBack(members, commit);
  ResolveSteps steps(*this, step, members, commit, failure_);
  steps.Start(world_);
  while (!steps.Done()) {
    sim::Task<std::vector<llm::Completion>> asked = sim::WhenAll(steps.Ask(commit));
    std::vector<llm::Completion> answers = co_await std::move(asked);
    steps.GoOn(std::move(answers));
  }
  if (const std::optional<FallBack> fall_back = steps.TakeFallBack()) {
    commit.Discard();
    TellWhoFellBack(members, commit);
    commit.AddEvent(
        {fall_back->agent.value_or(members.front().id), "fallback", fall_back->text, fall_back->call});
  }
}

sim::PostId ToPostId(py::handle post, std::string_view what) {
  constexpr const char* kAllowed = "a throng.Post, or its id";
  using Id = std::tuple<sim::AgentId, sim::Step, uint32_t>;
  const py::object id = py::getattr(post, "id", py::reinterpret_borrow<py::object>(post));
  const auto [by, step, number] = CastTo<Id>(id, what, kAllowed);
  return {by, step, number};
}

}  // namespace throng::python

#include "python/workers/steps_elsewhere.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "python/workers/pickles.h"
#include "workers/turns.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// With more cells in sight than this, each is sent when it is read.
constexpr int64_t kMostCells = 1024;
// What steps read before it is known of an agent.
constexpr uint8_t kUsualReads = kReadsNeighbours;

// The cells in sight, if they are few.
std::optional<std::vector<sim::Pos>> CellsInSight(const PythonWorld& world, const sim::View& view) {
  const sim::Space& space = world.GetSpace();
  const int64_t radius = world.RulesOf(view.Self()).radius_p;
  if (space.GetMetric() == sim::Metric::kHops || (2 * radius + 1) * (2 * radius + 1) > kMostCells)
    return std::nullopt;
  const sim::Pos self = view.SelfBody().pos;
  std::vector<sim::Pos> cells;
  for (auto y = static_cast<int32_t>(self.y - radius); y <= self.y + radius; ++y) {
    for (auto x = static_cast<int32_t>(self.x - radius); x <= self.x + radius; ++x) {
      if (space.Contains({x, y}) && space.Within(self, {x, y}, radius)) cells.push_back({x, y});
    }
  }
  return cells;
}

Sight Look(const PythonWorld& world, const sim::View& view, uint8_t reads) {
  Sight sight;
  if ((reads & kReadsNeighbours) != 0) {
    sight.has |= kReadsNeighbours;
    sight.neighbours = view.Neighbours();
  }
  if ((reads & kReadsAnnounced) != 0) {
    sight.has |= kReadsAnnounced;
    sight.announced = view.Announced(0);
  }
  if ((reads & kReadsPosts) != 0) {
    sight.has |= kReadsPosts;
    sight.posts = view.Posts(view.Self());
    for (const sim::AgentId author : world.Follows(view.Self(), view.SelfMind())) {
      for (sim::Post& post : view.Posts(author)) sight.posts.push_back(std::move(post));
    }
    for (const sim::Post& post : sight.posts) sight.likes.emplace_back(post.id, view.Likes(post.id));
  }
  if ((reads & kReadsMessages) != 0) {
    sight.has |= kReadsMessages;
    sight.messages = view.Messages();
  }
  if ((reads & kReadsCells) == 0) return sight;
  if (const std::optional<std::vector<sim::Pos>> cells = CellsInSight(world, view)) {
    sight.has |= kReadsCells;
    for (const sim::Pos pos : *cells) {
      if (std::string text = view.Cell(pos); !text.empty()) sight.cells.emplace_back(pos, std::move(text));
    }
  }
  return sight;
}

std::string Answer(std::vector<llm::Completion> answers) {
  StepReply reply;
  for (const llm::Completion& answer : answers) {
    std::optional<Fault>& fault = reply.faults.emplace_back();
    if (answer.error) fault = {answer.error->Code(), answer.error->what()};
  }
  reply.answers = std::move(answers);
  return workers::Encode(reply);
}

[[noreturn]] void RaiseFrom(const StepSays& says, Failure& failure) {
  if (says.value.empty()) throw Error(says.fault.code, says.fault.text);
  failure.Keep(LoadException(says.value));
}

}  // namespace

std::string StepsElsewhere::FirstTurn(const PythonWorld& world, const sim::View& view) {
  reads_.resize(world.NumAgents(), kUsualReads);
  StepTask task;
  task.agent = view.Self();
  task.step = view.Now();
  task.body = view.SelfBody();
  const PlainMind& mind = AsPlain(view.SelfMind());
  task.mind = Pickle(mind.Value(), "the mind of " + world.Describe(view.Self(), view.Now()));
  task.follows.assign(mind.Follows().begin(), mind.Follows().end());
  task.sight = Look(world, view, reads_[view.Self()]);
  return workers::Encode(task);
}

std::string StepsElsewhere::Read(const PythonWorld& world, const sim::View& view,
                                 const StepSays& says) const {
  StepReply reply;
  try {
    reply.sight = Look(world, view, says.reads);
    if (says.reads == kReadsCells) reply.sight.cells.emplace_back(says.pos, view.Cell(says.pos));
    if (says.reads == kReadsLikes) reply.sight.likes.emplace_back(says.post, view.Likes(says.post));
  } catch (const Error& error) {
    reply.fault = {error.Code(), error.what()};
  }
  return workers::Encode(reply);
}

sim::Task<sim::IntentPtr> StepsElsewhere::Proceed(const PythonWorld& world, const sim::View& view,
                                                  sim::Caller& caller, Failure& failure) {
  workers::Turns turns(pool_, {view.Self(), view.Now(), 0});
  std::string next = FirstTurn(world, view);
  while (true) {
    sim::Task<std::string> turn =
        caller.Await([&turns, &next](uint64_t id, bool guess) { turns.Say(id, guess, std::move(next)); });
    const std::string said = co_await std::move(turn);
    StepSays says = workers::Decode<StepSays>(said);
    if (says.kind == StepSays::Kind::kFailed) RaiseFrom(says, failure);
    if (says.kind == StepSays::Kind::kDone) {
      reads_[view.Self()] = says.reads;
      co_return std::make_shared<PythonIntent>(Unpickle(says.value), std::move(says.fall_back), view);
    }
    if (says.kind == StepSays::Kind::kReads) {
      next = Read(world, view, says);
      continue;
    }
    std::vector<sim::Task<llm::Completion>> asked;
    for (llm::Request& call : says.calls) asked.push_back(caller.Ask(std::move(call)));
    sim::Task<std::vector<llm::Completion>> answered = sim::WhenAll(std::move(asked));
    std::vector<llm::Completion> answers = co_await std::move(answered);
    next = Answer(std::move(answers));
  }
}

}  // namespace throng::python

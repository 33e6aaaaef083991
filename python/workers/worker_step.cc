#include "python/workers/worker_step.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "python/workers/pickles.h"

namespace throng::python {

WorkerStep::WorkerStep(const PythonWorld& world, StepTask task, AskRun ask_run)
    : world_(world),
      task_(std::move(task)),
      ask_run_(std::move(ask_run)),
      mind_(std::make_shared<PlainMind>(Unpickle(task_.mind),
                                        "the mind of " + world.Describe(task_.agent, task_.step))) {
  Add(std::move(task_.sight));
}

void WorkerStep::Start() {
  intent_ = world_.Proceed(*this, *this);
  intent_.Start();
}

void WorkerStep::GoOn(StepReply reply) {
  const std::vector<Asked*> asked = std::exchange(asked_, {});
  THRONG_CHECK(reply.answers.size() == asked.size() && reply.faults.size() == asked.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    asked[i]->answer = std::move(reply.answers[i]);
    if (const std::optional<Fault>& fault = reply.faults[i])
      asked[i]->answer.error = Error(fault->code, fault->text);
  }
  for (Asked* const one : asked) one->waiter.resume();
}

StepSays WorkerStep::Says() {
  StepSays says;
  if (!intent_.Done()) {
    for (Asked* const one : asked_) says.calls.push_back(std::move(one->request));
    return says;
  }
  const sim::IntentPtr intent = intent_.Take();
  const auto& done = static_cast<const PythonIntent&>(*intent);
  says.kind = StepSays::Kind::kDone;
  says.value =
      Pickle(done.value, "what proceed of " + world_.Describe(task_.agent, task_.step) + " returned");
  says.fall_back = done.fall_back;
  says.reads = read_;
  return says;
}

sim::Task<llm::Completion> WorkerStep::Ask(llm::Request request) {
  Asked asked{std::move(request)};
  asked_.push_back(&asked);
  co_await asked;
  co_return std::move(asked.answer);
}

// Only the run has workers.
sim::Task<std::string> WorkerStep::Await(std::function<void(uint64_t id, bool guess)> begin) {
  THRONG_CHECK(begin == nullptr);
  co_return std::string();
}

void WorkerStep::Add(Sight sight) const {
  sight_.has |= sight.has;
  if ((sight.has & kReadsNeighbours) != 0) sight_.neighbours = std::move(sight.neighbours);
  if ((sight.has & kReadsAnnounced) != 0) sight_.announced = std::move(sight.announced);
  for (auto& [pos, text] : sight.cells) cells_.insert_or_assign(pos, std::move(text));
}

void WorkerStep::Read(uint8_t reads, sim::Pos pos) const {
  StepReply reply = ask_run_(reads, pos);
  if (reply.fault) throw Error(reply.fault->code, reply.fault->text);
  Add(std::move(reply.sight));
}

std::vector<sim::Neighbour> WorkerStep::Neighbours() const {
  read_ |= kReadsNeighbours;
  if ((sight_.has & kReadsNeighbours) == 0) Read(kReadsNeighbours, {});
  return sight_.neighbours;
}

std::string WorkerStep::Cell(sim::Pos pos) const {
  read_ |= kReadsCells;
  const auto known = cells_.find(pos);
  if (known != cells_.end()) return known->second;
  const bool is_in_sight =
      world_.GetSpace().Contains(pos) &&
      world_.GetSpace().Within(task_.body.pos, pos, world_.RulesOf(task_.agent).radius_p);
  if (is_in_sight && (sight_.has & kReadsCells) != 0) return {};
  Read(kReadsCells, pos);
  return cells_.at(pos);
}

std::vector<sim::Announcement> WorkerStep::Announced(size_t known) const {
  read_ |= kReadsAnnounced;
  if ((sight_.has & kReadsAnnounced) == 0) Read(kReadsAnnounced, {});
  const std::vector<sim::Announcement>& all = sight_.announced;
  return {all.begin() + static_cast<ptrdiff_t>(std::min(known, all.size())), all.end()};
}

}  // namespace throng::python

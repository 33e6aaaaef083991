#include "python/workers/worker_step.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "python/workers/pickles.h"
#include "sim/cluster_run.h"
#include "sim/posts.h"

namespace throng::python {

WorkerStep::WorkerStep(const PythonWorld& world, StepTask task, AskRun ask_run)
    : world_(world),
      task_(std::move(task)),
      ask_run_(std::move(ask_run)),
      mind_(std::make_shared<PlainMind>(Unpickle(task_.mind),
                                        "the mind of " + world.Describe(task_.agent, task_.step),
                                        Following::Make(std::move(task_.follows)))) {
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
  if ((sight.has & kReadsPosts) != 0) sight_.posts = std::move(sight.posts);
  if ((sight.has & kReadsMessages) != 0) sight_.messages = std::move(sight.messages);
  for (auto& [pos, text] : sight.cells) cells_.insert_or_assign(pos, std::move(text));
  likes_.insert(sight.likes.begin(), sight.likes.end());
}

void WorkerStep::Read(StepSays read) const {
  read.kind = StepSays::Kind::kReads;
  StepReply reply = ask_run_(read);
  if (reply.fault) throw Error(reply.fault->code, reply.fault->text);
  Add(std::move(reply.sight));
}

void WorkerStep::See(uint8_t reads) const {
  read_ |= reads;
  if ((sight_.has & reads) == 0) Read({.reads = reads});
}

std::vector<sim::Neighbour> WorkerStep::Neighbours() const {
  See(kReadsNeighbours);
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
  Read({.reads = kReadsCells, .pos = pos});
  return cells_.at(pos);
}

std::vector<sim::Announcement> WorkerStep::Announced(size_t known) const {
  See(kReadsAnnounced);
  const std::vector<sim::Announcement>& all = sight_.announced;
  return {all.begin() + static_cast<ptrdiff_t>(std::min(known, all.size())), all.end()};
}

std::vector<sim::Post> WorkerStep::Posts(sim::AgentId author) const {
  sim::CheckReadsPostsOf(world_, task_.agent, mind_, author);
  See(kReadsPosts);
  std::vector<sim::Post> posts;
  std::copy_if(sight_.posts.begin(), sight_.posts.end(), std::back_inserter(posts),
               [author](const sim::Post& post) { return post.id.by == author; });
  return posts;
}

std::vector<sim::Post> WorkerStep::Feed(size_t most,
                                        const std::function<int64_t(const sim::Post&)>& score) const {
  See(kReadsPosts);
  sim::FeedRanking ranking(most);
  for (const sim::Post& post : sight_.posts) {
    if (post.id.by != task_.agent) ranking.Add(post, score ? score(post) : 0);
  }
  return ranking.Take();
}

int64_t WorkerStep::Likes(const sim::PostId& post) const {
  if (!likes_.contains(post)) Read({.reads = kReadsLikes, .post = post});
  return likes_.at(post);
}

std::vector<sim::Message> WorkerStep::Messages() const {
  See(kReadsMessages);
  return sight_.messages;
}

}  // namespace throng::python

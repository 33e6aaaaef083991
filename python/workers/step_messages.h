// What is said in the turns of a Python agent's step between its run and a worker.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "llm/llm.h"
#include "python/world/world.h"
#include "sim/world.h"
#include "workers/wire.h"

namespace throng::python {

// What of a view a step reads, as bits.
enum Reads : uint8_t {
  kReadsNeighbours = 1,
  kReadsAnnounced = 2,
  kReadsCells = 4,
  kReadsPosts = 8,   // all that the agent may read, with their likes
  kReadsLikes = 16,  // of any other post; never sent before it is asked for
  kReadsMessages = 32,
};

// A part of a view.
struct Sight {
  uint8_t has = 0;  // Reads; kReadsCells: all cells in sight that are not empty are in `cells`
  std::vector<sim::Neighbour> neighbours{};
  std::vector<sim::Announcement> announced{};
  std::vector<std::pair<sim::Pos, std::string>> cells{};
  std::vector<sim::Post> posts{};  // of an author, oldest first
  std::vector<std::pair<sim::PostId, int64_t>> likes{};
  std::vector<sim::Message> messages{};
};

// Why something could not be done: an Error that can be sent.
struct Fault {
  ErrorCode code = ErrorCode::kInvalid;
  std::string text;
};

// The run's first turn.
struct StepTask {
  sim::AgentId agent = 0;
  sim::Step step = 0;
  sim::Body body;
  std::string mind;  // pickled
  std::vector<sim::AgentId> follows;
  Sight sight;
};

// The run's later turns: what the worker asked for.
struct StepReply {
  std::optional<Fault> fault;                // of a read
  Sight sight;                               // what was to be read
  std::vector<llm::Completion> answers;      // to calls, without their errors,
  std::vector<std::optional<Fault>> faults;  // which are here
};

// What the worker says in its turns.
struct StepSays {
  enum class Kind : uint8_t { kAsks, kReads, kDone, kFailed };
  Kind kind = Kind::kAsks;
  std::vector<llm::Request> calls{};  // kAsks
  uint8_t reads = 0;                  // kReads: one of Reads; kDone: all that the step read
  sim::Pos pos{};                     // kReads: the cell
  sim::PostId post{};                 // kReads: whose likes
  std::string value{};  // kDone: the intent, pickled; kFailed: the exception and its traceback, or empty
  std::optional<FallBack> fall_back{};  // kDone
  Fault fault{};                        // kFailed, without an exception
};

}  // namespace throng::python

// Found by the archives' namespace.
namespace throng::workers {

template <typename Archive>
void Fields(Archive& archive, sim::Pos& pos) {
  archive(pos.x, pos.y);
}
template <typename Archive>
void Fields(Archive& archive, sim::Body& body) {
  archive(body.pos, body.status);
}
template <typename Archive>
void Fields(Archive& archive, sim::Neighbour& neighbour) {
  archive(neighbour.id, neighbour.body);
}
template <typename Archive>
void Fields(Archive& archive, sim::Announcement& announcement) {
  archive(announcement.from, announcement.text);
}
template <typename Archive>
void Fields(Archive& archive, sim::PostId& id) {
  archive(id.by, id.step, id.number);
}
template <typename Archive>
void Fields(Archive& archive, sim::Post& post) {
  archive(post.id, post.text);
}
template <typename Archive>
void Fields(Archive& archive, sim::Message& message) {
  archive(message.from, message.text);
}
template <typename Archive>
void Fields(Archive& archive, python::Sight& sight) {
  archive(sight.has, sight.neighbours, sight.announced, sight.cells, sight.posts, sight.likes,
          sight.messages);
}
template <typename Archive>
void Fields(Archive& archive, python::Fault& fault) {
  archive(fault.code, fault.text);
}
template <typename Archive>
void Fields(Archive& archive, python::FallBack& fall_back) {
  archive(fall_back.agent, fall_back.text, fall_back.call);
}
template <typename Archive>
void Fields(Archive& archive, llm::UsedMemory& memory) {
  archive(memory.step, memory.text, memory.number);
}
// Those that a step sets: the run sets the others.
template <typename Archive>
void Fields(Archive& archive, llm::Request& call) {
  archive(call.kind, call.effect, call.function, call.system, call.prompt, call.constraint.choices,
          call.constraint.json_schema, call.sampling.temperature, call.sampling.top_k, call.sampling.top_p,
          call.sampling.min_p, call.sampling.repetition_penalty, call.stop, call.max_tokens, call.patience_s,
          call.otherwise, call.memories);
}
// Those that a step sees.
template <typename Archive>
void Fields(Archive& archive, llm::Completion& answer) {
  archive(answer.key.call, answer.finish, answer.text, answer.prompt_tokens, answer.cached_prompt_tokens,
          answer.output_tokens);
}
template <typename Archive>
void Fields(Archive& archive, python::StepTask& task) {
  archive(task.agent, task.step, task.body, task.mind, task.follows, task.sight);
}
template <typename Archive>
void Fields(Archive& archive, python::StepReply& reply) {
  archive(reply.fault, reply.sight, reply.answers, reply.faults);
}
template <typename Archive>
void Fields(Archive& archive, python::StepSays& says) {
  archive(says.kind, says.calls, says.reads, says.pos, says.post, says.value, says.fall_back, says.fault);
}

}  // namespace throng::workers

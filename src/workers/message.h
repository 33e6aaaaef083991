// What a run and its workers send each other. A step of an agent is done in turns: the run says what the step
// reads; the worker says what the step wants to know, or in the end to do; the run tells it; and so on.
#pragma once

#include <cstdint>
#include <string>

#include "llm/llm.h"

namespace throng::workers {

struct ToWorker {
  enum class Kind : uint8_t {
    kBegin,  // the first turn of a step; who has begun the step before begins it anew
    kReply,  // a later turn, to a worker that has done those before
    kDrop,   // nobody wants the step any more
    kJob,    // what a worker needs to know of the run; the first message
  };
  Kind kind = Kind::kBegin;
  uint64_t step = 0;  // one agent's step, as StepPool counts them
  uint32_t turn = 0;
  std::string text;
};

struct FromWorker {
  enum class Kind : uint8_t {
    kTurn,     // the worker has done this turn
    kLast,     // and it was the last one of the step
    kTaken,    // the worker begins a step again that another one did, which is lost
    kReady,    // the worker has loaded the world
    kRefused,  // or cannot: the text says why
    kAlive,    // nothing but a sign of life
  };
  Kind kind = Kind::kTurn;
  uint64_t step = 0;
  uint32_t turn = 0;
  std::string text;
};

template <typename Archive>
void Fields(Archive& archive, ToWorker& message) {
  archive(message.kind, message.step, message.turn, message.text);
}

template <typename Archive>
void Fields(Archive& archive, FromWorker& message) {
  archive(message.kind, message.step, message.turn, message.text);
}

}  // namespace throng::workers

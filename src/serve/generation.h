// One request in the engine. It ends with this object.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/local_model.h"
#include "serve/context.h"

namespace throng::serve {

class Generation {
 public:
  // Throws kUnavailable if the server has no model, kCancelled if it is being stopped, kExhausted if it has
  // max_requests already, and what LocalModel::MakeRequest and Engine::Submit throw.
  Generation(Context& context, engine::TextRequest text);
  ~Generation();  // cancels the request unless it has ended
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // From now on the engine's thread calls `wake`, which does not block, when there is new text or the end;
  // what came before is there to be taken.
  void OnChange(std::function<void()> wake);
  // Appends the text that is new. True once all is taken and the answer has ended.
  bool Take(std::string& text);
  void Cancel();  // the end comes soon

  // Once Take has returned true.
  const engine::EngineResult& Result() const;

 private:
  struct State;

  // Counts requests in flight, also when the constructor throws.
  class Slot {
   public:
    explicit Slot(Context& context);
    ~Slot() { --context_.in_flight; }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    Context& context_;
  };

  engine::LocalModel& model_;
  Slot slot_;
  std::shared_ptr<State> state_;  // the engine's callbacks may outlive this object
  uint64_t id_ = 0;
};

}  // namespace throng::serve

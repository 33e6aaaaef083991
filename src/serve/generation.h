// The choices of one request in the engine. They end with this object.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/local_model.h"
#include "serve/context.h"

namespace throng::serve {

// Several answers to one prompt. They differ in their seeds: choice i has request.sampling.seed + i, and is
// the answer that a request alone with that seed has.
struct Choices {
  // field: where the request's body has the prompt. What is too long for the model is the client's mistake
  // (context_length_exceeded); exhausted is a server that has no room for now. Throw it as the field's, and
  // what LocalModel's functions throw. form_field: where it says what form the answer has; what cannot be
  // compiled is that field's mistake.
  static Choices Of(engine::LocalModel& model, engine::TextRequest text, const char* field,
                    const std::string& form_field, int count = 1);
  static Choices OfEmbedding(engine::LocalModel& model, const engine::Prompt& prompt, const char* field);

  engine::EngineRequest request;  // without callbacks
  const char* field;
  int count;
  std::shared_ptr<const llm::AnswerForm> form{};  // as in the TextRequest
};

class Generation {
 public:
  // What is new of one choice.
  struct Piece {
    size_t choice;  // those of the first prompt first
    std::string text;
    std::vector<engine::TokenLogprobs> logprobs;  // of the tokens that begin in the text, if asked for
    bool ended = false;
  };

  // Throws kCancelled if the server is being stopped, kExhausted if it has max_requests already, and what
  // Engine::Submit throws. The first choice of each prompt is computed at once, the others once they find the
  // prompt in the prefix cache.
  Generation(Context& context, std::vector<Choices> prompts);
  ~Generation();  // cancels what has not ended
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // From now on the engine's thread calls `wake`, which does not block, when there is something new; what
  // came before is there to be taken.
  void OnChange(std::function<void()> wake);
  // Appends what is new, at most one piece of a choice, by choice. True once all is taken and all have ended.
  bool Take(std::vector<Piece>& pieces);
  void Cancel();  // the end comes soon

  size_t NumChoices() const;
  // Once Take has returned a piece of that choice that has ended.
  const engine::EngineResult& Result(size_t choice) const;
  // Of the prompt's tokens from the second on, if asked for. first_choice: the prompt's. Once Take has
  // returned a piece of one of its choices.
  const std::vector<engine::TokenLogprobs>& PromptLogprobs(size_t first_choice) const;

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

  Slot slot_;
  std::shared_ptr<State> state_;  // the engine's callbacks may outlive this object
};

}  // namespace throng::serve

// People who answer for agents.
#pragma once

#include <optional>
#include <string>

#include "llm/llm.h"

namespace throng::effects {

class People {
 public:
  virtual ~People() = default;
  // Shows a question (a request of kind kPerson) to whoever answers for its agent, and returns at once. An
  // earlier session may have shown it already. Throws kInvalid if nobody ever will answer it.
  virtual void Put(const llm::Request& question) = 0;
  // The answer to a question that was put, once there is one. Called several times a second.
  virtual std::optional<std::string> Take(const llm::Request& question) = 0;
};

}  // namespace throng::effects

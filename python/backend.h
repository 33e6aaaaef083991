// Who answers the calls of a run that Python started, and where Python's lock is let go meanwhile.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llm/decorators/decorator.h"
#include "llm/llm.h"
#include "python/model.h"

namespace throng::python {

// Lets go of Python's lock while the backend works or waits; Ctrl-C ends the wait with Python's exception.
class Unlocked final : public llm::Decorator {
 public:
  using Decorator::Decorator;
  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
};

// What a user named: a Model, a function of a throng.Call that returns text, or the name of a backend.
class BackendSource {
 public:
  explicit BackendSource(pybind11::object llm);

  // The same answers to the same requests at any time: else they have to be recorded to be compared.
  bool IsRepeatable() const { return !spec_.starts_with("http"); }
  std::unique_ptr<llm::Llm> Make();

 private:
  pybind11::object llm_;
  std::string spec_;            // empty: llm_ is a Model or a function
  std::unique_ptr<Model> own_;  // "local"
  Model* model_ = nullptr;      // own_, or the user's
  std::optional<Model::Lease> lease_;
};

}  // namespace throng::python

// The backends of runs that Python starts, and where Python's lock is released meanwhile.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llm/decorators/decorator.h"
#include "llm/llm.h"
#include "python/module/model.h"

namespace throng::python {

// Releases Python's lock while the backend works or waits; CheckEnding may end the wait.
class Unlocked final : public llm::Decorator {
 public:
  using Decorator::Decorator;
  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
};

// The backend a user named: a Model, a function from a throng.Call to its answer, or the name of a backend.
class BackendSource {
 public:
  // real_time: models of servers take the time that they model.
  explicit BackendSource(pybind11::object llm, bool real_time = false);

  // Whether it always gives the same answers to the same requests; if not, they must be recorded to be
  // compared.
  bool IsRepeatable() const { return !is_async_ && !spec_.starts_with("http"); }
  // Whether its clock passes no wall time.
  bool IsVirtual() const;
  std::unique_ptr<llm::Llm> Make();

 private:
  pybind11::object llm_;
  bool real_time_;
  bool is_async_ = false;       // llm_ is an async function
  std::string spec_;            // empty: llm_ is a Model or a function
  std::unique_ptr<Model> own_;  // "local"
  Model* model_ = nullptr;      // own_, or the user's
  std::optional<Model::Lease> lease_;
};

}  // namespace throng::python

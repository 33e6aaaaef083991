#include "python/llm/backend.h"

#include <utility>

#include "app/backend.h"
#include "base/error.h"
#include "engine/local_llm.h"
#include "llm/backends/backend_spec.h"
#include "llm/decorators/real_time.h"
#include "python/convert/convert.h"
#include "python/convert/with_python.h"
#include "python/llm/function_llm.h"
#include "python/module/ending.h"
#include "python/module/fork.h"

namespace py = pybind11;

namespace throng::python {

void Unlocked::Submit(llm::Request request) {
  const WithoutPython unlocked;
  Inner().Submit(std::move(request));
}

void Unlocked::Wait(std::vector<llm::Completion>& done, double seconds) {
  {
    const WithoutPython unlocked;
    Inner().Wait(done, seconds);
  }
  CheckEnding();
}

BackendSource::BackendSource(py::object llm, bool real_time) : llm_(std::move(llm)), real_time_(real_time) {
  CheckEntry();
  if (py::isinstance<Model>(llm_)) {
    model_ = &llm_.cast<Model&>();
  } else if (py::isinstance<py::str>(llm_)) {
    spec_ = py::cast<std::string>(llm_);
    if (spec_ != "local") return;
    own_ = std::make_unique<Model>(engine::LocalOptions());
    model_ = own_.get();
  } else if (PyCallable_Check(llm_.ptr())) {
    is_async_ = IsAsync(llm_);
  } else {
    ThrowWrongType("llm", llm_, "a throng.Model, the name of a backend, or a function");
  }
  if (model_ != nullptr) lease_.emplace(*model_);
}

bool BackendSource::IsVirtual() const {
  return model_ == nullptr && !spec_.empty() && !real_time_ && llm::IsVirtualBackend(spec_);
}

std::unique_ptr<llm::Llm> BackendSource::Make() {
  if (model_ != nullptr) return std::make_unique<engine::LocalLlm>(model_->Local());
  if (spec_.empty()) return MakeFunctionLlm(llm_, is_async_);
  std::unique_ptr<llm::Llm> llm = app::MakeBackend(spec_);
  if (!real_time_ || !llm::IsVirtualBackend(spec_)) return llm;
  return std::make_unique<llm::RealTimeLlm>(std::move(llm));
}

}  // namespace throng::python

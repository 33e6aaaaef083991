// The base of all decorators: an Llm that passes everything on to another one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llm/llm.h"

namespace throng::llm {

class Decorator : public Llm {
 public:
  explicit Decorator(std::unique_ptr<Llm> inner) : owned_(std::move(inner)), inner_(*owned_) {}
  explicit Decorator(Llm& inner) : inner_(inner) {}  // inner outlives this

  void Submit(Request request) override { inner_.Submit(std::move(request)); }
  void Wait(std::vector<Completion>& done, double seconds = kForever) override { inner_.Wait(done, seconds); }
  void Cancel(uint64_t id) override { inner_.Cancel(id); }
  void Raise(uint64_t id, int priority) override { inner_.Raise(id, priority); }
  std::optional<Standing> StandingOf(uint64_t id) const override { return inner_.StandingOf(id); }
  void Confirm(const Request& request, const Completion& completion) override {
    inner_.Confirm(request, completion);
  }
  void Discard(uint64_t id) override { inner_.Discard(id); }
  bool AnswersEveryKind() const override { return inner_.AnswersEveryKind(); }
  bool WantsExpectations() const override { return inner_.WantsExpectations(); }
  void ExpectNext(uint32_t agent, int32_t step) override { inner_.ExpectNext(agent, step); }
  double Now() const override { return inner_.Now(); }
  std::string Identity() const override { return inner_.Identity(); }
  Stats GetStats() const override { return inner_.GetStats(); }

 protected:
  Llm& Inner() { return inner_; }
  const Llm& Inner() const { return inner_; }

 private:
  std::unique_ptr<Llm> owned_;  // inner_, or nothing
  Llm& inner_;
};

}  // namespace throng::llm

// Records when each call of a backend was asked and answered, and how much wall time the backend itself took.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/decorators/decorator.h"

namespace throng::llm {

struct CallSpan {
  CallKey key;
  uint32_t function;  // index into CallLog::Functions
  double asked_s;     // by the backend's clock
  double answered_s;
};

class CallLog : public Decorator {
 public:
  // Spans cost memory (40 bytes a call) and are kept only if asked for.
  CallLog(std::unique_ptr<Llm> inner, bool keep_spans)
      : Decorator(std::move(inner)), keep_spans_(keep_spans) {}

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;

  double WallSeconds() const { return wall_s_; }                   // spent inside the backend
  std::vector<CallSpan> TakeSpans() { return std::move(spans_); }  // in the order of answers
  const std::vector<std::string>& Functions() const { return functions_; }

 private:
  struct Asked {
    uint32_t function;
    double at_s;
  };

  uint32_t FunctionOf(const std::string& name);

  bool keep_spans_;
  double wall_s_ = 0;
  std::vector<std::string> functions_;
  std::unordered_map<std::string, uint32_t> function_ids_;
  std::unordered_map<uint64_t, Asked> asked_;  // by id
  std::vector<CallSpan> spans_;
};

}  // namespace throng::llm

#include "llm/decorators/call_log.h"

#include <chrono>

namespace throng::llm {
namespace {

double WallNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t CallLog::FunctionOf(const std::string& name) {
  const auto [entry, added] = function_ids_.emplace(name, static_cast<uint32_t>(functions_.size()));
  if (added) functions_.push_back(name);
  return entry->second;
}

void CallLog::Submit(Request request) {
  const uint32_t function = keep_spans_ ? FunctionOf(request.function) : 0;
  const uint64_t id = request.id;
  const double start = WallNow();
  Inner().Submit(std::move(request));
  wall_s_ += WallNow() - start;
  if (keep_spans_) asked_.emplace(id, Asked{function, Inner().Now()});
}

void CallLog::Wait(std::vector<Completion>& done, double seconds) {
  const size_t before = done.size();
  const double start = WallNow();
  Inner().Wait(done, seconds);
  wall_s_ += WallNow() - start;
  if (!keep_spans_) return;
  for (size_t i = before; i < done.size(); ++i) {
    const auto asked = asked_.find(done[i].id);
    spans_.push_back({done[i].key, asked->second.function, asked->second.at_s, Inner().Now()});
    asked_.erase(asked);
  }
}

}  // namespace throng::llm

// A backend that gives the answers of a recording again, by agent, step and call.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "llm/backends/recording.h"
#include "llm/llm.h"

namespace throng::llm {

class ReplayLlm : public Llm {
 public:
  // Throws kIo or kCorrupt naming file and line. A half line at the end, from a run that was killed, is left
  // out.
  explicit ReplayLlm(const std::string& path);

  // A call that was not recorded, or whose request was another one, completes with kError.
  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;
  double Now() const override;
  std::string Identity() const override { return "replay of " + identity_; }
  Stats GetStats() const override { return stats_; }

  size_t NumAnswers() const { return answers_.size(); }

 private:
  Completion Answer(const Request& request) const;

  std::string path_;
  std::string identity_;
  std::map<CallKey, RecordedAnswer> answers_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Stats stats_;
  std::mutex mutex_;
  std::vector<Completion> ready_;  // guarded by mutex_
};

}  // namespace throng::llm

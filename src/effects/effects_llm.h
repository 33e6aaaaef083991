// Answers what agents ask of others than models; passes the rest on to the backend below.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "effects/people.h"
#include "effects/tool.h"
#include "effects/tool_pool.h"
#include "llm/decorators/decorator.h"

namespace throng::effects {

struct EffectsOptions {
  ToolTable tools{};
  std::shared_ptr<Tool> embedder{};  // {"texts": [...]} to a list of lists of numbers; null: nobody embeds
  People* people = nullptr;          // outlives the backend; null: questions must have a timeout
  uint64_t max_uses = std::numeric_limits<uint64_t>::max();  // of tools
  uint64_t used_before = 0;                                  // uses of tools in earlier sessions of the run
  size_t most_at_once = 16;                                  // uses at the same time
};

// Tools run on threads, and people think, in wall time, whatever clock the backend has. An effect at commit
// that is cancelled completes with kCancelled only if nothing was done; else with its outcome. Once max_uses
// are used up, no more begins; what runs ends, and then Wait throws kExhausted.
class EffectsLlm final : public llm::Decorator {
 public:
  EffectsLlm(std::unique_ptr<llm::Llm> inner, EffectsOptions options)
      : Decorator(std::move(inner)),
        options_(std::move(options)),
        pool_(options_.most_at_once),
        used_(options_.used_before) {}

  // Throws kInvalid for tools that are not there, and for questions that would wait for ever.
  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Cancel(uint64_t id) override;
  void Confirm(const llm::Request& request, const llm::Completion& completion) override;

  bool IsUsedUp() const { return used_ >= options_.max_uses; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Asked {
    llm::Request question;
    Clock::time_point deadline;
    bool cancelled = false;
  };

  const std::shared_ptr<Tool>& ToolFor(const llm::Request& request) const;
  void AskPerson(llm::Request question);
  std::optional<llm::Completion> CompletionOf(Asked& asked);
  void TakeFromPeople(std::vector<llm::Completion>& done);
  bool WaitsForPeople();
  void WaitForOthers(std::vector<llm::Completion>& done, double seconds);
  void WaitForInner(std::vector<llm::Completion>& done, double seconds);
  void TellUsedUp(std::vector<llm::Completion>& done);
  void WaitForTools(std::vector<llm::Completion>& done, double seconds);

  EffectsOptions options_;
  ToolPool pool_;
  std::unordered_map<uint64_t, llm::CallKey> in_use_;  // by id
  uint64_t used_;
  // Uses that were not begun: Wait throws, and then completes them as cancelled.
  std::vector<std::pair<uint64_t, llm::CallKey>> held_back_;
  bool told_used_up_ = false;
  size_t inner_in_flight_ = 0;  // calls of the backend
  std::exception_ptr inner_error_;
  std::mutex people_mutex_;
  std::vector<Asked> asked_;  // guarded by people_mutex_: people who have not answered
  Clock::time_point last_look_{};
};

}  // namespace throng::effects

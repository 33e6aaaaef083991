// Something that agents may use in a step besides a language model: a command, a function, a server of tools.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "llm/llm.h"

namespace throng::effects {

struct ToolResult {
  enum class Outcome {
    kDone,
    kFailed,   // it could not do it
    kUnknown,  // it was begun, and may have been done or not
    // It could not be asked, and nothing was done: this is no answer. The run ends, and asks again when it is
    // resumed, unless its agents fall back (app/limits.h).
    kUnavailable,
  };
  Outcome outcome = Outcome::kDone;
  std::string text;  // kDone: the result in JSON; else why there is none, in one sentence
};

class Tool {
 public:
  static constexpr double kLongestTimeout = 366.0 * 24 * 3600;  // seconds; a longer one is cut to this

  Tool(std::string name, llm::Effect effect, double timeout_s)
      : name_(std::move(name)), effect_(effect), timeout_s_(std::min(timeout_s, kLongestTimeout)) {}
  virtual ~Tool() = default;
  Tool(const Tool&) = delete;
  Tool& operator=(const Tool&) = delete;

  const std::string& Name() const { return name_; }
  llm::Effect GetEffect() const { return effect_; }
  double TimeoutSeconds() const { return timeout_s_; }

  // `arguments`: a JSON object. May block for as long as the timeout; what returns later is dropped. Called
  // from several threads at once.
  virtual ToolResult Use(const std::string& arguments) = 0;

  // What a use comes to that was begun and has no result: nobody knows what it has done, which matters only
  // where it must not be done twice.
  ToolResult WithoutResult(std::string why) const {
    return {effect_ == llm::Effect::kAtCommit ? ToolResult::Outcome::kUnknown : ToolResult::Outcome::kFailed,
            std::move(why)};
  }
  ToolResult TimedOut() const { return WithoutResult(fmt::format("no answer within {:g} s", timeout_s_)); }

 private:
  std::string name_;
  llm::Effect effect_;
  double timeout_s_;
};

// The tools of a run, by name.
class ToolTable {
 public:
  ToolTable() = default;
  // Throws kInvalid if two have one name.
  explicit ToolTable(const std::vector<std::shared_ptr<Tool>>& tools) {
    for (const std::shared_ptr<Tool>& tool : tools) {
      if (!tools_.emplace(tool->Name(), tool).second)
        throw MakeError(ErrorCode::kInvalid, "tool {:?}: there are two of this name", tool->Name());
    }
  }

  // Throws kInvalid if there is none.
  const std::shared_ptr<Tool>& Find(const std::string& name) const {
    const auto found = tools_.find(name);
    if (found != tools_.end()) return found->second;
    std::string names;
    for (const auto& [known, tool] : tools_) names += (names.empty() ? "" : ", ") + known;
    throw MakeError(ErrorCode::kInvalid, "tool {:?}: there is none of this name, allowed: {}", name,
                    names.empty() ? "none" : names);
  }
  llm::Effect EffectOf(const std::string& name) const { return Find(name)->GetEffect(); }

 private:
  std::map<std::string, std::shared_ptr<Tool>> tools_;
};

}  // namespace throng::effects

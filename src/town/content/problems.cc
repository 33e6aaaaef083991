#include "town/content/problems.h"

#include <fmt/format.h>

namespace throng::town {

std::string Problem::Sentence() const {
  const std::string where = line > 0 ? fmt::format("{}:{}", file, line) : file;
  return at.empty() ? fmt::format("{}: {}", where, what) : fmt::format("{}: {}: {}", where, at, what);
}

void Problems::Add(Problem problem) {
  // Several placeholders may be wrong in one line of a prompt.
  const std::string what = problem.line > 0 ? problem.what : std::string();
  if (!places_.insert(fmt::format("{}:{}:{}:{}", problem.file, problem.line, problem.at, what)).second)
    return;
  all_.push_back(std::move(problem));
}

void Problems::ThrowFirst(const std::string& remedy) const {
  if (all_.empty()) return;
  std::string message = all_[0].Sentence();
  if (all_.size() > 1) {
    message += fmt::format(" ({} more{})", all_.size() - 1, remedy.empty() ? "" : ": " + remedy);
  }
  throw ProblemsError(message, all_);
}

}  // namespace throng::town

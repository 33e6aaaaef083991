#include "cli/problem_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace throng::cli {
namespace {

void PrintLines(const std::vector<town::Problem>& problems, size_t most) {
  const size_t shown = std::min(problems.size(), most);
  for (size_t i = 0; i < shown; ++i) fmt::print("{}\n", problems[i].Sentence());
  if (shown < problems.size()) fmt::print("and {} more; --json has all\n", problems.size() - shown);
}

void PrintJson(const std::vector<town::Problem>& problems, const std::string& source, const char* key) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const town::Problem& problem : problems) {
    nlohmann::ordered_json entry = {{"file", problem.file}};
    if (problem.line > 0) entry["line"] = problem.line;
    if (!problem.at.empty()) entry["at"] = problem.at;
    entry["problem"] = problem.what;
    list.push_back(entry);
  }
  const nlohmann::ordered_json json = {{key, source}, {"problems", list}};
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

void ReportProblems(const std::vector<town::Problem>& problems, const std::string& source,
                    const ProblemListForm& form) {
  if (form.json) {
    PrintJson(problems, source, form.key);
  } else {
    PrintLines(problems, form.most);
  }
  if (problems.empty()) return;
  throw MakeError(ErrorCode::kInvalid, "{}: {} problem{}", source, problems.size(),
                  problems.size() == 1 ? "" : "s");
}

}  // namespace throng::cli

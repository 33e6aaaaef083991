#include "town/mind/questions.h"

#include <fmt/format.h>

#include <algorithm>

#include "town/content/json_file.h"

namespace throng::town {

std::vector<Question> ReadQuestions(const std::string& path) {
  Problems problems;
  const std::optional<Json> json = ReadJson(path, problems);
  problems.ThrowFirst();
  const JsonView file(&*json, path, problems);
  std::vector<Question> questions;
  if (!json->is_object() || json->empty()) {
    file.Fail(fmt::format("an object of lists of questions, by category: {}",
                          fmt::join(kQuestionCategories, ", ")));
    problems.ThrowFirst();
  }
  for (const auto& [category, list] : json->items()) {
    const JsonView view = file.At(category);
    if (std::find(kQuestionCategories.begin(), kQuestionCategories.end(), category) ==
        kQuestionCategories.end()) {
      view.Note(fmt::format("found the category {:?}, allowed: {}", category,
                            fmt::join(kQuestionCategories, ", ")));
    }
    for (const JsonView& question : view.Items(1, 1000))
      questions.push_back({category, question.Text(1, 200)});
  }
  problems.ThrowFirst();
  return questions;
}

}  // namespace throng::town

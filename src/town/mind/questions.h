// Questions for interviews, by category: those of Generative Agents (arXiv 2304.03442, section 6).
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace throng::town {

inline constexpr std::array<std::string_view, 5> kQuestionCategories = {"self-knowledge", "memory", "plans",
                                                                        "reactions", "reflections"};

struct Question {
  std::string category;
  std::string text;
};

// A file {"CATEGORY": ["QUESTION", ...], ...}, in its order. Throws kInvalid with the file and the place in
// it.
std::vector<Question> ReadQuestions(const std::string& path);

}  // namespace throng::town

#include "effects/answers_file.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"

namespace throng::effects {

namespace {

constexpr const char* kAllowed =
    R"(allowed: a JSON object such as {"agent": "Ada", "step": 3, "answer": "yes", "seconds": 0.5}, of which only "answer" is needed)";

}  // namespace

AnswersFile::AnswersFile(const std::string& path, NameOf name_of)
    : path_(path), name_of_(std::move(name_of)) {
  std::ifstream file(path);
  if (!file) throw MakeError(ErrorCode::kIo, "answers {}: the file cannot be read", path);
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    if (!text.empty()) lines_.push_back(ReadLine(text, number));
  }
}

AnswersFile::Line AnswersFile::ReadLine(const std::string& text, int number) const {
  Line line;
  bool has_answer = false;
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    for (const auto& [key, value] : json.get_ref<const nlohmann::json::object_t&>()) {
      if (key == "agent") {
        line.agent = value.get<std::string>();
      } else if (key == "step") {
        line.step = value.get<int>();
      } else if (key == "seconds") {
        line.seconds = value.get<double>();
      } else if (key == "answer") {
        line.answer = value.get<std::string>();
        has_answer = true;
      } else {
        throw MakeError(ErrorCode::kInvalid, "answers {}, line {}: {:?} is unknown; {}", path_, number, key,
                        kAllowed);
      }
    }
  } catch (const nlohmann::json::exception&) {
    has_answer = false;
  }
  if (!has_answer)
    throw MakeError(ErrorCode::kInvalid, "answers {}, line {}: {}; {}", path_, number, text, kAllowed);
  return line;
}

const AnswersFile::Line& AnswersFile::LineFor(const llm::Request& question) const {
  const std::string name = name_of_(question.key.agent);
  const auto found = std::find_if(lines_.begin(), lines_.end(), [&](const Line& line) {
    return line.agent.value_or(name) == name && line.step.value_or(question.key.step) == question.key.step;
  });
  if (found == lines_.end()) {
    throw MakeError(ErrorCode::kInvalid, "answers {}: there is none for {} in step {}, who is asked {:?}",
                    path_, name, question.key.step, question.prompt);
  }
  const std::vector<std::string>& choices = question.constraint.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), found->answer) == choices.end()) {
    throw MakeError(ErrorCode::kInvalid, "answers {}: {} in step {} answers {:?}, allowed: {}", path_, name,
                    question.key.step, found->answer, fmt::join(choices, ", "));
  }
  return *found;
}

void AnswersFile::Put(const llm::Request& question) {
  LineFor(question);  // throws if there is none
  put_.emplace(question.key, std::chrono::steady_clock::now());
}

std::optional<std::string> AnswersFile::Take(const llm::Request& question) {
  const Line& line = LineFor(question);
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - put_.at(question.key);
  if (waited.count() < line.seconds) return std::nullopt;
  return line.answer;
}

}  // namespace throng::effects

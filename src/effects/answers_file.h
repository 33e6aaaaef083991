// Answers of people from a file, for tests and for runs that are repeated.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "effects/people.h"

namespace throng::effects {

// The file has a JSON object in each line: {"agent": "Ada", "step": 3, "answer": "yes", "seconds": 0.5}. A
// question gets the answer of the first line whose agent and step are its own, or are not given, after so
// many seconds (0). So the answers depend on the question alone, whatever the order of execution.
class AnswersFile final : public People {
 public:
  using NameOf = std::function<std::string(uint32_t agent)>;

  // Throws kIo if the file cannot be read, and kInvalid, naming the line, for what is no answer.
  AnswersFile(const std::string& path, NameOf name_of);

  void Put(const llm::Request& question) override;
  std::optional<std::string> Take(const llm::Request& question) override;

 private:
  struct Line {
    std::optional<std::string> agent;
    std::optional<int> step;
    std::string answer;
    double seconds = 0;
  };
  Line ReadLine(const std::string& text, int number) const;
  const Line& LineFor(const llm::Request& question) const;

  std::string path_;
  NameOf name_of_;
  std::vector<Line> lines_;
  std::map<llm::CallKey, std::chrono::steady_clock::time_point> put_;
};

}  // namespace throng::effects

// What is wrong with a scenario's files: all of it, not only what is found first.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace throng::town {

struct Problem {
  std::string file;  // as it was opened
  int line = 0;      // from 1; 0: the problem is in a JSON file, or has no place
  std::string at;    // "[3].home", "talk.max_turns", a table's column; empty: the whole file or line
  std::string what;  // a sentence: what was found, what is allowed

  // "town/personas.json: [3].home: found ..., allowed: ...", with a line "town/prompts/say.txt:4: ...".
  std::string Sentence() const;
};

// Thrown for a file with problems: the message is the first's sentence, and how many more there are.
class ProblemsError : public Error {
 public:
  ProblemsError(const std::string& message, std::vector<Problem> all)
      : Error(ErrorCode::kInvalid, message), all_(std::move(all)) {}
  const std::vector<Problem>& All() const { return all_; }

 private:
  std::vector<Problem> all_;
};

class Problems {
 public:
  // Keeps the first problem of each place, since the others follow from it.
  void Add(Problem problem);
  bool Empty() const { return all_.empty(); }
  const std::vector<Problem>& All() const { return all_; }
  // Throws a ProblemsError if there are any. `remedy`: what lists them.
  void ThrowFirst(const std::string& remedy = "") const;

 private:
  std::vector<Problem> all_;
  std::set<std::string> places_;
};

}  // namespace throng::town

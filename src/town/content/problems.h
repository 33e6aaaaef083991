// What is wrong with a scenario's files: all of it, not only what is found first.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace throng::town {

struct Problem {
  std::string file;  // as it was opened
  int line = 0;      // from 1; 0: the problem has a place in a JSON file instead, or none
  std::string at;    // "[3].home", "talk.max_turns"; empty: the whole file
  std::string what;  // a sentence: what was found, what is allowed

  // "town/personas.json: [3].home: found ..., allowed: ...", with a line "town/prompts/say.txt:4: ...".
  std::string Sentence() const;
};

class Problems {
 public:
  // Keeps the first problem of each place, since the others follow from it.
  void Add(Problem problem);
  bool Empty() const { return all_.empty(); }
  const std::vector<Problem>& All() const { return all_; }
  // Throws kInvalid with the first of them, if there are any, and how many more there are. `remedy`: what
  // lists them.
  void ThrowFirst(const std::string& remedy = "") const;

 private:
  std::vector<Problem> all_;
  std::set<std::string> places_;
};

}  // namespace throng::town

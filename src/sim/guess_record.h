// What became of guesses, by what could still have happened to them: how likely the next ones are right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace throng::sim {

// How well guesses have turned out so far, by what could still happen to them: learned from confirmed steps
// alone.
class GuessRecord {
 public:
  // For a step that begins `gap` steps after the last known one of an agent that is `margin` cells beyond
  // perception (<= 0: in sight), and whose latest call is of the function `asks` (empty: none). Class 0:
  // nobody can interfere.
  size_t ClassOf(int64_t margin, int64_t gap, const std::string& asks);

  double Chance(size_t guess_class) const;  // that a call's prompt turns out right
  void Add(size_t guess_class, bool right);

 private:
  static constexpr size_t kMargins = 5;
  static constexpr size_t kGaps = 5;
  struct Counts {
    double right = 0;
    double all = 0;
  };
  std::vector<Counts> counts_ = std::vector<Counts>(1);  // by class
  std::unordered_map<std::string, size_t> functions_;
};

}  // namespace throng::sim

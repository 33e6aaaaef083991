// Records how guesses about agents turned out, by class, and estimates how likely the next ones are right.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace throng::sim {

// What an expectation of an agent at a step rests on.
enum class Basis {
  kStays,    // no plans known: expected to stay as last seen
  kPlanned,  // its plans reach that far (World::Expect)
  kGuessed,  // it has itself run that far on a guess
  kItself,   // the guess is its own: what no other agent's behaviour explains, as cells that others write
};

// How often agents turned out as expected, judged by what the guessing agent could perceive and learned from
// confirmed steps alone. Rare classes borrow from wider ones.
class GuessRecord {
 public:
  // The class of an agent last known `gap` >= 1 steps ago, expected `margin` cells beyond perception (<= 0:
  // in sight), whose latest call was of the function `asks` (empty: none).
  size_t ClassOf(Basis basis, int64_t margin, int64_t gap, const std::string& asks);

  double Chance(size_t guess_class) const;  // that such an agent turns out as expected
  void Add(size_t guess_class, bool right, double weight = 1);

 private:
  static constexpr size_t kBases = 4;
  static constexpr size_t kMargins = 7;
  static constexpr size_t kGaps = 7;
  static constexpr size_t kOfFunction = kBases * kMargins * kGaps;
  struct Counts {
    double right = 0;
    double all = 0;
  };
  std::vector<Counts> classes_;                    // [function][basis][margin][gap]
  std::array<Counts, kOfFunction> any_function_;   // [basis][margin][gap]
  std::array<Counts, kBases * kMargins> any_gap_;  // [basis][margin]
  std::unordered_map<std::string, size_t> functions_;
};

}  // namespace throng::sim

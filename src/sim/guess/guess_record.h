// What became of guesses about agents, by what could still have happened to them: how likely the next ones
// are right.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace throng::sim {

// How what an agent does at a step is known.
enum class Basis {
  kStays,    // nothing is known: it is expected to stay as it was last seen
  kPlanned,  // its plans reach so far (World::Expect)
  kGuessed,  // it has run there on a guess itself
};

// How often agents turned out as expected, as far as one that guessed could perceive them: learned from
// confirmed steps alone. Rare classes lean on wider ones.
class GuessRecord {
 public:
  // An agent last known `gap` >= 1 steps ago, expected `margin` cells beyond perception (<= 0: in sight),
  // whose latest call is of the function `asks` (empty: none).
  size_t ClassOf(Basis basis, int64_t margin, int64_t gap, const std::string& asks);

  double Chance(size_t guess_class) const;  // that it turns out as expected
  void Add(size_t guess_class, bool right);

 private:
  static constexpr size_t kBases = 3;
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

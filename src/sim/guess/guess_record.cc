#include "sim/guess/guess_record.h"

#include <algorithm>
#include <bit>

namespace throng::sim {

namespace {

// The chance assumed before any guess was tried, and how many outcomes the wider class's estimate counts as.
// That of the agent's own part is too low to ask on: outcomes cost nothing, as unsent guesses have them, too.
constexpr double kPriorChance = 0.98;
constexpr double kPriorChanceOfItself = 0.5;
constexpr double kPriorWeight = 5;

size_t LogClass(int64_t value, size_t classes) {
  return std::min<size_t>(static_cast<size_t>(std::bit_width(static_cast<uint64_t>(value))) - 1, classes - 1);
}

}  // namespace

size_t GuessRecord::ClassOf(Basis basis, int64_t margin, int64_t gap, const std::string& asks) {
  const size_t margin_class = margin <= 0 ? 0 : 1 + LogClass(margin, kMargins - 1);
  const size_t function = functions_.emplace(asks, functions_.size()).first->second;
  if (classes_.size() < kOfFunction * functions_.size()) classes_.resize(kOfFunction * functions_.size());
  return ((function * kBases + static_cast<size_t>(basis)) * kMargins + margin_class) * kGaps +
         LogClass(gap, kGaps);
}

double GuessRecord::Chance(size_t guess_class) const {
  const auto blend = [](const Counts& counts, double wider) {
    return (counts.right + kPriorWeight * wider) / (counts.all + kPriorWeight);
  };
  const size_t of_function = guess_class % kOfFunction;
  const bool is_itself = of_function / (kMargins * kGaps) == static_cast<size_t>(Basis::kItself);
  const double prior = is_itself ? kPriorChanceOfItself : kPriorChance;
  return blend(classes_[guess_class],
               blend(any_function_[of_function], blend(any_gap_[of_function / kGaps], prior)));
}

void GuessRecord::Add(size_t guess_class, bool right, double weight) {
  const size_t of_function = guess_class % kOfFunction;
  for (Counts* counts :
       {&classes_[guess_class], &any_function_[of_function], &any_gap_[of_function / kGaps]}) {
    counts->all += weight;
    if (right) counts->right += weight;
  }
}

}  // namespace throng::sim

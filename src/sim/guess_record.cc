#include "sim/guess_record.h"

#include <algorithm>
#include <bit>

namespace throng::sim {

namespace {

// What is believed of a class of guesses before any was tried, and how strongly, in guesses.
constexpr double kPriorChance = 0.8;
constexpr double kPriorWeight = 5;

size_t LogClass(int64_t value, size_t classes) {
  return std::min<size_t>(static_cast<size_t>(std::bit_width(static_cast<uint64_t>(value))) - 1, classes - 1);
}

}  // namespace

size_t GuessRecord::ClassOf(int64_t margin, int64_t gap, const std::string& asks) {
  const size_t margin_class = margin <= 0 ? 0 : 1 + LogClass(margin, kMargins - 1);
  const size_t function = functions_.emplace(asks, functions_.size()).first->second;
  const size_t guess_class = 1 + (function * kMargins + margin_class) * kGaps + LogClass(gap, kGaps);
  if (guess_class >= counts_.size()) counts_.resize(guess_class + 1);
  return guess_class;
}

double GuessRecord::Chance(size_t guess_class) const {
  const Counts& counts = counts_[guess_class];
  return (counts.right + kPriorChance * kPriorWeight) / (counts.all + kPriorWeight);
}

void GuessRecord::Add(size_t guess_class, bool right) {
  counts_[guess_class].all += 1;
  if (right) counts_[guess_class].right += 1;
}

}  // namespace throng::sim

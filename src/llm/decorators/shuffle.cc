#include "llm/decorators/shuffle.h"

namespace throng::llm {

void ShuffleLlm::Submit(Request request) {
  Inner().Submit(std::move(request));
  ++in_flight_;
}

void ShuffleLlm::Wait(std::vector<Completion>& done, double seconds) {
  const double deadline = Inner().Now() + seconds;
  // Goes on holding with even odds while more can come.
  while (in_flight_ > 0 && (held_.empty() || (held_.size() < max_held_ && rng_.NextBelow(2) == 0))) {
    const size_t before = held_.size();
    Inner().Wait(held_, deadline - Inner().Now());
    in_flight_ -= held_.size() - before;
    if (held_.size() == before) break;  // out of time
  }
  if (held_.empty()) return;
  for (size_t count = 1 + rng_.NextBelow(held_.size()); count > 0; --count) {
    std::swap(held_[rng_.NextBelow(held_.size())], held_.back());
    done.push_back(std::move(held_.back()));
    held_.pop_back();
  }
}

}  // namespace throng::llm

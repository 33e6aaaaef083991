#include "workers/workers_llm.h"

#include <algorithm>

namespace throng::workers {

namespace {

// How long to wait for the backend before looking after the workers, in seconds. They have several turns each
// to do meanwhile (Link::Capacity).
constexpr double kQuantum = 0.001;

}  // namespace

void WorkersLlm::Submit(llm::Request request) {
  Inner().Submit(std::move(request));
  ++inner_in_flight_;
}

void WorkersLlm::WaitForInner(std::vector<llm::Completion>& done, double seconds) {
  const size_t before = done.size();
  Inner().Wait(done, seconds);
  inner_in_flight_ -= std::min(inner_in_flight_, done.size() - before);
}

void WorkersLlm::Wait(std::vector<llm::Completion>& done, double seconds) {
  if (!pool_.IsBusy()) return WaitForInner(done, seconds);
  if (is_virtual_ || inner_in_flight_ == 0) return pool_.Wait(done, seconds);
  const size_t before = done.size();
  const double deadline = Now() + seconds;
  do {
    pool_.Wait(done, 0);
    if (done.size() > before) return;
    WaitForInner(done, std::min(kQuantum, std::max(deadline - Now(), 0.0)));
  } while (done.size() == before && Now() < deadline);
}

void WorkersLlm::Cancel(uint64_t id) {
  pool_.Cancel(id);
  Inner().Cancel(id);
}

}  // namespace throng::workers

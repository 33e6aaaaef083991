#include "llm/decorators/real_time.h"

#include <thread>

namespace throng::llm {

void RealTimeLlm::Wait(std::vector<Completion>& done, double seconds) {
  const double before = Inner().Now();
  Inner().Wait(done, seconds);
  std::this_thread::sleep_for(std::chrono::duration<double>(Inner().Now() - before));
}

double RealTimeLlm::Now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace throng::llm

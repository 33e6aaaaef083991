#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/cores.h"

namespace throng {
namespace {

// Longer than the gaps between the loops of a forward pass: with half of it, gaps of 80 us cost a wake-up
// each.
constexpr std::chrono::microseconds kSpin{100};

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// Returns whether done() became true in time.
template <typename Done>
bool SpinUntil(const Done& done) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

bool IsOpen(uint32_t epoch) { return epoch % 2 == 1; }

}  // namespace

int ThreadsOrAll(int threads) { return threads != 0 ? threads : UsableCores(); }

ThreadPool::ThreadPool(int num_threads) : cores_(UsableCores()), spins_(num_threads <= cores_) {
  THRONG_CHECK(num_threads >= 1);
  workers_.reserve(static_cast<size_t>(num_threads) - 1);
  for (int worker = 1; worker < num_threads; ++worker) {
    workers_.emplace_back([this, worker] { WorkerLoop(worker); });
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  epoch_ += 2;
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunIterations(int worker) {
  for (;;) {
    const size_t i = next_.fetch_add(1, std::memory_order_relaxed);
    if (i >= count_) return;
    try {
      (*body_)(i, worker);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      next_.store(count_, std::memory_order_relaxed);
    }
  }
}

// Returns when a loop is open that is not `seen`, or the pool stops.
void ThreadPool::WaitForLoop(uint32_t seen) {
  const auto has_news = [&] {
    const uint32_t epoch = epoch_.load();
    return stop_.load() || (epoch != seen && IsOpen(epoch));
  };
  // A worker that was woken too late for a loop looks for the next one: it will not be long.
  while (!(spins_ ? SpinUntil(has_news) : has_news())) {
    ++sleeping_;
    const uint32_t epoch = epoch_.load();
    if (!has_news()) epoch_.wait(epoch);
    --sleeping_;
  }
}

void ThreadPool::WorkerLoop(int worker) {
  uint32_t seen = 0;
  for (;;) {
    WaitForLoop(seen);
    if (stop_) return;
    ++inside_;
    seen = epoch_.load();
    if (IsOpen(seen)) RunIterations(worker);
    if (--inside_ == 0 && caller_sleeps_.load()) inside_.notify_one();
  }
}

// More threads than cores or iterations would only be in each other's way.
void ThreadPool::WakeWorkers(size_t count) {
  const size_t sleeping = sleeping_.load();
  const size_t wanted = std::min({count - 1, sleeping, static_cast<size_t>(std::max(1, cores_ - 1))});
  if (wanted == workers_.size()) {
    epoch_.notify_all();
  } else {
    for (size_t i = 0; i < wanted; ++i) epoch_.notify_one();
  }
}

void ThreadPool::WaitForWorkers() {
  const auto all_left = [&] { return inside_.load() == 0; };
  if (spins_ ? SpinUntil(all_left) : all_left()) return;
  caller_sleeps_ = true;
  for (uint32_t inside = inside_.load(); inside != 0; inside = inside_.load()) inside_.wait(inside);
  caller_sleeps_ = false;
}

void ThreadPool::ParallelFor(size_t count, const std::function<void(size_t, int)>& body) {
  if (workers_.empty() || count <= 1) {
    for (size_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  THRONG_CHECK(!IsOpen(epoch_.load()));
  body_ = &body;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  ++epoch_;
  WakeWorkers(count);
  RunIterations(0);
  ++epoch_;
  WaitForWorkers();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace throng

// A fixed set of threads that run the iterations of one loop at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace throng {

// Resolves a flag's number of threads: 0 means one per core that the process may use.
int ThreadsOrAll(int threads);

// A decode step runs hundreds of loops of some microseconds, so threads without work look for the next loop
// for a while before they sleep, unless the pool has more threads than the process has cores.
class ThreadPool {
 public:
  // num_threads is at least 1 and includes the calling thread, which works too.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int NumThreads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(i, worker) for every i in [0, count), worker in [0, NumThreads()); returns when all are done,
  // and rethrows the first exception. Iterations are handed out one by one, so give each enough work (some
  // microseconds). They must not wait for each other: a thread that wakes up too late gets none. One caller
  // at a time.
  void ParallelFor(size_t count, const std::function<void(size_t i, int worker)>& body);

 private:
  void WorkerLoop(int worker);
  void WaitForLoop(uint32_t seen);
  void WakeWorkers(size_t count);
  void WaitForWorkers();
  void RunIterations(int worker);

  const int cores_;   // that the process may use
  const bool spins_;  // looks for work before it sleeps

  // The loop, written by the caller while epoch_ is even and nobody is in it.
  const std::function<void(size_t, int)>* body_ = nullptr;
  size_t count_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;  // guarded by error_mutex_

  // Each on a cache line of its own. A worker enters a loop by adding itself to inside_ and then finding
  // epoch_ odd; the caller ends it by making epoch_ even and then waiting until inside_ is 0. All of these
  // are sequentially consistent: either the caller sees the worker, or the worker sees that the loop has
  // ended.
  alignas(64) std::atomic<uint32_t> epoch_ = 0;  // odd: a loop is open
  std::atomic<uint32_t> sleeping_ = 0;           // workers that a change of epoch_ must wake
  std::atomic<bool> stop_ = false;
  alignas(64) std::atomic<uint32_t> inside_ = 0;  // workers
  std::atomic<bool> caller_sleeps_ = false;       // until inside_ is 0
  alignas(64) std::atomic<size_t> next_ = 0;      // iteration
  std::vector<std::thread> workers_;
};

}  // namespace throng

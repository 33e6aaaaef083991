// A fixed set of threads that run the iterations of one loop at a time.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace throng {

// Resolves a flag's number of threads: 0 means one per core.
int ThreadsOrAll(int threads);

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
  // microseconds). One caller at a time.
  void ParallelFor(size_t count, const std::function<void(size_t i, int worker)>& body);

 private:
  void WorkerLoop(int worker);
  void RunIterations(int worker);

  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  const std::function<void(size_t, int)>* body_ = nullptr;  // guarded by mutex_
  size_t count_ = 0;                                        // guarded by mutex_
  size_t next_ = 0;                                         // guarded by mutex_
  uint64_t generation_ = 0;                                 // guarded by mutex_
  int running_ = 0;                                         // guarded by mutex_
  bool stop_ = false;                                       // guarded by mutex_
  std::exception_ptr error_;                                // guarded by mutex_
  std::vector<std::thread> workers_;
};

}  // namespace throng

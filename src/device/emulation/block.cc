#include "device/emulation/block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "base/check.h"

namespace throng::device::emulation {
namespace {

constexpr size_t kStackBytes = 64 << 10;

thread_local Thread* running = nullptr;

[[noreturn]] void Fail(const char* what, int thread, Site site) {
  std::fprintf(stderr, "emulated GPU: %s: thread %d waits at %s:%d\n", what, thread, site.file, site.line);
  std::abort();
}

bool Same(Site a, Site b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

}  // namespace

Thread& Self() {
  THRONG_CHECK(running != nullptr);
  return *running;
}

// Threads and their stacks are used for all blocks of a launch.
class BlockRun {
 public:
  BlockRun(const Work& work, const Conduct& conduct)
      : work_(work), conduct_(conduct), rng_(conduct.seed, 1), threads_(static_cast<size_t>(work.threads)) {
    THRONG_CHECK(work.threads > 0 && work.threads % kWarpThreads == 0);
    keeps_warp_ = rng_.NextBelow(2) == 0;
  }

  void Run(Index3 block) {
    block_ = block;
    // Exactly as many bytes as are asked for, so that AddressSanitizer sees what lies beyond.
    void* bytes = nullptr;
    THRONG_CHECK(posix_memalign(&bytes, 128, std::max<size_t>(work_.shared_bytes, 1)) == 0);
    shared_.reset(static_cast<uint8_t*>(bytes));
    for (size_t i = 0; i < work_.shared_bytes; ++i) shared_.get()[i] = static_cast<uint8_t>(rng_.Next());
    ready_.clear();
    for (int i = 0; i < work_.threads; ++i) Start(i);
    while (Continue()) {
    }
  }

  const Index3& Block() const { return block_; }
  int NumThreads() const { return work_.threads; }
  void* Shared() const { return shared_.get(); }

  void Wait(Thread& thread, Thread::State state, Site at) {
    Note(at);
    if (Unheeded(at)) return;
    thread.state_ = state;
    thread.site_ = at;
    Leave(thread);
  }
  bool CopiesNow() { return rng_.NextBelow(2) == 0; }
  void Leave(Thread& thread) { Fiber::Switch(thread.fiber_, main_); }
  bool Unheeded(Site at) const { return conduct_.unheeded.has_value() && conduct_.unheeded->Is(at); }
  void Note(Site at) {
    if (conduct_.met == nullptr) return;
    const Place place{at.file, at.line};
    auto& met = *conduct_.met;
    if (std::find(met.begin(), met.end(), place) == met.end()) met.push_back(place);
  }

 private:
  struct FreeBytes {
    void operator()(uint8_t* p) const { std::free(p); }
  };

  void Start(int index) {
    Thread& thread = threads_[static_cast<size_t>(index)];
    thread.run_ = this;
    thread.index_ = index;
    thread.state_ = Thread::State::kReady;
    thread.uncommitted_.clear();
    thread.groups_.clear();
    thread.fiber_.Prepare(kStackBytes, &BlockRun::Enter);
    ready_.push_back(index);
  }

  static void Enter() {
    Fiber::Entered();
    Thread& self = *running;
    self.run_->work_.kernel(self.run_->work_.arguments);
    self.state_ = Thread::State::kEnded;
    Fiber::Switch(self.fiber_, self.run_->main_, /*last=*/true);
    std::abort();  // nobody comes back
  }

  // Runs one thread until it waits or ends. False if all have ended.
  bool Continue() {
    if (ready_.empty() && !ReleaseBarrier()) return false;
    size_t choice = rng_.NextBelow(ready_.size());
    if (keeps_warp_) {
      const auto mate = std::find_if(ready_.begin(), ready_.end(),
                                     [&](int i) { return i / kWarpThreads == last_ / kWarpThreads; });
      if (mate != ready_.end()) choice = static_cast<size_t>(mate - ready_.begin());
    }
    const int index = ready_[choice];
    ready_[choice] = ready_.back();
    ready_.pop_back();
    last_ = index;
    Thread& thread = threads_[static_cast<size_t>(index)];
    running = &thread;
    Fiber::Switch(main_, thread.fiber_);
    running = nullptr;
    if (thread.state_ == Thread::State::kInWarp) RunWarp(index / kWarpThreads);
    return true;
  }

  // True if threads that waited at a barrier can go on.
  bool ReleaseBarrier() {
    const Thread* waiting = nullptr;
    bool all = true;
    for (const Thread& thread : threads_) {
      if (thread.state_ == Thread::State::kInWarp)
        Fail("a warp is not complete", thread.index_, thread.site_);
      if (thread.state_ == Thread::State::kAtBarrier) waiting = &thread;
      if (thread.state_ == Thread::State::kEnded) all = false;
    }
    if (waiting == nullptr) return false;
    if (!all) Fail("some threads have ended before a barrier", waiting->index_, waiting->site_);
    for (Thread& thread : threads_) {
      if (!Same(thread.site_, waiting->site_))
        Fail("threads are at different barriers", thread.index_, thread.site_);
      thread.state_ = Thread::State::kReady;
      ready_.push_back(thread.index_);
    }
    return true;
  }

  // Does what the warp waits for, once all its threads are there.
  void RunWarp(int warp) {
    Thread* const first = &threads_[static_cast<size_t>(warp) * kWarpThreads];
    void* operands[kWarpThreads];
    for (int i = 0; i < kWarpThreads; ++i) {
      if (first[i].state_ != Thread::State::kInWarp) return;
      operands[i] = first[i].operand_;
    }
    for (int i = 1; i < kWarpThreads; ++i) {
      if (!Same(first[i].site_, first->site_)) {
        Fail("a warp's threads are at different places", first[i].index_, first[i].site_);
      }
    }
    if (first->function_ != nullptr) first->function_(operands);
    for (int i = 0; i < kWarpThreads; ++i) {
      first[i].state_ = Thread::State::kReady;
      ready_.push_back(first[i].index_);
    }
  }

  const Work& work_;
  const Conduct& conduct_;
  CounterRng rng_;
  std::vector<Thread> threads_;
  std::vector<int> ready_;
  Fiber main_;
  Index3 block_{};
  std::unique_ptr<uint8_t, FreeBytes> shared_;
  bool keeps_warp_;  // a warp runs ahead as far as it can; else all threads take turns
  int last_ = 0;
};

const Index3& Thread::Block() const { return run_->Block(); }
int Thread::NumThreads() const { return run_->NumThreads(); }
void* Thread::Shared() const { return run_->Shared(); }

void Thread::WaitForBlock(Site at) { run_->Wait(*this, State::kAtBarrier, at); }

void Thread::WaitForWarp(Site at) {
  function_ = nullptr;
  run_->Wait(*this, State::kInWarp, at);
}

void Thread::WithWarp(Site at, WarpFunction function, void* operand) {
  // Not a place to leave out: it is more than a wait.
  function_ = function;
  operand_ = operand;
  state_ = State::kInWarp;
  site_ = at;
  run_->Leave(*this);
}

// At once or at the wait: a kernel must be right either way.
void Thread::Copy(void* to, const void* from) {
  if (run_->CopiesNow()) {
    std::memcpy(to, from, 16);
  } else {
    uncommitted_.push_back({to, from});
  }
}

void Thread::CommitCopies() {
  groups_.push_back(std::move(uncommitted_));
  uncommitted_.clear();
}

void Thread::WaitForCopies(size_t pending, Site at) {
  run_->Note(at);
  if (run_->Unheeded(at)) return;
  for (; groups_.size() > pending; groups_.pop_front()) {
    for (const auto& [to, from] : groups_.front()) std::memcpy(to, from, 16);
  }
}

void RunBlocks(const Work& work, const Conduct& conduct) {
  std::vector<Index3> blocks;
  for (int z = 0; z < work.grid.z; ++z) {
    for (int y = 0; y < work.grid.y; ++y) {
      for (int x = 0; x < work.grid.x; ++x) blocks.push_back({x, y, z});
    }
  }
  CounterRng rng(conduct.seed, 2);
  for (size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[rng.NextBelow(i)]);
  BlockRun run(work, conduct);
  for (const Index3& block : blocks) run.Run(block);
}

}  // namespace throng::device::emulation

// A block of an emulated GPU: its threads are fibers that run in random order, each until it must wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "device/emulation/fiber.h"
#include "device/types.h"

namespace throng::device::emulation {

// A place where threads wait.
struct Place {
  std::string file;
  int line = 0;
  bool operator==(const Place&) const = default;
  bool Is(Site site) const { return line == site.line && file == site.file; }
};

// What the emulation is to do apart from running kernels.
struct Conduct {
  uint64_t seed = 0;                  // of the order of threads, and of what memory holds at the start
  std::optional<Place> unheeded{};    // threads do not wait here: what a kernel without that line would do
  std::vector<Place>* met = nullptr;  // gets each place where threads wait, once
};

// What a launch runs on every thread of every block.
struct Work {
  Index3 grid;
  int threads;
  size_t shared_bytes;
  void (*kernel)(const void* arguments);
  const void* arguments;
};

// Runs all blocks of a launch, one after the other, in random order. Aborts with a message where a warp's
// threads wait at different places, or some have ended while others wait.
void RunBlocks(const Work& work, const Conduct& conduct);

// What a warp does together: lanes[i] is the operand of lane i.
using WarpFunction = void (*)(void* const* lanes);

class BlockRun;

// One thread of the running block.
class Thread {
 public:
  int Index() const { return index_; }
  const Index3& Block() const;
  int NumThreads() const;
  void* Shared() const;

  void WaitForBlock(Site at);
  void WaitForWarp(Site at);
  void WithWarp(Site at, WarpFunction function, void* operand);

  void Copy(void* to, const void* from);
  void CommitCopies();
  void WaitForCopies(size_t pending, Site at);

 private:
  friend class BlockRun;
  enum class State { kReady, kAtBarrier, kInWarp, kEnded };
  struct Copied {
    void* to;
    const void* from;
  };

  BlockRun* run_ = nullptr;
  Fiber fiber_;
  int index_ = 0;
  State state_ = State::kReady;
  Site site_{};
  WarpFunction function_ = nullptr;
  void* operand_ = nullptr;
  std::vector<Copied> uncommitted_;
  std::deque<std::vector<Copied>> groups_;
};

// The thread that is running. Only within a kernel.
Thread& Self();

}  // namespace throng::device::emulation

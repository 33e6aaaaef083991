// Threads that are switched by hand: a stack each, and what is saved of the processor's registers.
#pragma once

#include <cstddef>
#include <memory>

namespace throng::device::emulation {

// Keeps the stack for the calling thread's next fibers: to map stacks anew takes longer than most kernels
// run.
struct ReturnStack {
  size_t bytes = 0;
  void operator()(void* stack) const;
};

// One side of a switch: a fiber, or the thread that runs fibers. Not movable while it runs.
class Fiber {
 public:
  Fiber() = default;  // of the calling thread's own stack
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Gives it a stack of so many bytes, on which `entry` begins at the first switch to it. `entry` never
  // returns and never throws. May be called again when the fiber is not needed any more.
  void Prepare(size_t stack_bytes, void (*entry)());

  // Leaves `from`, which is running, and goes on with `to`. Returns when something switches back to `from`.
  // last: `from` will never run again.
  static void Switch(Fiber& from, Fiber& to, bool last = false);
  // The first thing that `entry` must call.
  static void Entered();

 private:
  std::unique_ptr<void, ReturnStack> stack_;
  const void* bottom_ = nullptr;  // of the stack, for sanitizers
  size_t bytes_ = 0;
  void* pointer_ = nullptr;    // the stack pointer while it does not run
  void* sanitizer_ = nullptr;  // what a sanitizer knows of it
};

}  // namespace throng::device::emulation

#include "device/emulation/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <vector>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

// void throng_switch_stack(void** save, void* load): keeps the registers that a function must keep on the
// stack, and goes on with another stack (System V ABI for x86-64).
asm(R"(
  .text
  .globl throng_switch_stack
  .type throng_switch_stack, @function
throng_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size throng_switch_stack, . - throng_switch_stack
)");
extern "C" void throng_switch_stack(void** save, void* load);

namespace throng::device::emulation {
namespace {

constexpr int kSavedRegisters = 6;

// Whose stack was left by the switch that is going on, for Entered and for what follows a switch.
thread_local Fiber* leaving = nullptr;

// Stacks of one size that no fiber of this thread has.
struct FreeStacks {
  ~FreeStacks() {
    for (void* stack : stacks) munmap(stack, bytes);
  }
  size_t bytes = 0;
  std::vector<void*> stacks;
};
constexpr size_t kMostFreeStacks = 1024;  // the most threads of a block
thread_local FreeStacks free_stacks;

void* TakeStack(size_t bytes) {
  if (free_stacks.bytes == bytes && !free_stacks.stacks.empty()) {
    void* const stack = free_stacks.stacks.back();
    free_stacks.stacks.pop_back();
    return stack;
  }
  void* const stack =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) throw std::bad_alloc();
  return stack;
}

}  // namespace

void ReturnStack::operator()(void* stack) const {
  if (free_stacks.stacks.empty()) free_stacks.bytes = bytes;
  if (free_stacks.bytes == bytes && free_stacks.stacks.size() < kMostFreeStacks) {
    free_stacks.stacks.push_back(stack);
  } else {
    munmap(stack, bytes);
  }
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
  if (sanitizer_ != nullptr && stack_ != nullptr) __tsan_destroy_fiber(sanitizer_);
#endif
}

void Fiber::Prepare(size_t stack_bytes, void (*entry)()) {
  if (stack_ == nullptr || bytes_ != stack_bytes) {
    stack_ = std::unique_ptr<void, ReturnStack>(TakeStack(stack_bytes), ReturnStack{stack_bytes});
    bottom_ = stack_.get();
    bytes_ = stack_bytes;
  }
  // As throng_switch_stack leaves it: registers, and where to return to. A function begins 8 bytes below a
  // multiple of 16.
  auto** top = reinterpret_cast<void**>(static_cast<char*>(stack_.get()) + bytes_) - 2;
  *top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  pointer_ = top;
#if defined(__SANITIZE_THREAD__)
  if (sanitizer_ != nullptr) __tsan_destroy_fiber(sanitizer_);
  sanitizer_ = __tsan_create_fiber(0);
#endif
}

void Fiber::Switch(Fiber& from, Fiber& to, bool last) {
  leaving = &from;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack, to.bottom_, to.bytes_);
#endif
#if defined(__SANITIZE_THREAD__)
  if (from.sanitizer_ == nullptr) from.sanitizer_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.sanitizer_, 0);
#endif
  throng_switch_stack(&from.pointer_, to.pointer_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, &leaving->bottom_, &leaving->bytes_);
#endif
}

void Fiber::Entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &leaving->bottom_, &leaving->bytes_);
#endif
}

}  // namespace throng::device::emulation

// Allocates what lives for one step: coroutine frames, and clusters with their members. There are as many of
// them as calls in flight, and they are freed in any order, so a general allocator would keep splitting and
// joining blocks. Here each size has its own list of free blocks, and the block freed last, which is still in
// the cache, is reused first.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define THRONG_FRAMES_FROM_HEAP
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define THRONG_FRAMES_FROM_HEAP  // lets the sanitizer find uses after free
#endif

namespace throng::sim {

class FramePool {
 public:
  // The calling thread's pool. A thread must free what it took itself.
  static FramePool& OfThread() {
    thread_local FramePool pool;
    return pool;
  }

  FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool();

  void* Take(size_t size) {
    const size_t list = ListOf(size);
    if (list >= kLists) return ::operator new(size);
    taken_bytes_ += BytesOf(list);
    peak_bytes_ = std::max(peak_bytes_, taken_bytes_);
    Free* block = free_[list];
    if (block == nullptr) return Carve(BytesOf(list));
    free_[list] = block->next;
    return block;
  }

  void GiveBack(void* block, size_t size) noexcept {
    const size_t list = ListOf(size);
    if (list >= kLists) return ::operator delete(block);
    taken_bytes_ -= BytesOf(list);
    free_[list] = new (block) Free{free_[list]};
  }

  // The most bytes taken at once since the last reset.
  size_t PeakBytes() const { return peak_bytes_; }
  void ResetPeak() { peak_bytes_ = taken_bytes_; }

 private:
#ifdef THRONG_FRAMES_FROM_HEAP
  static constexpr size_t kLists = 0;
#else
  static constexpr size_t kLists = 128;
#endif
  static constexpr size_t kGrain = 16;  // sizes are multiples of it

  struct Free {
    Free* next;
  };

  static size_t ListOf(size_t size) { return (size - 1) / kGrain; }
  static size_t BytesOf(size_t list) { return (list + 1) * kGrain; }
  void* Carve(size_t size);

  std::array<Free*, 128> free_{};
  std::vector<void*> slabs_;     // a huge page each
  std::byte* unused_ = nullptr;  // rest of the last slab
  size_t unused_bytes_ = 0;
  size_t taken_bytes_ = 0;
  size_t peak_bytes_ = 0;
};

}  // namespace throng::sim

#include "sim/frame_pool.h"

#include "base/huge_pages.h"

namespace throng::sim {

FramePool::~FramePool() {
  if (taken_bytes_ > 0) return;  // a block outlives the thread or went to another one
  for (void* slab : slabs_) FreeHuge(slab, kHugePage);
}

void* FramePool::Carve(size_t size) {
  if (unused_bytes_ < size) {
    slabs_.push_back(AllocateHuge(kHugePage));
    unused_ = static_cast<std::byte*>(slabs_.back());
    unused_bytes_ = kHugePage;
  }
  void* block = unused_;
  unused_ += size;
  unused_bytes_ -= size;
  return block;
}

}  // namespace throng::sim

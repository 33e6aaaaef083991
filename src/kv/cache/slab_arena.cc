#include "kv/cache/slab_arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"

namespace throng::kv {
namespace {

constexpr size_t kExtentBytes = size_t{64}
                                << 20;  // large, so that extents stay few; costs address space only

size_t RoundUpToOsPages(size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

SlabArena::SlabArena(size_t bytes)
    : stride_(RoundUpToOsPages(bytes)), slabs_per_extent_(std::max<size_t>(1, kExtentBytes / stride_)) {}

SlabArena::~SlabArena() {
  THRONG_CHECK(used_ == 0);
  for (uint8_t* extent : extents_) munmap(extent, slabs_per_extent_ * stride_);
}

bool SlabArena::Grow() {
  void* extent = mmap(nullptr, slabs_per_extent_ * stride_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (extent == MAP_FAILED) return false;
  extents_.push_back(static_cast<uint8_t*>(extent));
  for (size_t i = slabs_per_extent_; i > 0; --i) cold_.push_back(extents_.back() + (i - 1) * stride_);
  return true;
}

uint8_t* SlabArena::Allocate() {
  if (warm_.empty() && cold_.empty() && !Grow()) return nullptr;
  uint8_t* slab = nullptr;
  if (warm_.empty()) {
    slab = cold_.back();
    cold_.pop_back();
  } else {
    slab = warm_.back();
    warm_.pop_back();
  }
  ++used_;
  return slab;
}

void SlabArena::Free(uint8_t* slab) {
  warm_.push_back(slab);
  if (warm_.size() * stride_ > kWarmBytes) {
    madvise(warm_.front(), stride_, MADV_DONTNEED);
    cold_.push_back(warm_.front());
    warm_.pop_front();
  }
  --used_;
}

}  // namespace throng::kv

#include "base/huge_pages.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace throng {

namespace {

constexpr std::align_val_t kLine{64};

}  // namespace

void* AllocateHuge(size_t size) {
  if (size < kHugePage) return ::operator new(size, kLine);
  const size_t whole = (size + kHugePage - 1) / kHugePage * kHugePage;
  void* block = std::aligned_alloc(kHugePage, whole);
  if (block == nullptr) throw std::bad_alloc();
  static_cast<void>(madvise(block, whole, MADV_HUGEPAGE));  // only a hint: without it, accesses are slower
  return block;
}

void FreeHuge(void* block, size_t size) noexcept {
  if (size < kHugePage) return ::operator delete(block, kLine);
  std::free(block);
}

}  // namespace throng

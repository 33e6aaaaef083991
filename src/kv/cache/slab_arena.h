// Allocates slabs of one size from the operating system, and returns their memory to it when they are freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace throng::kv {

// Reserves address space in large pieces and keeps it until destroyed; only slabs in use occupy memory.
class SlabArena {
 public:
  explicit SlabArena(size_t bytes);  // of one slab
  ~SlabArena();
  SlabArena(const SlabArena&) = delete;
  SlabArena& operator=(const SlabArena&) = delete;

  size_t Stride() const { return stride_; }  // bytes of a slab, rounded up to pages of the operating system

  uint8_t* Allocate();  // null if the operating system refuses
  void Free(uint8_t* slab);

 private:
  bool Grow();

  const size_t stride_;
  const size_t slabs_per_extent_;
  std::vector<uint8_t*> extents_;
  std::vector<uint8_t*> free_;  // last freed, first used
  size_t used_ = 0;
};

}  // namespace throng::kv

// Allocates slabs of one size from the operating system, and returns the memory of freed ones to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace throng::kv {

// Reserves address space in large pieces and keeps it until destroyed. Only slabs in use occupy memory, and
// those freed last: a slab is often freed just before one like it is needed, and touching a page anew costs a
// fault.
class SlabArena {
 public:
  static constexpr size_t kWarmBytes = size_t{8} << 20;  // at most, of freed slabs that occupy memory

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
  std::vector<uint8_t*> cold_;  // free, without memory; last freed, first used
  std::deque<uint8_t*> warm_;   // free, with memory; last freed at the end and first used
  size_t used_ = 0;
};

}  // namespace throng::kv

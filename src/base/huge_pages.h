// Memory for large arrays with random access, in pages of 2 MiB where the system grants them, which saves the
// walk through page tables.
#pragma once

#include <cstddef>
#include <vector>

namespace throng {

constexpr size_t kHugePage = 2u << 20;

// Allocates whole huge pages if size is at least one, else memory aligned to cache lines. Throws
// std::bad_alloc.
void* AllocateHuge(size_t size);
void FreeHuge(void* block, size_t size) noexcept;

template <typename T>
struct HugePageAllocator {
  using value_type = T;
  HugePageAllocator() = default;
  template <typename U>
  explicit HugePageAllocator(const HugePageAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(AllocateHuge(n * sizeof(T))); }
  void deallocate(T* block, size_t n) noexcept { FreeHuge(block, n * sizeof(T)); }
  bool operator==(const HugePageAllocator&) const = default;
};

template <typename T>
using HugeVector = std::vector<T, HugePageAllocator<T>>;

// Prefetches all cache lines of an object, which may begin anywhere in a line.
template <typename T>
void Prefetch(const T* object, size_t bytes = sizeof(T)) {
  constexpr size_t kLine = 64;
  const char* at = reinterpret_cast<const char*>(object);
  for (size_t i = 0; i < bytes; i += kLine) __builtin_prefetch(at + i);
  if (bytes % kLine != 1) __builtin_prefetch(at + bytes - 1);
  asm volatile("");  // GCC drops calls of functions that do nothing but prefetch
}

}  // namespace throng

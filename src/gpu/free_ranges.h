// Which bytes of a piece of memory are free.
#pragma once

#include <cstddef>
#include <map>
#include <optional>

namespace throng::gpu {

class FreeRanges {
 public:
  explicit FreeRanges(size_t bytes);

  // Takes bytes, more than 0, from the first range or the last one with room. Returns where they begin;
  // nothing if no range has room.
  std::optional<size_t> TakeFirst(size_t bytes);
  std::optional<size_t> TakeLast(size_t bytes);
  void GiveBack(size_t begin, size_t bytes);

  size_t Bytes() const;  // of all ranges

 private:
  std::map<size_t, size_t> ranges_;  // where each begins, and its bytes; none touch each other
};

}  // namespace throng::gpu

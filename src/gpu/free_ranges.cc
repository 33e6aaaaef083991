#include "gpu/free_ranges.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace throng::gpu {

FreeRanges::FreeRanges(size_t bytes) {
  if (bytes > 0) ranges_[0] = bytes;
}

std::optional<size_t> FreeRanges::TakeFirst(size_t bytes) {
  const auto range = std::ranges::find_if(ranges_, [bytes](const auto& one) { return one.second >= bytes; });
  if (range == ranges_.end()) return std::nullopt;
  const auto [begin, size] = *range;
  ranges_.erase(range);
  if (size > bytes) ranges_[begin + bytes] = size - bytes;
  return begin;
}

std::optional<size_t> FreeRanges::TakeLast(size_t bytes) {
  const auto range = std::find_if(ranges_.rbegin(), ranges_.rend(),
                                  [bytes](const auto& one) { return one.second >= bytes; });
  if (range == ranges_.rend()) return std::nullopt;
  range->second -= bytes;
  const size_t begin = range->first + range->second;
  if (range->second == 0) ranges_.erase(range->first);
  return begin;
}

void FreeRanges::GiveBack(size_t begin, size_t bytes) {
  const auto [range, is_new] = ranges_.emplace(begin, bytes);
  THRONG_CHECK(is_new);
  const auto next = std::next(range);
  if (next != ranges_.end() && begin + bytes == next->first) {
    range->second += next->second;
    ranges_.erase(next);
  }
  if (range == ranges_.begin()) return;
  const auto before = std::prev(range);
  if (before->first + before->second == begin) {
    before->second += range->second;
    ranges_.erase(range);
  }
}

size_t FreeRanges::Bytes() const {
  size_t bytes = 0;
  for (const auto& [begin, size] : ranges_) bytes += size;
  return bytes;
}

}  // namespace throng::gpu

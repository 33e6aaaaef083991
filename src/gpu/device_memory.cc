#include "gpu/device_memory.h"

#include <algorithm>
#include <iterator>
#include <new>

#include "base/check.h"
#include "base/error.h"
#include "base/text/human_bytes.h"

namespace throng::gpu {
namespace {

constexpr size_t kAlignment = 256;  // of slabs, as of what devices allocate

size_t Align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

uint8_t* AllocateAll(device::Device& device, size_t bytes) {
  try {
    return static_cast<uint8_t*>(device.Allocate(bytes));
  } catch (const std::bad_alloc&) {
    throw MakeError(ErrorCode::kExhausted, "KV cache: {} has {} of memory left, the budget is {}",
                    device.Name(), HumanBytes(static_cast<double>(device.FreeBytes())),
                    HumanBytes(static_cast<double>(bytes)));
  }
}

}  // namespace

DeviceMemory::DeviceMemory(std::shared_ptr<device::Device> device, const kv::BlockLayout& layout,
                           size_t budget_bytes)
    : device_(std::move(device)),
      sealed_bytes_(Align(layout.bytes)),
      sliding_bytes_(Align(layout.sliding_bytes)),
      open_bytes_(Align(layout.open_bytes)),
      memory_(AllocateAll(*device_, budget_bytes)) {
  if (const size_t bytes = budget_bytes / kAlignment * kAlignment; bytes > 0) free_[0] = bytes;
}

DeviceMemory::~DeviceMemory() { device_->Free(memory_); }

size_t DeviceMemory::Stride(kv::BlockKind kind) const {
  if (kind == kv::BlockKind::kOpen) return open_bytes_;
  THRONG_CHECK(kind == kv::BlockKind::kSealed || kind == kv::BlockKind::kSliding);
  return kind == kv::BlockKind::kSealed ? sealed_bytes_ : sliding_bytes_;
}

uint8_t* DeviceMemory::Allocate(kv::BlockKind kind) {
  const size_t bytes = Stride(kind);
  const auto fits = [bytes](const auto& range) { return range.second >= bytes; };
  auto range = std::find_if(free_.begin(), free_.end(), fits);
  if (range == free_.end()) return nullptr;
  const bool at_end = kind == kv::BlockKind::kOpen;
  if (at_end) range = std::prev(std::find_if(free_.rbegin(), free_.rend(), fits).base());
  const auto [begin, size] = *range;
  if (at_end) {
    range->second -= bytes;
    if (range->second == 0) free_.erase(range);
    return memory_ + begin + size - bytes;
  }
  free_.erase(range);
  if (size > bytes) free_[begin + bytes] = size - bytes;
  return memory_ + begin;
}

void DeviceMemory::Free(kv::BlockKind kind, uint8_t* slab) {
  const auto [range, is_new] = free_.emplace(static_cast<size_t>(slab - memory_), Stride(kind));
  THRONG_CHECK(is_new);
  const auto next = std::next(range);
  if (next != free_.end() && range->first + range->second == next->first) {
    range->second += next->second;
    free_.erase(next);
  }
  if (range == free_.begin()) return;
  const auto before = std::prev(range);
  if (before->first + before->second == range->first) {
    before->second += range->second;
    free_.erase(range);
  }
}

size_t DeviceMemory::FreeBytes() const {
  size_t bytes = 0;
  for (const auto& [begin, size] : free_) bytes += size;
  return bytes;
}

void DeviceMemory::CopyToHost(uint8_t* host, const uint8_t* slab, size_t bytes) {
  device_->CopyFrom(host, slab, bytes);
}

void DeviceMemory::CopyFromHost(uint8_t* slab, const uint8_t* host, size_t bytes) {
  device_->CopyTo(slab, host, bytes);
}

void DeviceMemory::Copy(uint8_t* to, const uint8_t* from, size_t bytes) { device_->Copy(to, from, bytes); }

}  // namespace throng::gpu

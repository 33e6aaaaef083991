#include "gpu/arena.h"

#include <algorithm>
#include <new>

#include "base/error.h"
#include "base/text/human_bytes.h"

namespace throng::gpu {
namespace {

constexpr size_t kAlignment = 256;

std::string Human(size_t bytes) { return HumanBytes(static_cast<double>(bytes)); }

uint8_t* AllocateAll(device::Device& device, size_t bytes) {
  try {
    return static_cast<uint8_t*>(device.Allocate(bytes));
  } catch (const std::bad_alloc&) {
    throw MakeError(ErrorCode::kExhausted, "{} has {} of memory left, the budget is {}", device.Name(),
                    Human(device.FreeBytes()), Human(bytes));
  }
}

}  // namespace

Arena::Arena(std::shared_ptr<device::Device> device, size_t budget_bytes)
    : device_(std::move(device)),
      budget_bytes_((budget_bytes > 0 ? budget_bytes : device_->FreeBytes() / 16 * 15) / kAlignment *
                    kAlignment),
      memory_(AllocateAll(*device_, budget_bytes_)),
      free_outside_(device_->FreeBytes()),
      free_(budget_bytes_) {}

Arena::~Arena() { device_->Free(memory_); }

void* Arena::Allocate(size_t bytes) {
  const size_t aligned = std::max((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  const auto begin = free_.TakeFirst(aligned);
  if (!begin) throw std::bad_alloc();
  uint8_t* const memory = memory_ + *begin;
  allocations_[memory] = {aligned, use_};
  taken_[static_cast<size_t>(use_)] += aligned;
  return memory;
}

// Kernels that still use the memory come before all that uses it next: a device does things in order.
void Arena::Free(void* memory) noexcept {
  const auto found = allocations_.find(memory);
  free_.GiveBack(static_cast<size_t>(static_cast<uint8_t*>(memory) - memory_), found->second.bytes);
  taken_[static_cast<size_t>(found->second.use)] -= found->second.bytes;
  allocations_.erase(found);
}

size_t Arena::OutsideBytes() const { return free_outside_ - std::min(free_outside_, device_->FreeBytes()); }

std::string Arena::Ledger() const {
  return fmt::format(
      "{} of {} are left; weights take {}, caches {}, passes {}; outside of these {} are taken",
      Human(FreeBytes()), Human(budget_bytes_), Human(TakenBytes(MemoryUse::kWeights)),
      Human(TakenBytes(MemoryUse::kCaches)), Human(TakenBytes(MemoryUse::kPasses)), Human(OutsideBytes()));
}

}  // namespace throng::gpu

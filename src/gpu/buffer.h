// Memory of a device that is kept from pass to pass.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "device/device.h"

namespace throng::gpu {

template <typename T>
class Buffer {
 public:
  explicit Buffer(device::Device& device) : device_(device) {}

  // Room for `count` elements, undefined. Throws std::bad_alloc.
  T* Reserve(size_t count) {
    if (array_ == nullptr || capacity_ < count) {
      array_.reset();
      array_ = std::make_unique<device::DeviceArray<T>>(device_, count);
      capacity_ = count;
    }
    return array_->Data();
  }
  T* Fill(std::span<const T> values) {
    T* const data = Reserve(values.size());
    device_.CopyTo(data, values.data(), values.size_bytes());
    return data;
  }
  // What the last call returned.
  T* Data() const { return array_->Data(); }

 private:
  device::Device& device_;
  std::unique_ptr<device::DeviceArray<T>> array_;
  size_t capacity_ = 0;
};

}  // namespace throng::gpu

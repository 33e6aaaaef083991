// A device that runs kernels: a GPU, or its emulation on this processor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/kernels/kernel_list.h"
#include "device/launch_list.h"
#include "device/types.h"

namespace throng::device {

// Any thread may copy while another one launches kernels; everything else needs one thread at a time.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string Name() const = 0;
  virtual std::string Kind() const = 0;  // devices of the same kind compute the same bits

  // Memory of the device, aligned to 256; undefined at the start. Throws std::bad_alloc.
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* memory) noexcept = 0;
  virtual size_t FreeBytes() const = 0;  // that can still be allocated
  virtual void CopyTo(void* device, const void* host, size_t bytes) = 0;
  virtual void CopyFrom(void* host, const void* device, size_t bytes) = 0;
  virtual void Copy(void* to, const void* from, size_t bytes) = 0;  // within it, in the order of launches

  // Runs a kernel on a grid of blocks, after all that was launched before. arguments: its Args.
  virtual void Launch(KernelId kernel, Index3 grid, const void* arguments) = 0;
  virtual void Wait() = 0;  // for all launches

  // What runs a list as one, after all that was launched before: a captured graph.
  class Graph {
   public:
    virtual ~Graph() = default;
    virtual void Launch() = 0;
  };
  virtual std::unique_ptr<Graph> Capture(const LaunchList& list) = 0;
  // Launches one by one.
  void Launch(const LaunchList& list) {
    list.ForEach(
        [&](KernelId kernel, Index3 grid, const void* arguments) { Launch(kernel, grid, arguments); },
        [&](void* to, const void* from, size_t bytes) { Copy(to, from, bytes); });
  }
};

// Memory of a device that holds T.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(Device& device, size_t count)
      : device_(&device), count_(count), data_(static_cast<T*>(device.Allocate(count * sizeof(T)))) {}
  DeviceArray(Device& device, std::span<const T> values) : DeviceArray(device, values.size()) {
    device.CopyTo(data_, values.data(), values.size_bytes());
  }
  ~DeviceArray() { device_->Free(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* Data() const { return data_; }
  std::vector<T> ToHost() const {
    std::vector<T> values(count_);
    device_->CopyFrom(values.data(), data_, count_ * sizeof(T));
    return values;
  }

 private:
  Device* device_;
  size_t count_;
  T* data_;
};

}  // namespace throng::device

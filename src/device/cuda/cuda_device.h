// A GPU of NVIDIA's as a device.
#pragma once

#include <memory>

#include "device/device.h"

namespace throng::device {

// Throws kUnsupported if this build has no CUDA, or the machine no such GPU.
std::unique_ptr<Device> MakeCudaDevice(int index);

}  // namespace throng::device

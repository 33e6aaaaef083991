// The device that runs kernels on this processor, slowly and in random order: for tests.
#pragma once

#include <memory>

#include "device/device.h"
#include "device/emulation/block.h"

namespace throng::device {

std::unique_ptr<Device> MakeEmulatedDevice(emulation::Conduct conduct);

}  // namespace throng::device

// Builds without CUDA (-DTHRONG_CUDA=OFF).
#include "base/error.h"
#include "device/cuda/cuda_device.h"

namespace throng::device {

std::unique_ptr<Device> MakeCudaDevice(int) {
  throw Error(ErrorCode::kUnsupported, "this build has no CUDA: configure it with -DTHRONG_CUDA=ON");
}

}  // namespace throng::device

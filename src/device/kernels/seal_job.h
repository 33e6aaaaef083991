// What kernels that seal pages are given.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

struct SealJob {
  const uint16_t* rows;  // the open page in f16: keys as [d, 64], values as [64, d]
  uint8_t* page;         // aligned to 64
  int32_t is_values;
};

struct SealArgs {
  const SealJob* jobs;  // one for each block of the grid, along x
  // Of gearl and gear: [rank, d], the transpose of what GearStart of kv/gear/gear_encode.h returns.
  const double* start;
};

}  // namespace throng::device

// How much memory there is.
#pragma once

#include <cstdint>

namespace throng {

// Bytes that can be taken without swapping, according to the system and to the limit of this process's
// container.
uint64_t AvailableBytes();

}  // namespace throng

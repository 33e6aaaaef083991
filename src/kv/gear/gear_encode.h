// Encoding and decoding of pages of gear.h, element by element.
#pragma once

#include <vector>

#include "kv/gear/gear_layout.h"

namespace throng::kv {

// The start of the power iteration: uniform numbers, [head_dim, rank].
std::vector<double> GearStart(int head_dim, int rank);

// start: GearStart(head_dim, layout.rank). block: [64, head_dim].
void EncodeGear(const GearLayout& layout, const std::vector<double>& start, const float* block,
                uint8_t* encoded);
void DecodeGear(const GearLayout& layout, const uint8_t* encoded, float* block);

}  // namespace throng::kv

// Which heads of a layer flashq-mixed stores with 2 bits instead of 4.
//
// A head's priority is gap * deviation: the range of all its elements, times the standard deviation over
// channels of the channels' ranges. Heads with outlier channels have a high one. Half of a layer's heads,
// those with the lowest priorities, get 2 bits. Keys and values are ranked apart. The ranking needs a sample
// of a model's keys and values and holds for the model from then on.
#pragma once

#include <span>
#include <vector>

namespace throng::kv {

// rows: [tokens, d] of one head.
double FlashqPriority(std::span<const float> rows, int head_dim);

// For each head, 2 or 4 bits: the lowest floor(n / 2) priorities get 2; of equals, the lower index.
std::vector<int> FlashqHeadBits(std::span<const double> priorities);

}  // namespace throng::kv
